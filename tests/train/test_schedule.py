from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from hpcexp.train.rates import CosineDecay, ExponentialDecay
from hpcexp.train.schedule import Scheduled, count_steps, get_value


@dataclass
class Budget:
    steps_per_epoch: int = 8
    num_steps: int = 400


def read(value: Any) -> Any:
    return TypeAdapter(Scheduled).validate_python(value)


def follow(schedule: Any, steps: list[int]) -> list[float]:
    return [get_value(read(schedule), step, budget=Budget()) for step in steps]


@pytest.mark.parametrize(("unit", "expected"), [("steps", 2.0), ("epochs", 16.0), ("budget", 800)])
def test_a_duration_is_in_steps_in_epochs_or_a_part_of_the_run(unit: Any, expected: float) -> None:
    assert count_steps(2.0, unit, budget=Budget()) == expected


def test_a_number_is_itself_at_every_step() -> None:
    assert follow(0.3, [0, 7, 10**9]) == [0.3, 0.3, 0.3]


def test_a_ramp_is_constant_then_straight_then_constant() -> None:
    ramp = {"start": 1.0, "end": 3.0, "begin": 10, "duration": 20, "unit": "steps"}
    assert follow(ramp, [0, 10, 15, 20, 30, 99]) == [1, 1, 1.5, 2, 3, 3]


def test_a_warm_up_starts_at_0_and_needs_no_kind() -> None:
    assert follow({"end": 2.0, "duration": 0.5}, [0, 100, 200, 400]) == [0, 1, 2, 2]


def test_a_ramp_in_epochs_does_not_depend_on_the_length_of_the_run() -> None:
    ramp = read({"end": 1.0, "duration": 4, "unit": "epochs"})
    long, short = Budget(num_steps=10_000), Budget(num_steps=40)
    assert get_value(ramp, 16, budget=long) == get_value(ramp, 16, budget=short) == 0.5


def test_a_smooth_oscillation_is_low_at_the_start_and_high_half_a_period_later() -> None:
    swing = {"kind": "oscillation", "low": 1.0, "high": 3.0, "period": 40, "unit": "steps"}
    assert follow(swing, [0, 10, 20, 30, 40, 60]) == pytest.approx([1, 2, 3, 2, 1, 3])


def test_a_cyclical_oscillation_rises_for_half_a_period_and_stays() -> None:
    swing = {
        "kind": "oscillation",
        "high": 1.0,
        "period": 40,
        "shape": "cyclical",
        "unit": "steps",
    }
    assert follow(swing, [0, 10, 20, 30, 39, 40, 50]) == [0, 0.5, 1, 1, 1, 0, 0.5]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (-0.1, "greater than or equal to 0"),
        ("high", "valid number"),
        ({"kind": "linear", "duration": 1}, "end"),
        ({"kind": "oscillation", "low": 2.0, "high": 1.0, "period": 1}, r"high \(1.0\) is less"),
        ({"end": 1.0, "duration": 0}, "greater than 0"),
        ({"end": 1.0, "duration": 1, "low": 0.0}, "low"),
    ],
)
def test_what_is_no_schedule_is_refused(value: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        read(value)


# Learning rates


def test_an_exponential_rate_halves_every_half_life() -> None:
    rate = ExponentialDecay(half_life=2, unit="epochs")
    factors = [rate.factor(step, budget=Budget()) for step in (0, 16, 32, 48)]
    assert factors == pytest.approx([1, 0.5, 0.25, 0.125])


def test_a_cosine_rate_ends_at_its_final_factor() -> None:
    rate = CosineDecay(final=0.1)
    factors = [rate.factor(step, budget=Budget()) for step in (0, 100, 200, 400)]
    quarter = 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi / 4))
    assert factors == pytest.approx([1, quarter, 0.55, 0.1])


@pytest.mark.parametrize("kind", [ExponentialDecay, CosineDecay])
def test_a_warm_up_rises_in_a_straight_line_and_decay_begins_after_it(kind: Any) -> None:
    changes = {"half_life": 100.0} if kind is ExponentialDecay else {}
    rate = kind(warm_up=10, unit="steps", **changes)
    rising = [rate.factor(step, budget=Budget()) for step in range(10)]
    assert rising == pytest.approx([(i + 1) / 10 for i in range(10)])
    assert rate.factor(10, budget=Budget()) == pytest.approx(1)
    assert rate.factor(60, budget=Budget()) < 1
