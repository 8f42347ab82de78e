"""The controller and its nodes: jobs wait, run, end, and are started again."""

from __future__ import annotations

import itertools
import os
import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.simulated_cluster.events import Clock
from tests.simulated_cluster.jobs import Job, Program, Script, Start

KILL_WAIT_S = 30.0
MIN_JOB_AGE_S = 300.0
COMPLETING_S = 2.0
REQUEUE_DELAY_S = 120.0
ZOMBIE_S = 400.0


class Cluster:
    """Nodes with slots; every fault is a method that a test calls at a time of its choice."""

    def __init__(
        self,
        program: Callable[[Job], Program],
        *,
        seed: int = 0,
        num_nodes: int = 4,
        slots_per_node: int = 4,
        start: float = 1_671_026_286.0,
    ) -> None:
        self.program, self.random = program, random.Random(seed)
        self.clock = Clock(start)
        self.nodes = {f"n{number}": slots_per_node for number in range(1, num_nodes + 1)}
        self.down: set[str] = set()
        self.jobs: dict[int, list[Job]] = {}
        self.waiting: list[Job] = []
        self.at_work: dict[str, set[Job]] = {node: set() for node in self.nodes}
        self.next_id = 1000
        self.is_controller_up = True
        self.deferred: list[Callable[[], None]] = []
        self.accounts: dict[str, list[tuple[float, str, int, int, str]]] = {}
        self.accounting_lag_s = 0.0
        self.current: tuple[Job, Start] | None = None
        self.pids = itertools.count(100_000)
        self.alive: dict[int, Program] = {}
        self.zombies: set[Program] = set()
        self.num_events: Counter[str] = Counter()
        self._is_scheduled = False

    # ------------------------------------------------------------------- submission

    def submit(self, script: Script) -> int:
        """Put an array into the queue; returns its id."""
        array_id = self.next_id
        self.next_id += script.num_elements + 1
        elements = [
            Job(
                array_id,
                index,
                script,
                self.clock.now,
                is_requeueable="requeue" in script.options,
                begin=self.clock.now,
            )
            for index in range(script.num_elements)
        ]
        self.jobs[array_id] = elements
        self.waiting += elements
        for job in elements:
            self._account(job)
        self._schedule_soon()
        return array_id

    def count_queued(self) -> int:
        """Jobs in the queue, as MaxSubmitJobs counts them."""
        return sum(not job.is_over for jobs in self.jobs.values() for job in jobs)

    # ------------------------------------------------------------------- scheduling

    def _schedule_soon(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            self.clock.after(1.0, self._schedule)

    def set_held(self, job: Job, is_held: bool) -> None:
        """Keep a waiting job from beginning, or let it again."""
        job.is_held = is_held
        self._schedule_soon()

    def _schedule(self) -> None:
        self._is_scheduled = False
        if not self.is_controller_up:
            return
        running = Counter(job.array_id for jobs in self.at_work.values() for job in jobs)
        left: list[Job] = []
        for position, job in enumerate(self.waiting):
            node = self._find_node()
            if node is None:
                left += self.waiting[position:]
                break
            if job.is_held:
                job.reason = "JobHeldUser"
                left.append(job)
            elif job.begin > self.clock.now:
                job.reason = "BeginTime"
                left.append(job)
                self.clock.at(job.begin, self._schedule_soon)
            elif running[job.array_id] >= job.script.max_parallel:
                job.reason = "JobArrayTaskLimit"
                left.append(job)
            else:
                running[job.array_id] += 1
                self._start(job, node)
        self.waiting = left

    def _find_node(self) -> str | None:
        for node, slots in self.nodes.items():
            if node not in self.down and len(self.at_work[node]) < slots:
                return node
        return None

    def _start(self, job: Job, node: str) -> None:
        job.state, job.reason, job.node, job.signals = "RUNNING", "None", node, []
        job.generation += 1
        self.at_work[node].add(job)
        self._note(job, "start")
        self._account(job)
        generation, limit_s = job.generation, job.script.time_limit_s
        job.process, job.pid = self.program(job), next(self.pids)
        self.alive[job.pid] = job.process
        start = Start(job.process, generation, job.pid, job.environment)
        self._advance(job, start)
        self.clock.after(
            limit_s - job.script.signal_delay_s, lambda: self._signal(job, generation, "USR2")
        )
        self.clock.after(limit_s, lambda: self._time_out(job, generation))

    # --------------------------------------------------------------------- processes

    def _advance(self, job: Job, start: Start) -> None:
        """Let a process run up to its next pause; it may be a zombie of an earlier start."""
        process = start.process
        if job.process is not process and process not in self.zombies:
            self._bury(process)
            return
        with self._as(job, start):
            try:
                seconds = next(process)
            except StopIteration as stop:
                code = int(stop.value or 0)
            else:
                self.clock.after(seconds, lambda: self._advance(job, start))
                return
        self._bury(process)
        if job.process is process:
            state = "COMPLETED" if code == 0 else "FAILED"
            self.end(job, start.generation, "CANCELLED" if job.by else state, exit_code=code)

    def _bury(self, process: Program) -> None:
        process.close()
        self.zombies.discard(process)
        self.alive = {pid: other for pid, other in self.alive.items() if other is not process}

    @contextmanager
    def _as(self, job: Job, start: Start) -> Iterator[None]:
        """Be a process of a job: its environment, and who asks Slurm."""
        before, self.current = self.current, (job, start)
        os.environ.update(start.environment)
        try:
            yield
        finally:
            self.current = before
            for name in start.environment:
                os.environ.pop(name, None)

    def _signal(self, job: Job, generation: int, name: str) -> None:
        """Tell a process something; it looks at once."""
        if generation == job.generation and job.process is not None and job.state == "RUNNING":
            job.signals.append(name)

    # -------------------------------------------------------------------------- ends

    def end(
        self, job: Job, generation: int, state: str, *, exit_code: int = 0, signal: int = 0
    ) -> None:
        """A start of a job is over; the controller learns of it when it is up."""
        if generation != job.generation or job.is_over or job.state == "PENDING":
            return
        if job.ended_generation == generation:
            return  # it has ended, and the controller, which is down, does not know
        job.ended_generation = generation
        self._kill_process(job)
        self._note(job, state)
        if not self.is_controller_up:
            self.deferred.append(lambda: self._learn_end(job, generation, state, exit_code, signal))
        else:
            self._learn_end(job, generation, state, exit_code, signal)

    def _learn_end(
        self, job: Job, generation: int, state: str, exit_code: int, signal: int
    ) -> None:
        if generation != job.generation or job.is_over or job.state == "PENDING":
            return
        job.exit_code, job.signal = exit_code, signal
        job.state = "COMPLETING"
        self.at_work[job.node].discard(job)
        job.ended = self.clock.now

        def finish() -> None:
            job.state = state
            self._account(job)

        self.clock.after(COMPLETING_S, finish)
        self._schedule_soon()

    def requeue(self, job: Job, *, cause: str, is_zombie: bool = False) -> bool:
        """Start a job again; False where that is not allowed."""
        if not job.is_requeueable or job.is_over or job.state == "PENDING":
            return False
        if is_zombie and job.process is not None:
            self.zombies.add(job.process)  # it goes on by itself
            job.process = None
        else:
            self._kill_process(job)
        self._note(job, cause)
        self.at_work[job.node].discard(job)
        job.state, job.reason, job.begin = "PENDING", "BeginTime", self.clock.now + REQUEUE_DELAY_S
        job.restarts += 1
        job.generation += 1
        self.waiting.append(job)
        self._account(job)
        self._schedule_soon()
        return True

    def _kill_process(self, job: Job) -> None:
        process, job.process = job.process, None
        # A process that has itself started again is buried when its turn would come.
        if process is not None and (self.current is None or self.current[0] is not job):
            self._bury(process)

    def _time_out(self, job: Job, generation: int) -> None:
        if generation != job.generation or job.is_over or job.state != "RUNNING":
            return
        self._signal(job, generation, "TERM")
        self.clock.after(KILL_WAIT_S, lambda: self.end(job, generation, "TIMEOUT"))

    # ------------------------------------------------------------------------ faults

    def list_running(self) -> list[Job]:
        """Jobs at work, in the order of their ids."""
        found = [job for jobs in self.at_work.values() for job in jobs if job.state == "RUNNING"]
        return sorted(found, key=lambda job: (job.array_id, job.index))

    def cancel(self, job: Job, *, by: str) -> None:
        """What scancel does."""
        if job.is_over:
            return
        job.by = by
        if job.state == "PENDING":
            self.waiting.remove(job)
            job.ended, job.state = self.clock.now, "CANCELLED"
            self._note(job, "CANCELLED")
            self._account(job)
            return
        generation = job.generation
        job.signals.append("TERM")
        job.state = "COMPLETING"
        self.clock.after(KILL_WAIT_S, lambda: self.end(job, generation, "CANCELLED"))

    def kill_worker(self, job: Job) -> None:
        """SIGKILL for the worker; the batch shell around it goes on."""
        job.signals.append("KILL")

    def preempt(self, job: Job, *, grace_s: float = 30.0) -> None:
        """Make way for another job: SIGTERM, and after the grace time start again or end."""
        generation = job.generation
        self._signal(job, generation, "TERM")

        def end_grace() -> None:
            if generation != job.generation or job.is_over:
                return
            if not self.requeue(job, cause="PREEMPTED"):
                self.end(job, generation, "PREEMPTED")

        self.clock.after(grace_s, end_grace)

    def fail_node(self, node: str, *, back_after_s: float = 600.0, is_zombie: bool = False) -> None:
        """Lose a node; with `is_zombie` its processes go on, cut off from the controller."""
        self.down.add(node)
        for job in sorted(self.at_work[node], key=lambda job: job.id):
            if job.state != "RUNNING":
                continue
            if not self.requeue(job, cause="NODE_FAIL", is_zombie=is_zombie):
                self.end(job, job.generation, "NODE_FAIL")
        self.clock.after(back_after_s, lambda: self._bring_up(node))

    def _bring_up(self, node: str) -> None:
        self.down.discard(node)
        self._schedule_soon()

    def stop_controller(self, seconds: float) -> None:
        """No command answers for a while; processes go on."""
        self.is_controller_up = False
        self.clock.after(seconds, self._start_controller)

    def _start_controller(self) -> None:
        self.is_controller_up = True
        deferred, self.deferred = self.deferred, []
        for learn in deferred:
            learn()
        self._schedule_soon()

    # -------------------------------------------------------------------- accounting

    def _note(self, job: Job, what: str) -> None:
        job.truth.append((self.clock.now, what))
        self.num_events[what] += 1

    def _account(self, job: Job) -> None:
        """Tell the database, which shows it after a while."""
        shown = self.clock.now + self.accounting_lag_s
        state = f"CANCELLED by {job.by}" if job.state == "CANCELLED" else job.state
        entry = (shown, state, job.exit_code, job.signal, job.node)
        self.accounts.setdefault(job.id, []).append(entry)

    def find_job(self, job_id: str) -> Job | None:
        """The job of an id such as `77_3`."""
        array, _, index = job_id.partition("_")
        elements = self.jobs.get(int(array), [])
        return elements[int(index)] if index.isdigit() and int(index) < len(elements) else None

    def run(self, *, until: float | None = None) -> None:
        """Let time pass up to a moment, or until no job is left in the queue."""
        if until is not None:
            self.clock.run_until(until)
            return
        while self.count_queued() and self.clock.step():
            pass
