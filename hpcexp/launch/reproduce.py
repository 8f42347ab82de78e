"""Making a run again elsewhere, with the code and the configuration that it had."""

from __future__ import annotations

import dataclasses
import difflib
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from hpcexp.errors import HpcexpError, UsageError
from hpcexp.launch.code import plan_code
from hpcexp.launch.compare import Change, Comparison, compare_runs, compare_surroundings
from hpcexp.launch.warm_start import check_source
from hpcexp.store.code_tree import BYTECODE
from hpcexp.store.experiment import (
    Plan,
    RunConfig,
    create_experiment,
    read_plan,
    read_run_config,
)
from hpcexp.store.files import read_json
from hpcexp.store.layout import ExperimentDir, RunDir
from hpcexp.store.metrics import read_metrics
from hpcexp.store.provenance import collect_provenance
from hpcexp.store.snapshot import Snapshot, is_unchanged, read_snapshot, write_snapshot
from hpcexp.store.status import RunStatus, State, read_status

REPRODUCED = "reproduced"
"""Reproductions lie in a directory of their own, where `latest` does not mean them."""
ORIGINAL = "original"
_EXTENDED = re.compile(r"extends_([0-9]+)_(.+)")


@dataclass(frozen=True)
class Original:
    """A run that is to be made again, and the code that it ran."""

    run_dir: RunDir
    plan: Plan
    config: RunConfig
    status: RunStatus
    snapshot: Snapshot | None

    @property
    def default_dir(self) -> Path:
        """Where its reproductions go: beside the experiment, and apart from the others."""
        parent = self.run_dir.experiment.path.parent
        return parent if parent.name == REPRODUCED else parent / REPRODUCED


@dataclass(frozen=True)
class Verdict:
    """How a run and its reproduction compare; `problem` is why it is not known, or not equal."""

    original: RunDir
    reproduction: RunDir
    comparison: Comparison
    changes: tuple[Change, ...]
    problem: str
    is_identical: bool


def find_original(experiment: ExperimentDir, run_name: str) -> Original:
    """The run that is meant, if it can be made again.

    Raises UsageError where there is no such run, it has no metrics to compare with, its code
    is not what it was, or what it starts from is gone.
    """
    plan = read_plan(experiment)
    _check_name(experiment, plan, run_name)
    run_dir = experiment.run(run_name)
    config, status = read_run_config(run_dir), read_status(run_dir)
    if not len(read_metrics(run_dir.path)):
        raise UsageError(
            f"{run_name} is {status.state.words} and has no metrics yet: there is nothing to "
            "compare with"
        )
    if settings := config.params.get("warm_start"):
        check_source(settings["run"], config.rand_init)
    snapshot = read_snapshot(experiment)
    if snapshot is not None:
        _check_code(experiment, snapshot)
    return Original(run_dir, plan, config, status, snapshot)


def _check_name(experiment: ExperimentDir, plan: Plan, name: str) -> None:
    names = [run.name for run in plan.runs]
    if name in names:
        return
    members = [run.name for run in plan.runs if run.group == name]
    if members:
        raise UsageError(f"{name} is a group: name one of its runs, such as {members[0]}")
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]}?" if near else f"for instance {names[0]}"
    raise UsageError(f"{experiment.name} has no run {name!r}; {hint}")


def _check_code(experiment: ExperimentDir, snapshot: Snapshot) -> None:
    try:
        problem = "" if is_unchanged(experiment, snapshot) else "was changed since the launch"
    except OSError as error:
        problem = f"cannot be read ({error.strerror}: {error.filename})"
    if problem:
        raise UsageError(
            f"{experiment.code_dir} {problem}: the code that {experiment.name} ran is gone; "
            "bring it back, for instance from an archive of the experiment"
        )


def rebuild(original: Original, *, directory: Path) -> ExperimentDir:
    """Make an experiment of this one run, with its code; nothing is trained yet.

    Its number of threads, and whether it gets a GPU, are those of the run. Without a copy of the
    code it gets one of the code as it is now. Raises UsageError where it cannot be written.
    """
    _check_writable(directory)
    experiment = original.run_dir.experiment
    provenance = dataclasses.replace(
        collect_provenance(exclude=[directory, experiment.path.parent]),
        git=None,  # that of the original counts, which is copied
        reproduces={"experiment": str(experiment.path.absolute()), "run": original.run_dir.name},
    )
    return create_experiment(
        directory,
        _make_plan(original),
        sources=_read_sources(experiment),
        provenance=provenance,
        add=lambda made: _add_code(made, original),
    )


def _check_writable(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"{directory}: cannot be made ({error.strerror}); say where to with --to"
        ) from error
    if not os.access(directory, os.W_OK | os.X_OK):
        raise UsageError(f"{directory}: cannot be written; say where else with --to")


def _make_plan(original: Original) -> Plan:
    """The plan of one run. What was decided for it lies in its own configuration."""
    plan, config = original.plan, original.config
    group = next(group for group in plan.groups if group.name == config.group)
    machine = original.status.machine
    resources = dict(plan.resources)
    if threads := machine.get("num_threads"):
        resources["cpus"] = threads
    if machine.get("device") == "cpu":
        resources["gpus"] = 0
    return dataclasses.replace(
        plan,
        seed=config.seed,
        rand_inits=1,
        grid={axis: [group.values[axis]] for axis in plan.grid if axis in group.values},
        groups=(group,),
        runs=tuple(run for run in plan.runs if run.name == original.run_dir.name),
        resources=resources,
        notify={},
        track={},
        extensions=(),
        configs={group.name: config.params},
    )


def _read_sources(experiment: ExperimentDir) -> list[tuple[Path, str]]:
    """The templates, the main one first, under the names that they had."""
    numbered = {}
    for path in experiment.template_dir.iterdir():
        match = _EXTENDED.fullmatch(path.name)
        number, name = (int(match[1]), match[2]) if match else (0, path.name)
        numbered[number] = (Path(name), path.read_text())
    return [numbered[number] for number in sorted(numbered)]


def _add_code(made: ExperimentDir, original: Original) -> None:
    source = original.run_dir.experiment
    # What the original itself reproduced is named in its record.
    _copy_tree(source.provenance_dir, made.provenance_dir / ORIGINAL, without=ORIGINAL)
    if original.snapshot is None:
        write_snapshot(made, plan_code(made.path.parent))
        return
    _copy_tree(source.code_dir, made.code_dir, without=BYTECODE)
    shutil.copyfile(source.snapshot_path, made.snapshot_path)


def _copy_tree(source: Path, target: Path, *, without: str) -> None:
    try:
        shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns(without))
    except shutil.Error as error:  # one for all files, without an errno
        path, _, reason = error.args[0][0]
        raise HpcexpError(f"{path}: cannot be copied ({reason}); nothing was kept") from error


def find_reproduced(reproduction: ExperimentDir) -> tuple[RunDir, RunDir]:
    """The original run of a reproduction, and the reproduction's own.

    Raises UsageError where it is none, or the original is not where it was.
    """
    record = read_json(reproduction.provenance_dir / "provenance.json").get("reproduces")
    if not record:
        raise UsageError(
            f"{reproduction.path} reproduces no run; "
            "hpcexp reproduce EXP_DIR RUN makes an experiment that does"
        )
    original = ExperimentDir(Path(record["experiment"])).run(record["run"])
    if not original.config_path.exists():
        raise UsageError(f"{original.path}: the run that was reproduced is not there any more")
    return original, reproduction.run(record["run"])


def judge(original: RunDir, reproduction: RunDir) -> Verdict:
    """Compare a run with its reproduction, and their surroundings.

    Raises HpcexpError where a record cannot be read.
    """
    comparison = compare_runs(original, reproduction)
    problem = _find_problem(read_status(original), read_status(reproduction), comparison)
    return Verdict(
        original,
        reproduction,
        comparison,
        tuple(compare_surroundings(original, reproduction)),
        problem,
        is_identical=comparison.is_equal and not problem,
    )


def _find_problem(then: RunStatus, now: RunStatus, comparison: Comparison) -> str:
    """Why equal rows are not enough."""
    if not now.is_finished and comparison.num_rows_now < comparison.num_rows_then:
        reason = f" ({now.reason})" if now.reason else ""
        return f"the reproduction is {now.state.words}{reason}"
    if then.is_finished and now.is_finished:
        ends = [
            _describe_end(*end)
            for end in ((then, comparison.num_rows_then), (now, comparison.num_rows_now))
        ]
        if ends[0] != ends[1]:
            return f"the original {ends[0]}, the reproduction {ends[1]}"
    if not comparison.num_rows:
        return f"the reproduction is {now.state.words} and has no metrics"
    return ""


def _describe_end(status: RunStatus, num_rows: int) -> str:
    verb = "stopped early" if status.state == State.STOPPED else status.state.words
    return f"{verb} after {status.step} steps and {num_rows} rows"
