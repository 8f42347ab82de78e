"""What jobs used of what they asked for, and what would use it better; for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from typing import Any

from hpcexp.store.usage import JobUsage, add_usages

MIN_SAMPLES = 12
"""A minute of a GPU: shorter jobs are mostly their beginning."""
IDLE_BELOW = 50
"""Percent of mean utilisation below which packing is worth a word."""
FILLED_TO, MEMORY_FILLED_TO = 90, 0.9
MAX_FIT = 64

_GIB = 2**30


def sum_usages(usages: Sequence[JobUsage]) -> JobUsage | None:
    """All jobs of an experiment as one; None where there is no record."""
    return reduce(add_usages, usages) if usages else None


def describe_usage(usage: JobUsage, resources: Mapping[str, Any]) -> Iterator[str]:
    """Lines: the GPU where one was asked for, then CPUs and memory."""
    if usage.gpu_counts:
        yield f"GPU: {_describe_gpu(usage)}"
        if advice := advise(usage):
            yield f"! {advice}"
    elif usage.problem and int(resources.get("gpus") or 0):
        yield f"GPU: not sampled ({usage.problem})"
    if usage.cpu_mean is not None:
        yield f"CPU: {_describe_cpus(usage, resources)}"


def advise(usage: JobUsage) -> str:
    """Whether more runs would fit on the GPU; empty where they would not, or nobody knows."""
    mean, num_fit = usage.gpu_mean, count_fitting(usage)
    if mean is None or sum(usage.gpu_counts.values()) < MIN_SAMPLES or mean >= IDLE_BELOW:
        return ""
    if num_fit <= usage.num_runs:
        return ""
    now = f", now {usage.num_runs}" if usage.num_runs > 1 else ""
    return f"this job used {mean:.0f} % of its GPU: packing would fit {num_fit} runs{now}"


def count_fitting(usage: JobUsage) -> int:
    """Runs that one GPU holds, by utilisation and by memory; at least one.

    As if each run added as much as those that were there: lanes of one program need less, and
    processes disturb each other, so that the first try should be smaller.
    """
    mean = usage.gpu_mean
    if mean is None:
        return 1
    by_time = FILLED_TO * usage.num_runs / max(mean, 1.0)
    each = usage.gpu_peak_memory / usage.num_runs
    by_memory = MEMORY_FILLED_TO * usage.gpu_total_memory / each if each else MAX_FIT
    return max(1, min(int(by_time), int(by_memory), MAX_FIT))


def usage_to_json(usage: JobUsage) -> dict[str, Any]:
    """The numbers that the lines are made of."""
    return {
        "gpu_mean_percent": usage.gpu_mean,
        "gpu_p95_percent": usage.gpu_p95,
        "gpu_peak_memory": usage.gpu_peak_memory,
        "gpu_total_memory": usage.gpu_total_memory,
        "num_fitting": count_fitting(usage) if usage.gpu_counts else None,
        "cpu_mean": usage.cpu_mean,
        "num_cpus": usage.num_cpus,
        "peak_rss": usage.peak_rss,
        "num_samples": usage.num_samples,
        "problem": usage.problem,
    }


def _describe_gpu(usage: JobUsage) -> str:
    peak, total = usage.gpu_peak_memory / _GIB, usage.gpu_total_memory / _GIB
    return (
        f"{usage.gpu_mean:.0f} % used on average, 95 % of the time at most {usage.gpu_p95} %; "
        f"{peak:.1f} of {total:.0f} GiB at most ({usage.gpu_name})"
    )


def _describe_cpus(usage: JobUsage, resources: Mapping[str, Any]) -> str:
    asked = resources.get("mem_gb")
    of = f" of {asked} GB" if asked else ""
    return (
        f"{usage.cpu_mean:.1f} of {usage.num_cpus} CPUs used on average; "
        f"{usage.peak_rss / 1e9:.1f}{of} memory at most"
    )
