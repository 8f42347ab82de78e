"""A pool of processes on this machine: a few jobs at a time, each on GPUs of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import BinaryIO

from hpcexp.cpus import count_cpus
from hpcexp.launch.code import make_python_command, worker_environment
from hpcexp.launch.executor import AttachedExecutor, LaunchOptions, describe_packs, spell_count
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.ownership import read_process_start
from hpcexp.store.submissions import Driver, Submission
from hpcexp.template import Resources

POLL_EVERY_S = 0.1
TICK_EVERY_S = 0.5


@dataclass(frozen=True)
class PoolShape:
    """How many jobs at once, the threads of each, and the GPUs of each slot."""

    num_jobs: int
    num_threads: int
    gpus: tuple[tuple[str, ...], ...]


def choose_shape(resources: Resources, *, num_jobs: int | None) -> PoolShape:
    """As many jobs as there are GPUs (if the template asks for them) or CPUs for.

    `num_jobs` overrides; GPUs are then shared out in turn.
    """
    gpus = find_gpus() if resources.gpus else []
    num_cpus = count_cpus()
    if num_jobs is None:
        by_gpu = len(gpus) // resources.gpus if gpus else None
        num_jobs = by_gpu or max(1, num_cpus // resources.cpus)
    if resources.max_parallel is not None:
        num_jobs = min(num_jobs, resources.max_parallel)
    return PoolShape(
        num_jobs=max(1, num_jobs),
        num_threads=max(1, min(resources.cpus, num_cpus)),
        gpus=tuple(_share_gpus(gpus, resources.gpus, slot) for slot in range(max(1, num_jobs))),
    )


def _share_gpus(gpus: list[str], per_job: int, slot: int) -> tuple[str, ...]:
    if not gpus:
        return ()
    return tuple(gpus[(slot * per_job + i) % len(gpus)] for i in range(min(per_job, len(gpus))))


def find_gpus() -> list[str]:
    """GPUs that may be used here, as CUDA_VISIBLE_DEVICES spells them."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [gpu.strip() for gpu in visible.split(",") if gpu.strip()]
    try:
        listed = subprocess.run(
            ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=20,
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    return listed.stdout.split() if listed.returncode == 0 else []


def _open_log(path: Path) -> BinaryIO:
    """What a job prints is lost where it cannot be kept: that is no reason not to train."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("ab")
    except OSError:
        return Path(os.devnull).open("ab")


def describe_driver() -> Driver:
    """This process, as the one that works on a submission."""
    return Driver(socket.gethostname(), os.getpid(), read_process_start(os.getpid()))


def _list_heeded_signals() -> list[signal.Signals]:
    """Ctrl-C, termination, and a terminal that closes; but not what `nohup` or `&` ignore."""
    signals = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
    return [number for number in signals if signal.getsignal(number) != signal.SIG_IGN]


@dataclass
class LocalPool:
    """Runs the bundles of one submission; `run` returns when all are done or after Ctrl-C."""

    experiment: ExperimentDir
    submission: Submission
    shape: PoolShape
    on_tick: Callable[[], None] = lambda: None
    on_interrupt: Callable[[int], None] = lambda _: None
    num_interrupts: int = 0
    jobs: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)

    def run(self) -> bool:
        """Train everything; False where it was interrupted.

        The first Ctrl-C asks the jobs to save a checkpoint and stop; the second kills them.
        """
        waiting = list(range(len(self.submission.bundles)))
        previous = {n: signal.signal(n, self._interrupt) for n in _list_heeded_signals()}
        next_tick = 0.0
        is_announced = False
        try:
            while self.jobs or (waiting and not self.num_interrupts):
                self._reap()
                if self.num_interrupts and not is_announced:
                    self.on_interrupt(len(self.jobs))
                    is_announced = True
                while waiting and not self.num_interrupts and self._free_slots():
                    self._start(waiting.pop(0), slot=self._free_slots()[0])
                if time.monotonic() >= next_tick:
                    self.on_tick()
                    next_tick = time.monotonic() + TICK_EVERY_S
                time.sleep(POLL_EVERY_S)
            self.on_tick()
        finally:
            for job in self.jobs.values():
                job.terminate()
            for number, handler in previous.items():
                signal.signal(number, handler)
        return not self.num_interrupts

    def _free_slots(self) -> list[int]:
        return [slot for slot in range(self.shape.num_jobs) if slot not in self.jobs]

    def _reap(self) -> None:
        self.jobs = {slot: job for slot, job in self.jobs.items() if job.poll() is None}

    def _start(self, index: int, *, slot: int) -> None:
        log_path = self.experiment.job_log_path(self.submission.id, index)
        arguments = [str(self.experiment.path.absolute()), self.submission.id, str(index)]
        with _open_log(log_path) as log:
            # A session of its own: Ctrl-C reaches the launcher only, which passes it on.
            self.jobs[slot] = subprocess.Popen(
                make_python_command(self.experiment, "hpcexp.worker", *arguments),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._make_environment(slot),
                start_new_session=True,
            )

    def _make_environment(self, slot: int) -> dict[str, str]:
        threads = str(self.shape.num_threads)
        environment = {k: v for k, v in os.environ.items() if not k.startswith("SLURM_")}
        return (
            environment
            | worker_environment(self.experiment)
            | {
                "HPCEXP_THREADS": threads,
                "OMP_NUM_THREADS": threads,
                "CUDA_VISIBLE_DEVICES": ",".join(self.shape.gpus[slot]),
            }
        )

    def _interrupt(self, _number: int, _frame: FrameType | None) -> None:
        self.num_interrupts += 1
        for job in self.jobs.values():
            if self.num_interrupts == 1:
                job.terminate()
            else:
                job.kill()


class LocalExecutor(AttachedExecutor):
    """A pool of processes on this machine."""

    def describe(
        self, bundles: Sequence[Sequence[str]], resources: Resources, options: LaunchOptions
    ) -> str:
        """What a launch would do, in a line for people."""
        shape = choose_shape(resources, num_jobs=options.num_jobs)
        gpus = f", GPUs {', '.join(g for s in shape.gpus for g in s)}" if any(shape.gpus) else ""
        return (
            f"would train   {spell_count(len(bundles), 'job')}{describe_packs(bundles, resources)} "
            "on this machine, "
            f"{shape.num_jobs} at a time, {spell_count(shape.num_threads, 'thread')} each{gpus}"
        )

    def train(
        self,
        experiment: ExperimentDir,
        submission: Submission,
        resources: Resources,
        options: LaunchOptions,
    ) -> bool:
        """Train; False where it was interrupted."""
        shape = choose_shape(resources, num_jobs=options.num_jobs)
        return LocalPool(
            experiment,
            submission,
            shape,
            on_tick=options.on_tick,
            on_interrupt=options.on_interrupt,
        ).run()
