"""Looking into the runs of an experiment, one after another.

A run without the parameters that are meant is skipped, one whose parameters cannot be read
is a problem; both are said, and the others go on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from hpcexp.errors import HpcexpError, UsageError
from hpcexp.store.experiment import Plan, PlannedRun, read_plan
from hpcexp.store.files import write_bytes
from hpcexp.store.layout import EvalDir, ExperimentDir, RunDir
from hpcexp.store.status import State, read_status
from hpcexp.train.inspection import Findings, Inspectable, Request
from hpcexp.worker.inspection.parameters import (
    Choice,
    LoadedModel,
    check_choice,
    choose_device,
    load_model,
    load_run_workload,
)
from hpcexp.worker.inspection.write import render_findings
from hpcexp.worker.parameters import NoParametersError, NotKeptError

if TYPE_CHECKING:
    import torch

    from hpcexp.train.workload import Workload

logger = logging.getLogger("hpcexp.worker")


@dataclass(frozen=True)
class LookedInto:
    """What was found in one run, or why nothing was.

    `skipped`: it has no parameters yet, or not those that are meant; `problem`: they cannot be
    read. `numbers` are those of each kind. `notes` say what was left out, and what is not quite
    as asked for.
    """

    run: PlannedRun
    state: State
    epoch: int | None = None
    step: int | None = None
    numbers: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    files: Sequence[Path] = ()
    notes: Sequence[str] = ()
    skipped: str = ""
    problem: str = ""

    @property
    def is_done(self) -> bool:
        """Whether there was something to look into."""
        return not self.skipped and not self.problem


@dataclass(frozen=True)
class EvalReport:
    """All that was looked at, in the order of the plan; `split` None: what each kind is for."""

    experiment: ExperimentDir
    plan: Plan
    directory: EvalDir
    choice: Choice
    split: str | None
    runs: Sequence[LookedInto]

    @property
    def looked_at(self) -> str:
        """A name for what was looked at: rows of one table have the same."""
        return name_looked_at(self.choice, self.split)

    @property
    def kinds_with_numbers(self) -> list[str]:
        """The kinds that have a table of all runs."""
        return list(dict.fromkeys(kind for run in self.runs for kind in run.numbers))


def evaluate_runs(
    experiment: ExperimentDir,
    run_names: Sequence[str],
    *,
    request: Request,
    choice: Choice,
    device: str | None = None,
    output_dir: Path | None = None,
    on_run: Callable[[LookedInto], None] = lambda _: None,
) -> EvalReport:
    """Look into runs, and write what is drawn of each under the experiment's eval directory.

    Where `request.kinds` is empty, all kinds of the workload are meant. Raises UsageError,
    before anything is written, for what the workload or this machine cannot do, and for
    parameters that no run has.
    """
    plan = read_plan(experiment)
    chosen = [run for run in plan.runs if run.name in set(run_names)]
    torch_device = choose_device(device)
    label = name_looked_at(choice, request.split)
    directory = EvalDir(output_dir) if output_dir else experiment.eval_dir(label)
    workloads, problems = _load_workloads(experiment, chosen)
    requests = {
        name: _complete(request, workload, plan.workload) for name, workload in workloads.items()
    }
    check_choice([experiment.run(name) for name in workloads], choice)
    _check_writable(directory)
    looked: list[LookedInto] = []
    for run in chosen:
        if run.name in problems:
            found = LookedInto(
                run, _read_state(experiment.run(run.name)), problem=problems[run.name]
            )
        else:
            found = _look_into(
                experiment.run(run.name),
                run,
                workloads[run.name],
                request=requests[run.name],
                choice=choice,
                device=torch_device,
                directory=directory,
            )
        looked.append(found)
        on_run(found)
    return EvalReport(experiment, plan, directory, choice, request.split, looked)


def name_looked_at(choice: Choice, split: str | None) -> str:
    """Such as `last`, `best_loss`, or `epoch_000500_on_train`."""
    return f"{choice.label}_on_{split}" if split else choice.label


def _check_writable(directory: EvalDir) -> None:
    """Ask before minutes of work; what was not there before is left as it was."""
    try:
        is_new = not directory.path.exists()
        directory.path.mkdir(parents=True, exist_ok=True)
        write_bytes(directory.path / ".probe", b"")
        (directory.path / ".probe").unlink()
        if is_new:
            directory.path.rmdir()
    except OSError as error:
        raise UsageError(
            f"{directory.path}: cannot be written ({error.strerror}); "
            "choose another directory with --output"
        ) from error


def _load_workloads(
    experiment: ExperimentDir, runs: Sequence[PlannedRun]
) -> tuple[dict[str, Workload], dict[str, str]]:
    workloads: dict[str, Workload] = {}
    problems: dict[str, str] = {}
    for run in runs:
        try:
            workloads[run.name] = load_run_workload(experiment.run(run.name))
        except UsageError:
            raise  # no such workload: so it is with all runs
        except HpcexpError as error:
            problems[run.name] = str(error)
    return workloads, problems


def _complete(request: Request, workload: Workload, name: str) -> Request:
    """The request with the kinds that are meant; checked."""
    if not isinstance(workload, Inspectable):
        raise UsageError(f"the workload {name} has nothing to look into")
    complete = replace(request, kinds=tuple(request.kinds) or tuple(workload.inspection_kinds))
    workload.check_request(complete)
    return complete


def _look_into(
    run_dir: RunDir,
    run: PlannedRun,
    workload: Workload,
    *,
    request: Request,
    choice: Choice,
    device: torch.device,
    directory: EvalDir,
) -> LookedInto:
    state = _read_state(run_dir)
    try:
        loaded = load_model(run_dir, workload, choice=choice, device=device)
    except NoParametersError:
        return LookedInto(run, state, skipped=f"no parameters yet ({state})")
    except NotKeptError as error:
        return LookedInto(run, state, skipped=str(error).removeprefix(f"{run_dir.name}: "))
    except HpcexpError as error:
        return LookedInto(run, state, problem=str(error).removeprefix(f"{run_dir.name}: "))
    assert isinstance(workload, Inspectable)
    try:
        return _show(run, state, workload, loaded, request=request, directory=directory)
    except OSError as error:
        name = f" ({error.filename})" if error.filename else ""
        return LookedInto(run, state, problem=f"{error.strerror}{name}")


def _show(
    run: PlannedRun,
    state: State,
    workload: Inspectable,
    loaded: LoadedModel,
    *,
    request: Request,
    directory: EvalDir,
) -> LookedInto:
    headline = f"{run.name}, epoch {loaded.epoch}"
    numbers: dict[str, Mapping[str, float]] = {}
    notes = [loaded.note] if loaded.note else []
    files: list[Path] = []
    for findings in workload.inspect(loaded.model, request):
        files += write_findings(findings, directory, run=run.name, headline=headline)
        notes += findings.notes
        if findings.numbers:
            numbers[findings.kind] = findings.numbers
    return LookedInto(run, state, loaded.epoch, loaded.step, numbers, files, notes)


def _read_state(run_dir: RunDir) -> State:
    """The state of a run; lost where its status cannot be read, which is no reason not to look."""
    try:
        return read_status(run_dir).state
    except HpcexpError:
        return State.LOST


def write_findings(
    findings: Findings, directory: EvalDir, *, run: str, headline: str
) -> list[Path]:
    """Write the parts of one kind of one run; the paths, in order."""

    def path_of(part: str, suffix: str) -> Path:
        return directory.part_path(findings.kind, run=run, part=part, suffix=suffix)

    contents = render_findings(findings, path_of=path_of, headline=headline)
    for path, content in contents.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, content)
    return list(contents)
