"""Random histories: an experiment, faults at random times, and what is true of its runs."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hpcexp.errors import HpcexpError
from hpcexp.launch.cancel import cancel
from hpcexp.launch.observe import observe
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.status import SETTLED, State, read_status
from hpcexp.store.submissions import Stage, index_jobs, read_submissions
from tests.simulated_cluster.jobs import Job
from tests.simulated_cluster.laboratory import Laboratory
from tests.simulated_cluster.worker import KILLED, Work

HOURS = 3600.0
LATER_S = 2000.0
"""After this much quiet every heartbeat has expired and accounting has caught up."""

HAPPENINGS = (
    *("kill", "kill", "node", "zombie", "preempt", "scancel", "controller", "database"),
    *("memory", "requeue", "resume", "resume", "cancel", "nothing"),
)
ENDS = (State.COMPLETED, State.COMPLETED, State.COMPLETED, State.DIVERGED, State.FAILED)
STATE_OF_END = {
    "TIMEOUT": State.TIMED_OUT,
    "NODE_FAIL": State.NODE_FAILURE,
    "PREEMPTED": State.PREEMPTED,
    "CANCELLED": State.CANCELLED,
    "OUT_OF_MEMORY": State.OUT_OF_MEMORY,
}
DEAD = frozenset(
    {State.LOST, State.NODE_FAILURE, State.TIMED_OUT, State.PREEMPTED, State.OUT_OF_MEMORY}
)


@dataclass
class Wrong:
    """A state that hpcexp told and that was not true."""

    seed: int
    run: str
    told: State
    true: str
    when: float


class History:
    """One random history; the same for the same seed."""

    def __init__(self, seed: int, directory: Path) -> None:
        self.seed, self.random = seed, random.Random(seed)
        chance = self.random
        self.works: dict[str, Work] = {}
        self.laboratory = Laboratory(
            directory,
            seed=seed,
            work_of=self._choose_work,
            checkpoint_every_s=chance.choice([60.0, 300.0]),
            num_nodes=2,
            slots_per_node=2,
            max_submit_jobs=chance.choice([None, None, 2, 3]),
            tells_limits=chance.random() < 0.5,
            has_accounting=chance.random() < 0.85,
            may_requeue=chance.random() < 0.7,
        )
        self.cluster = self.laboratory.cluster
        self.cluster.accounting_lag_s = chance.choice([0.0, 5.0, 60.0])
        self.wrong: list[Wrong] = []

    def _choose_work(self, run: str) -> Work:
        if run not in self.works:
            chance = random.Random(f"{self.seed} {run}")
            self.works[run] = Work(
                num_steps=chance.choice([10, 200, 900]),
                seconds_per_step=chance.choice([1.0, 4.0]),
                end=chance.choice(ENDS),
            )
        return self.works[run]

    def play(self) -> list[Wrong]:
        """Let everything happen; returns the wrong states that were told, now and then, and in
        the end.
        """
        with self.laboratory.open():
            experiment = self.laboratory.prepare(
                timeout=self.random.choice(["10m", "1h"]),
                max_restarts=self.random.choice([0, 1, 100]),
            )
            self._try(lambda: self.laboratory.launch(experiment))
            for _ in range(self.random.randint(1, 8)):
                self.cluster.run(until=self.cluster.clock.now + self.random.expovariate(1 / 600))
                self._let_something_happen(experiment)
                self._check_the_living(experiment)
            self.cluster.run()
            while self.cluster.zombies:  # processes that Slurm gave up, and that train all the same
                self.cluster.run(until=self.cluster.clock.now + LATER_S)
            self.cluster.run(until=self.cluster.clock.now + LATER_S)
            self._check_the_dead(experiment)
        return self.wrong

    def _try(self, action: Callable[[], object]) -> None:
        """A user who is told that something is not possible now does something else."""
        with suppress(HpcexpError):
            action()

    def _let_something_happen(self, experiment: ExperimentDir) -> None:
        cluster, chance, slurm = self.cluster, self.random, self.laboratory.slurm
        running = cluster.list_running()
        job = chance.choice(running) if running else None
        what = chance.choice(HAPPENINGS)
        if what == "controller":
            cluster.stop_controller(chance.choice([30.0, 400.0]))
        elif what == "database":
            slurm.is_database_up = False
            cluster.clock.after(chance.choice([30.0, 900.0]), self._start_database)
        elif what == "resume":
            self._try(lambda: self.laboratory.resume(experiment))
            self._forget_failures(experiment)
        elif what == "cancel":
            name = chance.choice(list(observe(experiment).statuses))
            self._try(lambda: cancel(experiment, [name]))
        elif job is not None:
            self._harm(job, what)

    def _forget_failures(self, experiment: ExperimentDir) -> None:
        """A run that failed and was resumed has not ended any more."""
        ended_as = self.laboratory.worker.ended_as
        for run in observe(experiment).statuses:
            recorded = read_status(experiment.run(run)).state
            key = f"{experiment.name}/{run}"
            if recorded == State.PENDING and ended_as.get(key) == State.FAILED:
                del ended_as[key]

    def _harm(self, job: Job, what: str) -> None:
        cluster = self.cluster
        if what == "kill":
            cluster.kill_worker(job)
        elif what in ("node", "zombie"):
            cluster.fail_node(job.node, is_zombie=what == "zombie")
        elif what == "preempt":
            cluster.preempt(job)
        elif what == "scancel":
            cluster.cancel(job, by="1000")
        elif what == "memory":
            cluster.end(job, job.generation, "OUT_OF_MEMORY", exit_code=0, signal=125)
        elif what == "requeue" and cluster.is_controller_up:
            cluster.requeue(job, cause="REQUEUE")

    def _start_database(self) -> None:
        self.laboratory.slurm.is_database_up = True

    # ------------------------------------------------------------------------ the truth

    def _find_job(self, experiment: ExperimentDir, run: str) -> Job | None:
        """The job that has a run last, as the cluster knows it."""
        place = index_jobs(read_submissions(experiment)).get(run)
        if place is None or place[0].stage == Stage.HELD:
            return None
        name, index = place[0].job_name, place[1]
        for jobs in self.cluster.jobs.values():
            if jobs[0].name == name:
                return jobs[index]
        return None

    def _check_the_living(self, experiment: ExperimentDir) -> None:
        """A run whose job waits or works, and that has not ended, is not dead."""
        observation = observe(experiment)
        for run, status in observation.statuses.items():
            job = self._find_job(experiment, run)
            is_live = job is not None and not job.is_over and job.state != "COMPLETING"
            is_verdict = status.state in DEAD and not status.reason.startswith("unknown since")
            if is_live and is_verdict:
                self._note(run, status.state, f"alive: {job.state if job else ''}")
            self._check_end(experiment, run, status.state)

    def _check_end(self, experiment: ExperimentDir, run: str, told: State) -> None:
        """A run has ended of its own if and only if it is said to have."""
        true = self.laboratory.worker.ended_as.get(f"{experiment.name}/{run}")
        own_ends = SETTLED - {State.CANCELLED, State.OUT_OF_MEMORY}
        if true is not None and told != true:
            self._note(run, told, f"ended as {true}")
        elif true is None and told in own_ends:
            self._note(run, told, "has not ended")

    def _check_the_dead(self, experiment: ExperimentDir) -> None:
        """Everything has come to rest: each run is in the state that its last job left it in."""
        observation = observe(experiment)
        for run, status in observation.statuses.items():
            self._check_end(experiment, run, status.state)
            key = f"{experiment.name}/{run}"
            if key in self.laboratory.worker.ended_as:
                continue
            expected = self._list_expected(experiment, run)
            if status.state not in expected:
                job = self._find_job(experiment, run)
                truth = [what for _, what in job.truth] if job else []
                self._note(run, status.state, f"{sorted(expected)} after {truth}")

    def _list_expected(self, experiment: ExperimentDir, run: str) -> set[State]:
        """From how its last job ended, and what the run wrote down itself."""
        recorded = read_status(experiment.run(run)).state
        job = self._find_job(experiment, run)
        silent: set[State] = {State.LOST} if recorded == State.RUNNING else {recorded}
        if recorded == State.CANCELLED or job is None or not job.truth:
            return silent
        end = job.truth[-1][1]
        if not self.laboratory.slurm.has_accounting:
            return silent  # squeue has forgotten the job by now
        if end in STATE_OF_END:
            return {STATE_OF_END[end]}
        if job.exit_code == KILLED and recorded == State.PENDING:
            return {State.LOST}
        return silent

    def _note(self, run: str, told: State, true: str) -> None:
        self.wrong.append(Wrong(self.seed, run, told, true, self.cluster.clock.now))
