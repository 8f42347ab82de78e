"""Changing an experiment that exists, so that it is as before or extended at every instant.

New runs and the provenance are put in place first, under names that no plan mentions. Then
`plan.json` is replaced: that is the moment. What existing runs have to learn of a longer
budget is done after it, from the plan's own record; whoever submits runs next finishes it
where the command was killed in between. All of it happens under the submission lock.
"""

from __future__ import annotations

import dataclasses
import shutil
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from hpcexp.errors import HpcexpError
from hpcexp.store.experiment import (
    Plan,
    PlannedRun,
    read_plan,
    read_run_config,
    write_plan,
    write_run,
)
from hpcexp.store.extension import Extension
from hpcexp.store.files import read_json, write_json
from hpcexp.store.layout import UNFINISHED_PREFIX, ExperimentDir, RunDir
from hpcexp.store.ownership import evict, read_owner
from hpcexp.store.provenance import Provenance, write_provenance
from hpcexp.store.status import FINISHED, State, read_status, write_status

_FIRST_FILES = frozenset({"config.json", "status.json"})


def write_extension(experiment: ExperimentDir, plan: Plan, provenance: Provenance) -> Plan:
    """Extend an experiment to a plan whose last extension is new; returns the plan as it is then.

    `plan.configs` has the configurations of the groups that new runs belong to.
    Raises HpcexpError where something is in the way, or cannot be written: nothing has
    changed then.
    """
    extension = plan.extensions[-1]
    aside = ExperimentDir(experiment.path / f"{UNFINISHED_PREFIX}{uuid.uuid4().hex[:12]}")
    try:
        _remove_left_overs(experiment)
        aside.runs_dir.mkdir(parents=True)
        write_provenance(aside, provenance)
        for run in _list_raised(plan, extension):
            read_run_config(experiment.run(run.name))  # a damaged one could not be told
        for name in extension.continued:
            read_status(experiment.run(name))
        names = set(extension.runs)
        new = [run for run in plan.runs if run.name in names]
        for run in new:
            write_run(aside.run(run.name), plan, run)
        provenance_dir = experiment.extension_provenance_dir(extension.number)
        provenance_dir.parent.mkdir(exist_ok=True)
        _put_in_place(aside.provenance_dir, provenance_dir)
        for run in new:
            _put_in_place(aside.run(run.name).path, experiment.run(run.name).path)
        write_plan(experiment, plan)
    except BaseException as error:
        with suppress(OSError, HpcexpError):
            _remove_left_overs(experiment)
        if isinstance(error, OSError):
            raise HpcexpError(
                f"{experiment.path}: cannot be extended: {error.strerror}{_name_file(error)}; "
                "nothing was changed"
            ) from error
        raise
    shutil.rmtree(aside.path, ignore_errors=True)
    return finish_extensions(experiment)


def finish_extensions(experiment: ExperimentDir) -> Plan:
    """The plan, after runs have learnt all that it says of them.

    To be called under the submission lock, before runs are chosen.
    Raises HpcexpError where that cannot be written; it is then tried again the next time.
    """
    plan = read_plan(experiment)
    unfinished = [e for e in plan.extensions if not e.is_applied]
    if not unfinished:
        return plan
    applied = tuple(dataclasses.replace(e, is_applied=True) for e in plan.extensions)
    try:
        for extension in unfinished:
            _apply(experiment, plan, extension)
        plan = dataclasses.replace(plan, extensions=applied)
        write_plan(experiment, plan)
    except OSError as error:
        raise HpcexpError(
            f"{experiment.path}: the budget was raised, but not every run could be told: "
            f"{error.strerror}{_name_file(error)}; once that is mended, hpcexp resume goes on"
        ) from error
    return plan


def _apply(experiment: ExperimentDir, plan: Plan, extension: Extension) -> None:
    for run in _list_raised(plan, extension):
        run_dir = experiment.run(run.name)
        if read_owner(run_dir) is not None:
            evict(run_dir)  # should it be alive after all, it goes on with the old budget
        _raise_budget(run_dir, extension.budget)
    for name, ended in extension.continued.items():
        _begin_again(experiment.run(name), ended)


def _list_raised(plan: Plan, extension: Extension) -> list[PlannedRun]:
    """Runs that had a smaller budget before."""
    new = set(extension.runs)
    return [r for r in plan.runs if r.group in extension.former_budget and r.name not in new]


def _raise_budget(run_dir: RunDir, budget: Mapping[str, Any]) -> None:
    config = read_json(run_dir.config_path)
    raised = {**config, "params": {**config["params"], **budget}}
    if raised != config:
        write_json(run_dir.config_path, raised)


def _begin_again(run_dir: RunDir, ended: Mapping[str, int]) -> None:
    """Mark a run as waiting to go on, unless that was done, and it has gone on since."""
    status = read_status(run_dir)
    if status.state not in FINISHED or status.step > ended["step"]:
        return
    write_status(
        run_dir,
        status.replace(
            state=State.PENDING,
            reason="",
            hint="",
            deaths=0,
            num_steps=ended["num_steps"],
            num_epochs=ended["num_epochs"],
            continued_from={"step": ended["step"], "epoch": ended["epoch"]},
        ),
    )


def _remove_left_overs(experiment: ExperimentDir) -> None:
    """What an extension left behind that was killed before the plan named it."""
    plan = read_plan(experiment)
    for path in experiment.path.glob(f"{UNFINISHED_PREFIX}*"):
        shutil.rmtree(path, ignore_errors=True)
    known = {run.name for run in plan.runs}
    for path in list(experiment.runs_dir.iterdir()):
        if path.name not in known and _never_began(RunDir(path)):
            shutil.rmtree(path)
    recorded = {experiment.extension_provenance_dir(e.number) for e in plan.extensions}
    for path in experiment.provenance_dir.glob("extension_*"):
        if path not in recorded:
            shutil.rmtree(path)


def _never_began(run_dir: RunDir) -> bool:
    """Whether a directory holds nothing but what an extension puts there."""
    try:
        names = {path.name for path in run_dir.path.iterdir()}
        return names <= _FIRST_FILES and read_status(run_dir).attempt == 0
    except (OSError, HpcexpError):
        return False


def _name_file(error: OSError) -> str:
    return f" ({Path(error.filename).name})" if error.filename else ""


def _put_in_place(aside: Path, path: Path) -> None:
    if path.exists():
        raise HpcexpError(
            f"{path}: is in the way: the plan does not name it; move it elsewhere. Nothing was "
            "changed"
        )
    aside.rename(path)
