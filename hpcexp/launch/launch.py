"""Launching, resuming and cancelling: which runs go where, each exactly once."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout

from hpcexp.errors import HpcexpError, UsageError
from hpcexp.launch import slurm
from hpcexp.launch.inline import run_inline
from hpcexp.launch.local import LocalPool, choose_shape, describe_driver
from hpcexp.launch.observe import ACTIVE, Observation, observe
from hpcexp.launch.plan import make_bundles, make_plan, split_into_arrays
from hpcexp.store.experiment import Plan, create_experiment, read_plan
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.provenance import collect_provenance
from hpcexp.store.status import FINISHED, State, read_status, write_status
from hpcexp.store.submissions import (
    Submission,
    make_submission,
    read_submissions,
    write_submission,
)
from hpcexp.template import Resources, Template

ExecutorName = Literal["slurm", "local", "inline"]
LOCK_TIMEOUT_S = 30.0


@dataclass(frozen=True)
class LaunchOptions:
    """Where to train.

    While a local pool works, `on_tick` is called every half second, and `on_interrupt`, with
    the number of jobs that are asked to stop, after Ctrl-C.
    """

    executor: ExecutorName
    num_jobs: int | None = None
    on_tick: Callable[[], None] = lambda: None
    on_interrupt: Callable[[int], None] = lambda _: None


def choose_executor() -> ExecutorName:
    """Slurm on a login node, else this machine."""
    return "slurm" if slurm.has_slurm() else "local"


def check_groups(template: Template, only: Sequence[str]) -> None:
    """Raise UsageError where `only` names a group that the template has not."""
    known = [group.name for group in template.groups()] if only else []
    for name in only:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1) or known[:3]
            raise UsageError(
                f"{template.name} has no group {name!r}; did you mean {' or '.join(near)}?"
            )


def prepare(
    template: Template, *, experiments_dir: Path, only: Sequence[str] = ()
) -> ExperimentDir:
    """Make the experiment directory of a template; nothing is submitted yet."""
    return create_experiment(
        experiments_dir,
        make_plan(template, only=only),
        sources=[(source.path, source.text) for source in template.sources],
        provenance=collect_provenance(exclude=[experiments_dir]),
    )


def submit_runs(
    experiment: ExperimentDir, choose: Callable[[], Sequence[str]], options: LaunchOptions
) -> tuple[list[str], bool]:
    """Hand the runs that `choose` names to an executor.

    They are chosen and written down under the submission lock, so that two commands never
    submit one run; a local pool works after the lock is given back. Returns the runs, and
    False where the training was interrupted.
    """
    with submitting(experiment):
        run_names = list(choose())
        resources = read_resources(read_plan(experiment))
        submissions = _make_submissions(experiment, run_names, options.executor)
        for submission in submissions:
            if options.executor == "slurm":
                slurm.submit(experiment, submission, resources)
            else:
                write_submission(experiment, submission)
    if options.executor == "slurm":
        return run_names, True
    finished = [_train_here(experiment, s, resources, options) for s in submissions]
    return run_names, all(finished)


def _make_submissions(
    experiment: ExperimentDir, run_names: Sequence[str], executor: ExecutorName
) -> list[Submission]:
    if not run_names:
        return []
    bundles = make_bundles(run_names)
    arrays: list[list[Sequence[str]]] = [list(bundles)]
    if executor == "slurm":
        arrays = split_into_arrays(bundles)
    number = len(read_submissions(experiment)) + 1
    driver = None if executor == "slurm" else describe_driver()
    return [
        make_submission(
            experiment, number=number + i, executor=executor, bundles=array, driver=driver
        )
        for i, array in enumerate(arrays)
    ]


def _train_here(
    experiment: ExperimentDir,
    submission: Submission,
    resources: Resources,
    options: LaunchOptions,
) -> bool:
    if options.executor == "inline":
        return run_inline(experiment, submission, resources)
    shape = choose_shape(resources, num_jobs=options.num_jobs)
    return LocalPool(
        experiment, submission, shape, on_tick=options.on_tick, on_interrupt=options.on_interrupt
    ).run()


def read_resources(plan: Plan) -> Resources:
    """The resources that a plan was made with."""
    return Resources.model_validate(dict(plan.resources))


def choose_resumable(observation: Observation, run_names: Sequence[str] = ()) -> list[str]:
    """Runs that are unfinished and that nobody works on; cancelled ones only if named.

    Raises UsageError for unknown names, HpcexpError where Slurm did not answer: then a run
    may be waiting in the queue, and submitting it would train it twice.
    """
    if not observation.is_queue_known:
        raise HpcexpError(
            "squeue did not answer: runs may be waiting or training; nothing was submitted. "
            "Try again when `squeue --me` works"
        )
    chosen = select_runs(observation, run_names)
    skipped = FINISHED | ACTIVE | (frozenset() if run_names else frozenset({State.CANCELLED}))
    return [name for name in chosen if observation.statuses[name].state not in skipped]


def select_runs(observation: Observation, names: Sequence[str]) -> list[str]:
    """Runs by their names or their group's; all where none is named.

    Raises UsageError for a name that is neither.
    """
    if not names:
        return list(observation.statuses)
    members: dict[str, list[str]] = {run.name: [run.name] for run in observation.plan.runs}
    for run in observation.plan.runs:
        members.setdefault(run.group, []).append(run.name)
    unknown = [name for name in names if name not in members]
    if unknown:
        raise UsageError(_describe_unknown(unknown[0], list(members), observation))
    return list(dict.fromkeys(run for name in names for run in members[name]))


def _describe_unknown(name: str, known: Sequence[str], observation: Observation) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"for instance {known[0]}"
    return f"{observation.experiment.name} has no run or group {name!r}; {hint}"


def make_resumable_chooser(
    experiment: ExperimentDir, run_names: Sequence[str]
) -> Callable[[], list[str]]:
    """Chooses, when called under the submission lock, what `hpcexp resume` submits."""

    def choose() -> list[str]:
        chosen = choose_resumable(observe(experiment), run_names)
        for name in chosen:
            _mark_pending(experiment, name)
        return chosen

    return choose


def _mark_pending(experiment: ExperimentDir, name: str) -> None:
    """Nobody works on the run. What it ended with last time must not hide its new job."""
    run_dir = experiment.run(name)
    run_dir.cancel_path.unlink(missing_ok=True)
    status = read_status(run_dir)
    write_status(run_dir, status.replace(state=State.PENDING, reason="", hint=""))


@dataclass(frozen=True)
class Cancelled:
    """Runs that were cancelled at once, and those that will stop at their next step."""

    ended: tuple[str, ...]
    stopping: tuple[str, ...]


def cancel(experiment: ExperimentDir, run_names: Sequence[str] = ()) -> Cancelled:
    """End runs: waiting ones at once, training ones at their next step, with a checkpoint."""
    with submitting(experiment):
        observation = observe(experiment)
        chosen = [
            name
            for name in select_runs(observation, run_names)
            if observation.statuses[name].state not in FINISHED | {State.FAILED, State.CANCELLED}
        ]
        for name in chosen:
            experiment.run(name).cancel_path.touch()
        slurm.cancel_jobs(_find_job_ids(observation, chosen))
        training = {n for n in chosen if observation.statuses[n].state == State.RUNNING}
        for name in chosen:
            if name not in training:
                _mark_cancelled(experiment, name)
    return Cancelled(
        ended=tuple(n for n in chosen if n not in training),
        stopping=tuple(n for n in chosen if n in training),
    )


def _mark_cancelled(experiment: ExperimentDir, name: str) -> None:
    run_dir = experiment.run(name)
    status = read_status(run_dir)
    cancelled = status.replace(
        state=State.CANCELLED,
        reason="cancelled by the user",
        hint=f"hpcexp resume {experiment.name} {name} trains it after all",
    )
    write_status(run_dir, cancelled)


def _find_job_ids(observation: Observation, run_names: Sequence[str]) -> list[str]:
    """Slurm jobs all of whose runs are among the named ones."""
    wanted = set(run_names)
    return [
        job_id
        for submission in observation.submissions
        if submission.executor == "slurm"
        for bundle, job_id in zip(submission.bundles, submission.job_ids, strict=False)
        if wanted.issuperset(bundle)
    ]


@contextmanager
def submitting(experiment: ExperimentDir) -> Iterator[None]:
    """Hold the experiment's submission lock.

    Raises HpcexpError where another command holds it for long.
    """
    experiment.jobs_dir.mkdir(exist_ok=True)
    try:
        with FileLock(experiment.submission_lock_path, timeout=LOCK_TIMEOUT_S):
            yield
    except Timeout as error:
        raise HpcexpError(
            f"{experiment.name}: another hpcexp command is submitting or cancelling its runs; "
            "try again in a minute"
        ) from error
