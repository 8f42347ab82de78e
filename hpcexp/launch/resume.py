"""Which runs are resumed: those that are unfinished and that nobody works on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hpcexp.errors import HpcexpError
from hpcexp.launch.observe import ACTIVE, Observation, observe
from hpcexp.launch.selection import select_runs
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.status import FINISHED, State, read_status, write_status


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
