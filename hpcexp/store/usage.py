"""What jobs used of their GPUs, CPUs and memory: a small record for each job."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hpcexp.errors import HpcexpError
from hpcexp.store.files import read_record, write_json
from hpcexp.store.layout import ExperimentDir


@dataclass(frozen=True)
class JobUsage:
    """A job's use of its machine, over all its starts.

    `gpu_counts` maps percents of utilisation, as text, to the number of samples that found
    them: mean and percentiles come from it, and two starts add up. Memory is in bytes, of the
    GPU that had most of it in use, and of the job's processes. `cpu_s` is the time of all its
    CPUs, `wall_s` that of the clock; `num_cpus` is what it may use. `num_runs` trained at the
    same time. `source` is what was asked about the GPU (`nvml`, `nvidia-smi`), `problem` why it
    could not be.
    """

    source: str = ""
    problem: str = ""
    gpu_name: str = ""
    gpu_counts: Mapping[str, int] = field(default_factory=dict)
    gpu_peak_memory: int = 0
    gpu_total_memory: int = 0
    num_samples: int = 0
    wall_s: float = 0.0
    cpu_s: float = 0.0
    num_cpus: int = 0
    peak_rss: int = 0
    num_runs: int = 1

    @property
    def gpu_mean(self) -> float | None:
        """Mean utilisation in percent; None where no GPU was sampled."""
        count = sum(self.gpu_counts.values())
        return sum(int(p) * n for p, n in self.gpu_counts.items()) / count if count else None

    @property
    def gpu_p95(self) -> int | None:
        """The utilisation, in percent, that 95 % of the samples do not exceed."""
        left = 0.95 * sum(self.gpu_counts.values())
        for percent, count in sorted((int(p), n) for p, n in self.gpu_counts.items()):
            left -= count
            if left <= 1e-9:
                return percent
        return None

    @property
    def cpu_mean(self) -> float | None:
        """CPUs in use, on average, such as 1.3; None for an instant."""
        return self.cpu_s / self.wall_s if self.wall_s >= 1 else None


def add_usages(first: JobUsage, second: JobUsage) -> JobUsage:
    """Two starts of a job as one; what they are called is that of the second."""
    counts = {
        percent: first.gpu_counts.get(percent, 0) + second.gpu_counts.get(percent, 0)
        for percent in sorted({*first.gpu_counts, *second.gpu_counts}, key=int)
    }
    return dataclasses.replace(
        second,
        gpu_counts=counts,
        gpu_peak_memory=max(first.gpu_peak_memory, second.gpu_peak_memory),
        num_samples=first.num_samples + second.num_samples,
        wall_s=first.wall_s + second.wall_s,
        cpu_s=first.cpu_s + second.cpu_s,
        peak_rss=max(first.peak_rss, second.peak_rss),
    )


def write_usage(path: Path, usage: JobUsage) -> None:
    """Replace a job's record. Makes no experiment where a file system is away."""
    path.parent.mkdir(exist_ok=True)
    write_json(path, dataclasses.asdict(usage))


def read_usages(experiment: ExperimentDir) -> list[JobUsage]:
    """Those of all jobs that wrote one; a damaged record is left out."""
    usages = []
    for path in sorted(experiment.jobs_dir.glob("*/usage_*.json")):
        try:
            usages.append(read_record(path, JobUsage))
        except HpcexpError:
            continue
    return usages
