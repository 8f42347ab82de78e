"""Scheduled sampling: by name, in epochs or in optimiser steps."""

from __future__ import annotations

import math
from typing import Any

import pytest

from hpcexp.workloads.sps.config import Config

NOTEBOOK = {"kind": "inverse_sigmoid", "alpha": 2200.0, "beta": 8000.0}


def follow(sampling: dict[str, Any], steps: list[int], **changes: Any) -> list[float]:
    config = Config.model_validate(
        {"max_epoch": 4687, "batch_size": 32, "scheduled_sampling": sampling} | changes
    )
    return [config.scheduled_sampling.probability(step, budget=config) for step in steps]


def test_the_inverse_sigmoid_is_that_of_the_paper_where_beta_is_0() -> None:
    k = 50.0
    sampling = {"kind": "inverse_sigmoid", "alpha": k, "beta": 0.0}
    expected = [k / (k + math.exp(i / k)) for i in (0, 100, 200, 1000)]
    assert follow(sampling, [0, 100, 200, 1000]) == pytest.approx(expected)


def test_with_the_notebook_s_numbers_it_falls_over_its_18_748_batches() -> None:
    half = 2200 * math.log(2200) - 8000
    values = follow(NOTEBOOK, [0, round(half), 18_748])
    assert values == pytest.approx([0.983, 0.5, 0.0115], abs=1e-3)
    assert half == pytest.approx(8931, abs=1)


def test_it_never_overflows() -> None:
    assert follow({**NOTEBOOK, "alpha": 1e-3, "beta": 0.0}, [0, 10**9]) == pytest.approx(
        [1e-3, 0], abs=1e-3
    )
    assert follow({**NOTEBOOK, "beta": -1e12}, [0]) == [1.0]


def test_a_schedule_in_steps_depends_on_the_batch_size_and_one_in_epochs_does_not() -> None:
    """The notebook's confounder: at an equal epoch a smaller batch was forced less."""

    def at_epoch_2000(batch_size: int, unit: str, **numbers: float) -> float:
        steps_per_epoch = 128 // batch_size
        sampling = {**NOTEBOOK, "unit": unit, **numbers}
        return follow(sampling, [2000 * steps_per_epoch], batch_size=batch_size)[0]

    in_steps = [at_epoch_2000(b, "steps") for b in (16, 32, 128)]
    assert in_steps[0] < 0.1 < 0.5 < in_steps[1] < 0.9 < in_steps[2]
    in_epochs = [at_epoch_2000(b, "epochs", alpha=550.0, beta=2000.0) for b in (16, 32, 128)]
    assert in_epochs == pytest.approx([in_epochs[0]] * 3)


def test_a_constant_never_ends() -> None:
    sampling = {"kind": "constant", "forcing_probability": 0.88}
    assert follow(sampling, [0, 10**6]) == [0.88, 0.88]


@pytest.mark.parametrize("kind", ["linear", None])
def test_linear_is_the_kind_where_none_is_named(kind: str | None) -> None:
    named = {} if kind is None else {"kind": kind}
    sampling = {**named, "duration": 1000, "unit": "epochs"}
    assert follow(sampling, [0, 2000, 4000, 9000]) == [1, 0.5, 0, 0]
