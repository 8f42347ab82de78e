from __future__ import annotations

import dataclasses

import pytest

from hpcexp.store.usage import JobUsage
from hpcexp.worker.usage.describe import count_fitting, describe_usage, sum_usages

GIB = 2**30
IDLE = JobUsage(
    gpu_name="A100",
    gpu_counts={"10": 30, "13": 15},
    gpu_peak_memory=3 * GIB,
    gpu_total_memory=40 * GIB,
    num_samples=45,
    wall_s=225,
    cpu_s=270,
    num_cpus=4,
    peak_rss=2_100_000_000,
)
ASKED = {"gpus": 1, "cpus": 4, "mem_gb": 16}


def test_an_idle_gpu_is_told_with_the_runs_that_would_fit() -> None:
    assert list(describe_usage(IDLE, ASKED)) == [
        "GPU: 11 % used on average, 95 % of the time at most 13 %; 3.0 of 40 GiB at most (A100)",
        "! this job used 11 % of its GPU: packing would fit 8 runs",
        "CPU: 1.2 of 4 CPUs used on average; 2.1 of 16 GB memory at most",
    ]


@pytest.mark.parametrize(
    ("changes", "fitting"),
    [
        ({"gpu_counts": {"100": 20}}, 1),
        ({"gpu_counts": {"30": 20}}, 3),
        ({"gpu_counts": {"0": 20}}, 12),  # by memory
        ({"gpu_counts": {"0": 20}, "gpu_peak_memory": 0}, 64),
        ({"gpu_counts": {"44": 20}, "num_runs": 4}, 8),
        ({"gpu_peak_memory": 30 * GIB}, 1),
    ],
)
def test_what_fits_is_bounded_by_time_and_memory(changes: dict[str, object], fitting: int) -> None:
    assert count_fitting(dataclasses.replace(IDLE, **changes)) == fitting  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changes",
    [{"gpu_counts": {"80": 20}}, {"gpu_counts": {"10": 5}}, {"gpu_peak_memory": 39 * GIB}],
    ids=["busy", "too short to tell", "no memory left"],
)
def test_packing_is_not_advised_where_it_would_not_help(changes: dict[str, object]) -> None:
    lines = list(describe_usage(dataclasses.replace(IDLE, **changes), ASKED))  # type: ignore[arg-type]
    assert not any("packing" in line for line in lines)


def test_a_packed_job_is_told_how_many_run_now() -> None:
    packed = dataclasses.replace(IDLE, gpu_counts={"22": 20}, num_runs=2)
    assert "! this job used 22 % of its GPU: packing would fit 8 runs, now 2" in list(
        describe_usage(packed, ASKED)
    )


def test_a_gpu_that_was_not_sampled_is_told_with_the_reason() -> None:
    unread = JobUsage(problem="AMD's GPUs are not sampled", num_samples=3)
    assert list(describe_usage(unread, ASKED)) == ["GPU: not sampled (AMD's GPUs are not sampled)"]
    assert list(describe_usage(unread, {"gpus": 0})) == []


def test_without_records_there_is_no_sum() -> None:
    assert sum_usages([]) is None
