"""A light thread that samples while a job runs, and keeps a small record of it."""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hpcexp.errors import HpcexpError
from hpcexp.store.files import read_record
from hpcexp.store.usage import JobUsage, add_usages, write_usage
from hpcexp.worker.usage.gpus import GpuReader, read_environment
from hpcexp.worker.usage.processes import ProcessReading, read_processes

logger = logging.getLogger("hpcexp.worker")

WRITE_EVERY_S = 60.0
MAX_FAILURES = 3


class Sampler:
    """Adds readings up; holds counts only, however long a job runs."""

    def __init__(
        self,
        gpus: GpuReader,
        *,
        num_cpus: int,
        num_runs: int,
        read_processes: Callable[[], ProcessReading] = read_processes,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.gpus, self.num_cpus, self.num_runs = gpus, num_cpus, num_runs
        self.read_processes, self.clock = read_processes, clock
        self.counts: Counter[int] = Counter()
        self.name, self.problem = "", gpus.problem
        self.peak_memory = self.total_memory = self.peak_rss = self.num_failures = 0
        self.num_samples = 0
        self.begun, self.begun_cpu_s = clock(), read_processes().cpu_s
        self.cpu_s = 0.0

    def sample(self) -> None:
        """Read once. A GPU that cannot be read again and again is given up."""
        found = self.read_processes()
        # A child that ended is briefly in neither sum: the time of a job never shrinks.
        self.cpu_s = max(self.cpu_s, found.cpu_s - self.begun_cpu_s)
        self.peak_rss = max(self.peak_rss, found.rss)
        self.num_samples += 1
        if self.num_failures >= MAX_FAILURES:
            return
        try:
            readings = self.gpus.read()
        except Exception as error:  # of any library
            self.num_failures += 1
            self.problem = str(error) or type(error).__name__
            return
        for reading in readings:
            self.counts[reading.utilization] += 1
            self.name, self.total_memory = reading.name, reading.memory_total
            self.peak_memory = max(self.peak_memory, reading.memory_used)

    def summarise(self) -> JobUsage:
        """What was found since the beginning."""
        return JobUsage(
            source=self.gpus.source,
            problem=self.problem,
            gpu_name=self.name,
            gpu_counts={str(percent): count for percent, count in sorted(self.counts.items())},
            gpu_peak_memory=self.peak_memory,
            gpu_total_memory=self.total_memory,
            num_samples=self.num_samples,
            wall_s=round(self.clock() - self.begun, 3),
            cpu_s=round(self.cpu_s, 3),
            num_cpus=self.num_cpus,
            peak_rss=self.peak_rss,
            num_runs=self.num_runs,
        )


@contextmanager
def sampling(
    path: Path, *, num_cpus: int, num_runs: int, gpus: Callable[[], GpuReader] = read_environment
) -> Iterator[None]:
    """Within, the job is sampled every few seconds; its record is written every minute.

    What goes wrong costs the record, never the job.
    """
    is_over = threading.Event()
    thread = threading.Thread(
        target=_sample_until,
        args=(is_over, path, gpus),
        kwargs={"num_cpus": num_cpus, "num_runs": num_runs},
        name="usage",
        daemon=True,
    )
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join(timeout=5)  # a driver that hangs holds up nobody


def _sample_until(
    is_over: threading.Event,
    path: Path,
    gpus: Callable[[], GpuReader],
    *,
    num_cpus: int,
    num_runs: int,
) -> None:
    try:
        before = _read_before(path)
        sampler = Sampler(gpus(), num_cpus=num_cpus, num_runs=num_runs)
        next_write = time.monotonic() + WRITE_EVERY_S
        while not is_over.wait(sampler.gpus.every_s):
            sampler.sample()
            if time.monotonic() >= next_write:
                next_write = time.monotonic() + WRITE_EVERY_S
                _write(path, before, sampler)
        # The end finds an idle GPU, which is not asked any more.
        sampler.gpus = dataclasses.replace(sampler.gpus, read=lambda: ())
        sampler.sample()
        _write(path, before, sampler)
    except Exception as error:
        logger.warning("what the job uses is not recorded: %s", error)


def _read_before(path: Path) -> JobUsage | None:
    """What earlier starts of the job used."""
    with suppress(HpcexpError):
        return read_record(path, JobUsage)
    return None


def _write(path: Path, before: JobUsage | None, sampler: Sampler) -> None:
    now = sampler.summarise()
    with suppress(OSError):  # a full disk: the next time, or never
        write_usage(path, now if before is None else add_usages(before, now))
