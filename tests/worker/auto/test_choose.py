"""From measurements to a packing."""

from __future__ import annotations

import pytest

from hpcexp.worker.auto.choose import (
    GPU_CONTEXT_BYTES,
    Measured,
    MemoryLine,
    Room,
    choose_packing,
    choose_processes_alone,
    count_fitting,
    fit_memory,
)
from hpcexp.worker.auto.probe import list_counts

GB = 1 << 30


def measure(rates: dict[int, float], *, threads: int = 1, lane_gb: float = 1.0) -> list[Measured]:
    """Two gigabytes, and so many for each lane."""
    return [Measured(n, threads, int((2 + lane_gb * n) * GB), rate) for n, rate in rates.items()]


def test_memory_is_a_line_through_what_was_measured() -> None:
    line = fit_memory([(1, 3.0), (2, 4.0), (4, 6.0)])
    assert (line.base_bytes, line.lane_bytes) == pytest.approx((2.0, 1.0))
    assert line.predict(16) == pytest.approx(18.0)


def test_the_line_begins_where_memory_rises() -> None:
    """One lane needs more for its evaluation than two need for a step: resident MB of the
    notebook's main configuration on a CPU, of which the last is to be foretold."""
    line = fit_memory([(1, 894.6), (2, 1036.3), (4, 1598.8)])
    assert line.predict(1) == 894.6
    assert line.predict(8) == pytest.approx(2681.7, rel=0.1)


def test_of_one_point_all_is_the_lanes_and_a_falling_line_is_level() -> None:
    assert fit_memory([(2, 6.0)]) == MemoryLine(0.0, 3.0, 6.0)
    assert fit_memory([(1, 5.0), (2, 3.0)]) == MemoryLine(4.0, 0.0, 5.0)
    with pytest.raises(ValueError, match="a line needs a point"):
        fit_memory([])


def test_a_part_of_the_memory_is_left_free_and_a_gpu_needs_its_context_in_each_process() -> None:
    line = MemoryLine(2 * GB, GB)
    assert count_fitting(line, Room(20 * GB, 1, 64)) == 15  # 0.85 of 20 are 17
    assert count_fitting(line, Room(20 * GB, 1, 64), num_processes=4) == 2
    assert count_fitting(line, Room(20 * GB, 1, 64, is_gpu=True)) == 14
    assert count_fitting(line, Room(3 * GB, 1, 64)) == 0
    assert count_fitting(line, Room(20 * GB, 1, 8)) == 8
    assert GPU_CONTEXT_BYTES < GB


def test_the_best_throughput_wins_and_of_equals_the_fewest_lanes() -> None:
    rates = {1: 100.0, 2: 190.0, 4: 370.0, 8: 395.0, 16: 400.0}
    packing = choose_packing(measure(rates), Room(100 * GB, 1, 16))
    assert (packing.num_lanes, packing.num_processes) == (8, 1)
    assert packing.why == (
        "8 at a time as lanes: 400 steps of a run in a second, one run alone 100"
    )


def test_lanes_that_do_not_fit_are_not_chosen() -> None:
    rates = {1: 100.0, 2: 190.0, 4: 370.0}
    assert choose_packing(measure(rates), Room(5 * GB, 1, 16)).num_lanes == 2
    none = choose_packing(measure(rates), Room(2 * GB, 1, 16))
    assert (none.num_lanes, none.why) == (
        1,
        "there is not memory enough for two: one after another",
    )


def test_rounds_are_of_one_length() -> None:
    packing = choose_packing(measure({1: 1.0, 10: 20.0}), Room(100 * GB, 1, 16))
    assert packing.num_lanes == 8


def test_processes_of_one_thread_must_promise_a_tenth_more() -> None:
    """Four threads: a process of all of them, or four of one each, measured one at a time."""
    together = measure({1: 100.0, 2: 120.0}, threads=4)
    apart = measure({1: 50.0, 2: 45.0})
    room = Room(100 * GB, 4, 16)
    packing = choose_packing([*together, *apart], room)
    assert (packing.num_lanes, packing.num_processes) == (1, 4)
    assert packing.why.startswith("4 processes, each one after another: 200 steps")
    slow = measure({1: 30.0, 2: 32.0})
    assert choose_packing([*together, *slow], room).num_processes == 1
    small = Room(10 * GB, 4, 16)  # not memory for four
    assert choose_packing([*together, *apart], small).num_processes == 1


def test_without_a_measurement_runs_follow_one_another() -> None:
    assert choose_packing([], Room(GB, 4, 16)).num_lanes == 1


def test_what_cannot_be_lanes_gets_processes_for_its_threads_and_memory() -> None:
    one = measure({1: 10.0})
    assert choose_processes_alone(one, Room(100 * GB, 4, 16)).num_processes == 4
    assert choose_processes_alone(one, Room(100 * GB, 4, 3)).num_processes == 3
    assert choose_processes_alone(one, Room(8 * GB, 4, 16)).num_processes == 2
    assert choose_processes_alone(one, Room(GB, 4, 16)).num_processes == 1
    assert choose_processes_alone([], Room(GB, 4, 16)).num_processes == 4


def test_numbers_of_lanes_are_doubled_up_to_the_runs_there_are() -> None:
    assert [list_counts(n) for n in (1, 2, 3, 8, 12)] == [
        [1],
        [1, 2],
        [1, 2, 3],
        [1, 2, 4, 8],
        [1, 2, 4, 8, 12],
    ]
