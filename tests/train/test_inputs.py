"""The values that every step reads, as the config has them."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from hpcexp.train.inputs import complete_values, make_block
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
