"""A model of the worker: it does to run directories what the real one does, and trains nothing.

Locks, owners, statuses, summaries and the rules of attempts are the real code.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hpcexp.errors import HpcexpError, RunOwnedError, SupersededError
from hpcexp.launch.slurm import held
from hpcexp.store.checkpoints import find_newest_step, list_checkpoints
from hpcexp.store.layout import ExperimentDir, RunDir
from hpcexp.store.ownership import Ownership, acquire
from hpcexp.store.status import SETTLED, RunStatus, State, read_status, write_status
from hpcexp.store.submissions import read_submission
from hpcexp.worker.attempt import MAX_DEATHS, count_deaths
from hpcexp.worker.bundle import find_refusal
from hpcexp.worker.exit_codes import ASK_SLURM, START_AGAIN
from tests.simulated_cluster.commands import SimulatedSlurm
from tests.simulated_cluster.jobs import Job, Program

KILLED = 128 + 9
STARTUP_S, MOMENT_S, LOOK_EVERY_S = 5.0, 0.5, 20.0


@dataclass(frozen=True)
class Work:
    """What a run takes, and how it ends if nothing comes in between."""

    num_steps: int = 100
    seconds_per_step: float = 3.0
    end: State = State.COMPLETED


class ModelWorker:
    """Makes the processes of a simulated cluster.

    `num_ends` counts how often each run came to its end: more than once is a duplicate.
    """

    def __init__(
        self, work_of: Callable[[str], Work], *, checkpoint_every_s: float = 300.0
    ) -> None:
        self.work_of, self.checkpoint_every_s = work_of, checkpoint_every_s
        self.num_ends: Counter[str] = Counter()
        self.ended_as: dict[str, State] = {}
        self.num_refused = 0
        self.is_waiting = False
        self.slurm: SimulatedSlurm

    def __call__(self, job: Job) -> Program:
        """The worker of a job, and the batch shell around it."""
        path, submission_id = job.script.worker_arguments
        experiment = ExperimentDir(Path(path))
        try:
            code = yield from self._train_bundle(job, experiment, submission_id)
        except HpcexpError:
            code = 1
        yield MOMENT_S
        is_started_again = self._start_again(job, experiment, submission_id, code)
        if not is_started_again and experiment.held_path.exists() and not self.is_waiting:
            self.is_waiting = True
            yield held.WAIT_S
            self.is_waiting = False
            held.try_to_submit(experiment)
        return code

    # ------------------------------------------------------------------------ the worker

    def _train_bundle(self, job: Job, experiment: ExperimentDir, submission_id: str) -> Program:
        yield STARTUP_S
        if code := _find_code(job):
            return code
        submission = read_submission(experiment, submission_id)
        if find_refusal(submission):
            self.num_refused += 1
            return 0
        for name in submission.bundles[job.index]:
            if code := _find_code(job):
                return code
            try:
                ownership = self._take(experiment.run(name))
            except RunOwnedError:
                continue
            if ownership is None:
                continue
            try:
                yield from self._train(job, ownership)
            except SupersededError:
                continue
        return _find_code(job)

    def _take(self, run_dir: RunDir) -> Ownership | None:
        if read_status(run_dir).state in SETTLED:
            return None
        ownership = acquire(run_dir)
        status = read_status(run_dir)
        deaths = count_deaths(run_dir, status)
        if status.state in SETTLED:
            ownership.release()
            return None
        if deaths > MAX_DEATHS:
            self._end(ownership, State.FAILED, status.step)
            ownership.release()
            return None
        begun = status.replace(
            state=State.RUNNING,
            attempt=ownership.attempt,
            reason="",
            deaths=deaths,
            begun_step=find_newest_step(run_dir),
            job_id=ownership.owner.job_id,
        )
        self._write(ownership, begun)
        return ownership

    def _train(self, job: Job, ownership: Ownership) -> Program:
        run_dir, work = ownership.run_dir, self.work_of(ownership.run_dir.name)
        step = find_newest_step(run_dir)
        since_checkpoint_s = 0.0
        while step < work.num_steps:
            num_steps = min(
                work.num_steps - step, max(1, int(LOOK_EVERY_S / work.seconds_per_step))
            )
            yield num_steps * work.seconds_per_step
            if "KILL" in job.signals:
                return 0
            ownership.check()
            ownership.show_life()
            step += num_steps
            since_checkpoint_s += num_steps * work.seconds_per_step
            is_cancelled = run_dir.cancel_path.exists()
            if job.signals or is_cancelled or since_checkpoint_s >= self.checkpoint_every_s:
                self._save(ownership, step)
                since_checkpoint_s = 0.0
            if job.signals or is_cancelled:
                self._write(ownership, _stop(read_status(run_dir), job, step, is_cancelled))
                ownership.release()
                return 0
        self._end(ownership, work.end, step)
        yield MOMENT_S
        if "KILL" not in job.signals:
            ownership.release()
        return 0

    def _end(self, ownership: Ownership, state: State, step: int) -> None:
        run_dir = ownership.run_dir
        with ownership.writing():
            key = f"{run_dir.experiment.name}/{run_dir.name}"
            self.num_ends[key] += 1
            self.ended_as[key] = state
            write_status(run_dir, read_status(run_dir).replace(state=state, step=step))

    def _save(self, ownership: Ownership, step: int) -> None:
        run_dir = ownership.run_dir
        with ownership.writing():
            run_dir.checkpoints_dir.mkdir(exist_ok=True)
            run_dir.checkpoint_path(attempt=ownership.attempt, step=step).touch()
            for old in list_checkpoints(run_dir)[2:]:
                old.unlink()
            status = read_status(run_dir).replace(step=step)
            write_status(run_dir, status, is_news=False)

    def _write(self, ownership: Ownership, status: RunStatus) -> None:
        with ownership.writing():
            write_status(ownership.run_dir, status)

    # -------------------------------------------------------------------- the batch shell

    def _start_again(
        self, job: Job, experiment: ExperimentDir, submission_id: str, code: int
    ) -> bool:
        """The rules of `AFTER_THE_WORKER`, which tests/launch/slurm/test_script.py runs in bash."""
        found = re.search(r"SLURM_RESTART_COUNT:-0}\" -ge (\d+)", job.script.text)
        is_started_again = code in (START_AGAIN, KILLED)
        if code == ASK_SLURM:
            told = self.slurm("squeue", f"--jobs={job.id}", "--format=%T")
            is_started_again = told.stdout.strip() == "RUNNING"
        note = experiment.not_requeued_path(submission_id, job.index)
        note.unlink(missing_ok=True)
        if is_started_again and found and job.restarts >= int(found[1]):
            note.write_text("it ended\nstarted again too often\n")
        elif is_started_again:
            told = self.slurm("scontrol", "requeue", job.id)
            if not told.is_ok:
                note.write_text(f"it ended\n{told.stderr}")
        return is_started_again


def _find_code(job: Job) -> int:
    """What the worker would end with now; 0 where nobody asked it to."""
    if "KILL" in job.signals:
        return KILLED
    if not job.signals:
        return 0
    return START_AGAIN if job.signals[0] == "USR2" else ASK_SLURM


def _stop(status: RunStatus, job: Job, step: int, is_cancelled: bool) -> RunStatus:
    if is_cancelled:
        return status.replace(state=State.CANCELLED, step=step)
    state = State.TIMED_OUT if job.signals[0] == "USR2" else State.INTERRUPTED
    return status.replace(state=state, step=step, reason="stopped")
