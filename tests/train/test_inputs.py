"""The values that every step reads, as the config has them."""

from __future__ import annotations

import math

from hpcexp.train.inputs import complete_values
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
