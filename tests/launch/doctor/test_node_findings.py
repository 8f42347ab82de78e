"""What two hosts found about each other."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpcexp.launch.doctor.findings import Level, Report, passed
from hpcexp.launch.doctor.locking import GRANTED, REFUSED, UNSUPPORTED
from hpcexp.launch.doctor.node_findings import (
    compare,
    judge_locks,
    judge_requeue,
    judge_sight,
    judge_skew,
    judge_srun,
)
from hpcexp.launch.doctor.target import Target


def report(torch: str = "2.11.0", gpus: int = 0) -> Report:
    return Report(
        (
            passed("python", "", facts={"version": "3.12.1", "hpcexp": "/shared/hpcexp"}),
            passed("torch", "", facts={"version": torch}),
            passed("gpus", "", facts={"gpus": str(gpus)}),
        )
    )


def test_the_same_programs_pass() -> None:
    findings = list(compare(report(), report(), target=Target(Path("x"))))
    assert [f.check for f in findings] == ["same_python", "same_hpcexp", "same_torch"]
    assert {f.level for f in findings} == {Level.PASSED}


def test_another_torch_on_the_node_is_an_error_that_names_both() -> None:
    findings = list(compare(report(), report(torch="2.9.1"), target=Target(Path("x"))))
    (wrong,) = [f for f in findings if f.level == Level.ERROR]
    assert wrong.check == "same_torch"
    assert wrong.found == "torch is 2.11.0 here, but 2.9.1 on the node"


@pytest.mark.parametrize(("num_gpus", "level"), [(1, Level.ERROR), (2, Level.PASSED)])
def test_gpus_that_were_asked_for_must_be_usable(num_gpus: int, level: Level) -> None:
    target = Target(Path("x"), gpus=2)
    found = Report(tuple(compare(report(), report(gpus=num_gpus), target=target))).get("job_gpus")
    assert found is not None
    assert (found.level, found.found) == (level, f"2 asked for, {num_gpus} usable by torch")


@pytest.mark.parametrize(
    ("noticed", "level"), [(100.3, Level.PASSED), (130.0, Level.WARN), (None, Level.ERROR)]
)
def test_how_long_files_take_to_be_seen_is_judged(noticed: float | None, level: Level) -> None:
    assert judge_sight({"greeted": 100.0, "noticed": noticed}).level == level


@pytest.mark.parametrize("ahead_s", [-90.0, 0.0, 3600.0])
def test_the_skew_of_two_clocks_is_found_from_four_times(ahead_s: float) -> None:
    """Half a second each way, and a second until the answer."""
    times = {"greeted": 1000.0 + ahead_s, "noticed": 1002.0 + ahead_s}
    finding = judge_skew(times, seen=1000.5, answered=1001.5)
    assert finding is not None
    assert f"{ahead_s:+.1f}" in finding.found
    assert finding.level == (Level.WARN if ahead_s else Level.PASSED)


def test_a_skew_within_what_slow_sight_leaves_open_is_no_warning() -> None:
    """The node's file took 40 s to be seen here: the clocks may still agree."""
    finding = judge_skew({"greeted": 1000.0, "noticed": 1040.0}, seen=1040.0, answered=1040.0)
    assert finding is not None
    assert finding.level == Level.PASSED


@pytest.mark.parametrize(
    ("login_lock", "node_lock", "level"),
    [
        (REFUSED, REFUSED, Level.PASSED),
        (GRANTED, REFUSED, Level.WARN),
        (REFUSED, GRANTED, Level.WARN),
        (UNSUPPORTED, UNSUPPORTED, Level.WARN),
    ],
)
def test_locks_must_be_refused_both_ways(login_lock: str, node_lock: str, level: Level) -> None:
    assert judge_locks(login_lock, node_lock).level == level


def test_a_requeue_that_is_forbidden_is_told_in_slurms_words() -> None:
    finding = judge_requeue("1", "Job/step already completing or completed\n")
    assert finding.level == Level.WARN
    assert "Job/step already completing" in finding.found
    assert "hpcexp resume" in finding.todo
    assert judge_requeue("", "").level == Level.WARN
    assert judge_requeue("0", "").level == Level.PASSED


def test_srun_that_fails_in_a_job_is_an_error() -> None:
    assert judge_srun("").level == Level.PASSED
    assert judge_srun("213").level == Level.ERROR
