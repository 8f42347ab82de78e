"""Memory of lanes: counted, and foreseen from shapes alone."""

from __future__ import annotations

import pytest
import torch

from hpcexp.train.fit import Training
from hpcexp.train.footprint import AllocationMeter, foresee_lane_bytes
from hpcexp.train.lanes import fit_lanes
from hpcexp.train.seeding import RandomStreams
from hpcexp.train.sink import MemorySink
from tests.train.conftest import MakeWorkload

MB = 1 << 20


def test_what_is_freed_makes_room_and_a_view_takes_none() -> None:
    with AllocationMeter() as meter:
        kept = torch.zeros(MB, dtype=torch.uint8)
        assert kept.view(2, -1)[0].numel() == MB // 2
        for _ in range(3):
            torch.zeros(2 * MB, dtype=torch.uint8)
    assert (meter.live_bytes, meter.peak_bytes) == (MB, 3 * MB)


def test_memory_of_a_lane_is_foreseen_within_a_tenth(make_workload: MakeWorkload) -> None:
    """By the shapes of one lane; what is counted is real training, of 2 lanes and of 6."""
    workload = make_workload(max_epoch=1)
    data = {k: v[:4] for k, v in workload.load_data()["train"].items()}
    foreseen = foresee_lane_bytes(workload, data)
    few, many = (count_peak(make_workload, num_lanes) for num_lanes in (2, 6))
    assert foreseen == pytest.approx((many - few) / 4, rel=0.1)


def count_peak(make_workload: MakeWorkload, num_lanes: int) -> int:
    meter = AllocationMeter()
    with meter:
        trainings = [
            Training(make_workload(max_epoch=1), streams=RandomStreams(0, i), sink=MemorySink())
            for i in range(num_lanes)
        ]
        for _ in fit_lanes(trainings):
            pass
    return meter.peak_bytes
