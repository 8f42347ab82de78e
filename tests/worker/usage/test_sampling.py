"""What a job used is counted as it was read, and a reader that fails costs nothing."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from hpcexp.store.files import read_record
from hpcexp.store.usage import JobUsage, add_usages, read_usages, write_usage
from hpcexp.worker.bundle import run_bundle
from hpcexp.worker.usage.gpus import (
    GpuReader,
    GpuReading,
    list_visible,
    open_gpus,
    parse_nvidia_smi,
)
from hpcexp.worker.usage.processes import ProcessReading, read_processes
from hpcexp.worker.usage.sampling import Sampler, sampling
from tests.worker.conftest import make_experiment

GIB = 2**30
RECORDED = [0, 5, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 15, 20, 90]


def replay(utilizations: Sequence[int]) -> Callable[[], list[GpuReading]]:
    """A GPU of which one percent after the other is read."""
    left = iter(utilizations)
    return lambda: [GpuReading("H100", used := next(left), used * GIB // 10, 80 * GIB)]


def make_sampler(read: Callable[[], Sequence[GpuReading]]) -> Sampler:
    """Each look at the processes finds 2 s of CPU time and 1 GiB more."""
    looks = iter(range(100))
    return Sampler(
        GpuReader("nvml", read, 5.0),
        num_cpus=4,
        num_runs=1,
        read_processes=lambda: ProcessReading(cpu_s=2.0 * (look := next(looks)), rss=look * GIB),
    )


def test_mean_percentile_and_peaks_are_those_of_the_readings() -> None:
    sampler = make_sampler(replay(RECORDED))
    for _ in RECORDED:
        sampler.sample()
    usage = sampler.summarise()
    assert usage.gpu_mean == pytest.approx(sum(RECORDED) / 20)
    assert usage.gpu_p95 == 20  # 19 of 20 are not above it
    assert (usage.gpu_peak_memory, usage.gpu_total_memory) == (9 * GIB, 80 * GIB)
    assert (usage.num_samples, usage.cpu_s, usage.peak_rss) == (20, 40.0, 20 * GIB)


def test_two_starts_of_a_job_add_up() -> None:
    first = JobUsage(gpu_counts={"10": 3}, gpu_peak_memory=5, num_samples=3, wall_s=15, cpu_s=10)
    second = JobUsage(gpu_counts={"10": 1, "50": 2}, num_samples=3, wall_s=5, cpu_s=30, peak_rss=7)
    both = add_usages(first, second)
    assert both.gpu_counts == {"10": 4, "50": 2}
    assert both.gpu_mean == pytest.approx(140 / 6)
    assert both.gpu_p95 == 50
    assert (both.gpu_peak_memory, both.num_samples, both.peak_rss, both.cpu_mean) == (5, 6, 7, 2.0)


def test_a_gpu_that_cannot_be_read_is_given_up_and_the_rest_goes_on() -> None:
    calls: list[int] = []

    def fail() -> list[GpuReading]:
        calls.append(1)
        raise OSError("GPU is lost")

    sampler = make_sampler(fail)
    for _ in range(10):
        sampler.sample()
    usage = sampler.summarise()
    assert len(calls) == 3
    assert (usage.problem, usage.gpu_mean, usage.num_samples) == ("GPU is lost", None, 10)


def test_this_process_is_seen_to_work_and_to_hold_memory() -> None:
    before, held = read_processes(), bytearray(b"x") * (64 * 2**20)
    end = time.process_time() + 0.05
    while time.process_time() < end:
        pass
    after = read_processes()
    assert after.cpu_s - before.cpu_s >= 0.04
    assert after.rss - before.rss > 32 * 2**20
    assert len(held) == 64 * 2**20


def test_a_job_is_sampled_and_what_an_earlier_start_used_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "submission_001" / "usage_0.json"
    write_usage(path, JobUsage(num_samples=5, wall_s=10, peak_rss=10**15))
    gpus = GpuReader("nvml", replay([30] * 1000), 0.01)
    with sampling(path, num_cpus=2, num_runs=3, gpus=lambda: gpus):
        time.sleep(0.2)
    usage = read_record(path, JobUsage)
    assert usage.gpu_mean == 30
    assert (usage.num_runs, usage.num_cpus, usage.peak_rss) == (3, 2, 10**15)
    assert usage.num_samples > 6
    assert usage.wall_s > 10.1


def test_a_reader_that_cannot_be_made_costs_the_record_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> GpuReader:
        raise RuntimeError("driver mismatch")

    with (
        caplog.at_level(logging.WARNING),
        sampling(tmp_path / "u", num_cpus=1, num_runs=1, gpus=fail),
    ):
        pass
    assert "what the job uses is not recorded: driver mismatch" in caplog.text


SMI = """\
0, GPU-aaaa, NVIDIA A100-SXM4-40GB, 11, 3012, 40960
1, GPU-bbbb, NVIDIA A100-SXM4-40GB, 98, 39000, 40960
2, GPU-cccc, NVIDIA A100-SXM4-40GB, [N/A], [N/A], 40960
"""


@pytest.mark.parametrize(
    ("visible", "found"), [(None, [11, 98]), (["1"], [98]), (["GPU-aaaa"], [11]), (["2"], [])]
)
def test_of_what_nvidia_smi_says_the_jobs_gpus_count(
    visible: list[str] | None, found: list[int]
) -> None:
    readings = parse_nvidia_smi(SMI, visible)
    assert [reading.utilization for reading in readings] == found
    assert all(reading.memory_total == 40 * GIB for reading in readings)


def test_a_job_without_gpus_is_not_asked_about_them() -> None:
    assert list_visible({}) is None
    assert list_visible({"CUDA_VISIBLE_DEVICES": "0, 2"}) == ["0", "2"]
    for nothing in ("", "-1", "NoDevFiles"):
        reader = open_gpus({"CUDA_VISIBLE_DEVICES": nothing})
        assert (reader.source, reader.problem, list(reader.read())) == ("", "", [])
    assert "MIG" in open_gpus({"CUDA_VISIBLE_DEVICES": "MIG-1"}).problem


def test_a_gpu_that_is_not_there_is_said_to_be_unread() -> None:
    reader = open_gpus({"CUDA_VISIBLE_DEVICES": "7"})
    assert reader.source or reader.problem


def test_a_bundle_leaves_a_record_of_what_it_used(tmp_path: Path) -> None:
    experiment = make_experiment(tmp_path, max_epoch=2)
    run_bundle(experiment, "submission_001", 0)
    (usage,) = read_usages(experiment)
    assert usage.cpu_s > 0
    assert usage.peak_rss > 100 * 2**20  # torch alone is more
    assert usage.num_samples >= 1
