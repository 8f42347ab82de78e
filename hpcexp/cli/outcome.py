"""What is said after runs were submitted or trained."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hpcexp.store.layout import ExperimentDir
from hpcexp.store.status import FAILED, FINISHED, State, read_status

if TYPE_CHECKING:
    from hpcexp.launch.submit import Handed

INTERRUPTED_EXIT_CODE = 130
FAILED_EXIT_CODE = 1
MAX_SHOWN = 5


def describe_submission(experiment: ExperimentDir, handed: Handed) -> str:
    """Which jobs there are now, and how to follow them."""
    from hpcexp.launch.executor import spell_count

    ids = [job_id for s in handed.submissions for job_id in s.job_ids]
    arrays = list(dict.fromkeys(job_id.partition("_")[0] for job_id in ids))
    runs, jobs = len(handed.run_names), handed.num_jobs
    counted = spell_count(jobs, "job")
    if jobs != runs and not handed.num_held:
        counted = f"{runs} runs in {counted}"
    held = (
        f"held      {spell_count(handed.num_held, 'job')} ({handed.held_reason}); "
        "jobs that end submit them\n"
        if handed.num_held
        else ""
    )
    where = f" (Slurm {', '.join(arrays)})" if arrays else " submitted now"
    return (
        f"{experiment.name}: {counted}{where}\n"
        f"{held}"
        f"follow    hpcexp status {experiment.name} --watch\n"
        f"results   hpcexp plot {experiment.name}    (works while it trains)"
    )


def describe_outcome(experiment: ExperimentDir, names: Sequence[str], *, done: bool) -> str:
    """How the runs ended that were trained here, and what to type next."""
    statuses = {name: read_status(experiment.run(name)) for name in names}
    counts = Counter(status.state for status in statuses.values())
    summary = ", ".join(f"{count} {state.words}" for state, count in counts.items())
    lines = [f"{experiment.name}: {summary}"]
    troubled = [(n, s) for n, s in statuses.items() if s.state in FAILED | {State.DIVERGED}]
    for name, status in troubled[:MAX_SHOWN]:
        lines.append(f"  {name}: {status.state.words}: {status.reason}")
        lines += [f"      {status.hint}"] if status.hint else []
    if len(troubled) > MAX_SHOWN:
        lines.append(f"  and {len(troubled) - MAX_SHOWN} more: hpcexp status {experiment.name}")
    unfinished = {s.state for s in statuses.values()} - FINISHED
    if not done or unfinished:
        only_cancelled = " --state cancelled" if unfinished == {State.CANCELLED} else ""
        lines.append(f"continue  hpcexp resume {experiment.name}{only_cancelled}")
    lines.append(f"results   hpcexp plot {experiment.name}")
    return "\n".join(lines)


def find_exit_code(experiment: ExperimentDir, names: Sequence[str], *, done: bool) -> int:
    """0 where every run came to an end of its own, 130 after Ctrl-C, else 1."""
    if not done:
        return INTERRUPTED_EXIT_CODE
    finished = all(read_status(experiment.run(name)).is_finished for name in names)
    return 0 if finished else FAILED_EXIT_CODE
