from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import pytest

from hpcexp.train.config import TrainConfig
from hpcexp.train.hyperparameters import Hyperparameters
from hpcexp.train.schedule import Budget
from hpcexp.workloads.sps.config import Config

STEADY = {"scheduled_sampling": {"kind": "constant", "forcing_probability": 0.5}}
RAMP = {"end": 1.0, "duration": 0.5}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ()),
        ({"scheduled_sampling": {}}, ("scheduled_sampling",)),
        ({"scheduled_sampling": {"unit": "epochs", "duration": 9.0}}, ()),
        ({"scheduled_sampling": {"duration": 0}}, ()),
        ({"lr_schedule": {"kind": "cosine", "unit": "steps"}}, ("lr_schedule",)),
        ({"lr_schedule": {"kind": "exponential", "half_life": 0.5}}, ("lr_schedule",)),
        ({"lr_schedule": {"kind": "exponential", "half_life": 9.0, "unit": "epochs"}}, ()),
        ({"lr_schedule": {"kind": "plateau"}}, ()),
        ({"loss_weights": {"kld": RAMP}}, ("loss_weights.kld",)),
        ({"loss_weights": {"predict": {"z": RAMP}}}, ("loss_weights.predict.z",)),
        ({"loss_weights": {"kld": RAMP | {"unit": "steps"}}}, ()),
        ({"image_loss": {"start": "mse", "end": "l1", "duration": 0.5}}, ("image_loss",)),
        # Every evaluation takes the distance that the run ends with.
        (
            {"image_loss": {"start": "mse", "end": "l1", "duration": 4001.0, "unit": "epochs"}},
            ("image_loss",),
        ),
        (
            {"image_loss": {"start": "mse", "end": "l1", "duration": 4000.0, "unit": "epochs"}},
            (),
        ),
    ],
    ids=str,
)
def test_what_reads_the_length_of_the_whole_run_is_named(
    changes: dict[str, Any], expected: tuple[str, ...]
) -> None:
    assert Config(**{**STEADY, **changes}).list_budget_dependents() == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"max_epoch": 6, "eval_every": 3}, True),
        ({"max_epoch": 6, "eval_every": 4}, False),
        ({"max_step": 16}, True),
        ({"max_step": 17}, False),
    ],
    ids=str,
)
def test_whether_a_budget_ends_where_a_longer_run_would_evaluate(
    changes: dict[str, Any], expected: bool
) -> None:
    assert TrainConfig(**changes).ends_on_evaluation is expected  # 8 steps an epoch


# ---------------------------------------------------------------- schedules yet to be written

EXAMPLES: dict[str, list[dict[str, Any]]] = {
    "Ramp": [RAMP],
    "Oscillation": [{"high": 1.0, "period": 0.1}],
    "LinearSampling": [{}, {"duration": 0}],
    "InverseSigmoidSampling": [{}],
    "ConstantSampling": [{"forcing_probability": 0.5}],
    "ExponentialDecay": [{"half_life": 0.5}],
    "CosineDecay": [{}, {"warm_up": 0.1}],
}


class WatchedBudget:
    """Notes whether somebody asked for the length of the whole run."""

    def __init__(self, num_steps: int) -> None:
        self.steps_per_epoch, self._num_steps, self.is_read = 8, num_steps, False

    @property
    def num_steps(self) -> int:
        self.is_read = True
        return self._num_steps


def list_schedules(
    base: type[Hyperparameters] = Hyperparameters,
) -> Iterator[tuple[type[Hyperparameters], str]]:
    """Hyperparameters with a method that is given the budget, and its name."""
    for section in base.__subclasses__():
        for name, method in inspect.getmembers(section, inspect.isfunction):
            if not name.startswith("_") and "budget" in inspect.signature(method).parameters:
                yield section, name
        yield from list_schedules(section)


def compute(schedule: Any, method: str, budget: Budget) -> list[float]:
    return [getattr(schedule, method)(step, budget=budget) for step in range(0, 800, 7)]


def test_no_schedule_reads_the_budget_unnoticed() -> None:
    """A new one needs an example above, and a look at `find_budget_readers`."""
    schedules = list(list_schedules())
    assert {section.__name__ for section, _ in schedules} == set(EXAMPLES)
    for section, method in schedules:
        units = ["budget", "epochs", "steps"] if "unit" in section.model_fields else [None]
        for example in EXAMPLES[section.__name__]:
            for unit in units:
                if section.__name__ == "InverseSigmoidSampling" and unit == "budget":
                    continue
                schedule = section(**example, **({"unit": unit} if unit else {}))
                short, long = WatchedBudget(800), WatchedBudget(1600)
                differs = compute(schedule, method, short) != compute(schedule, method, long)
                anything: Any = schedule
                holder = TrainConfig.model_construct(lr_schedule=anything)
                is_named = holder.list_budget_dependents() == ("lr_schedule",)
                assert is_named == differs, (section, example, unit)
                assert short.is_read or not differs
