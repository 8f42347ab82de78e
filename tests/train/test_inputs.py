"""The values that every step reads, as the config has them."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from hpcexp.train.inputs import complete_values, make_block, place_samples, take_rows
from hpcexp.train.seeding import RandomStreams
from hpcexp.workloads.sps.workload import SpsWorkload
from tests.train.conftest import MakeWorkload


def test_what_the_config_says_of_optimisation_reaches_the_step(make_workload: MakeWorkload) -> None:
    settings = {"lr": 0.02, "weight_decay": 0.3, "grad_clip": 0.7, "grad_explosion": 9.0}
    values = complete_values(make_workload(**settings), 0)
    assert {name: values[name] for name in settings} == settings


def test_without_a_bound_gradients_pass_as_they_are(make_workload: MakeWorkload) -> None:
    values = complete_values(make_workload(), 0)
    assert values["grad_clip"] == values["grad_explosion"] == math.inf
    assert values["weight_decay"] == 0


def test_the_rate_of_a_step_is_that_of_the_schedule(make_workload: MakeWorkload) -> None:
    schedule = {"kind": "exponential", "half_life": 4, "unit": "steps"}
    workload = make_workload(lr=0.8, lr_schedule=schedule)
    assert [complete_values(workload, step)["lr"] for step in (0, 4, 8)] == [0.8, 0.4, 0.2]


class Pairs(SpsWorkload):
    """Each sample is made of a row and the next one."""

    def draw_order(self, streams: RandomStreams, steps: range) -> Tensor:
        first_S1 = torch.tensor(steps)[:, None] % 3
        return torch.stack([first_S1, first_S1 + 1], dim=2).expand(-1, 2, -1)


def test_a_workload_may_take_several_rows_for_each_sample(make_workload: MakeWorkload) -> None:
    workload = Pairs(make_workload().config)
    block = make_block(
        workload, RandomStreams(0, 0), block=1, device=torch.device("cpu"), dtype=torch.float32
    )
    data = {"x": torch.arange(4) * 10, "image": torch.zeros(4, 3, 5)}
    batch = block.select(1, data).batch  # step 65
    assert batch["x"].tolist() == [[20, 30], [20, 30]]
    assert batch["image"].shape == (2, 2, 3, 5)


def test_rows_are_taken_in_the_shape_of_their_indices() -> None:
    samples = {"x": torch.arange(5) * 10, "image": torch.arange(10).reshape(5, 2)}
    rows = take_rows(samples, torch.tensor([[4, 0], [1, 1]]))
    assert rows["x"].tolist() == [[40, 0], [10, 10]]
    assert rows["image"].tolist() == [[[8, 9], [0, 1]], [[2, 3], [2, 3]]]


def test_samples_that_a_gpu_has_no_room_for_stay_with_the_host(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They would fill more than half of its free memory."""
    samples = {
        "x": torch.zeros(100, dtype=torch.float64),
        "label": torch.zeros(10, dtype=torch.uint8),
    }
    num_bytes = 100 * 4 + 10
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (2 * num_bytes - 1, 10**9))
    placed = place_samples(samples, device=torch.device("cuda"), dtype=torch.float32)
    assert {tensor.device.type for tensor in placed.values()} == {"cpu"}
    assert [tensor.dtype for tensor in placed.values()] == [torch.float32, torch.uint8]


def test_samples_that_fit_live_on_the_device() -> None:
    placed = place_samples({"x": torch.zeros(3)}, device=torch.device("meta"), dtype=torch.float32)
    assert placed["x"].device.type == "meta"
