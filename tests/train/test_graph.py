"""A captured step does what the plain one does, from memory that stays."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from hpcexp.train import lanes
from hpcexp.train.fit import Training
from hpcexp.train.graph import MAX_CAPTURES, CapturedStep, Step
from hpcexp.train.options import FitOptions
from hpcexp.train.seeding import RandomStreams
from hpcexp.train.sink import MemorySink
from hpcexp.train.step import StepInputs, TrainState
from hpcexp.train.workload import Workload
from hpcexp.workloads.multitask.workload import MultitaskWorkload
from tests.train.conftest import MakeWorkload
from tests.train.tape import capture_on_tape
from tests.train.test_lanes import ODD, assert_equal_rows, last_checkpoint, train_together
from tests.train.test_lanes_of_workloads import STRATEGIES, make_unmix
from tests.workloads.classify.test_workload import build as make_classify
from tests.workloads.multitask.conftest import make_config as make_multitask


def make_state(w: float = 1.0) -> TrainState:
    return TrainState(
        {"w": torch.tensor([w])}, {}, {}, torch.zeros(1, dtype=torch.int64), torch.ones(1) > 0
    )


def make_inputs(factor: float, *, size: int = 1) -> StepInputs:
    return StepInputs({}, {}, {"factor": torch.full((size,), factor)})


def multiply(state: TrainState, inputs: StepInputs) -> tuple[TrainState, Tensor]:
    w = state.parameters["w"] * inputs.values["factor"].prod()
    return state._replace(parameters={"w": w}, step=state.step + 1), w.clone()


def take(step: Step, factors: list[float]) -> list[float]:
    state, records = make_state(), []
    for factor in factors:
        state, record = step(state, make_inputs(factor))
        records.append(float(record))
    return [*records, float(state.parameters["w"]), float(state.step)]


def test_a_replay_reads_the_inputs_and_the_state_of_its_step() -> None:
    captured = CapturedStep(multiply, capture=capture_on_tape)
    assert take(captured, [2, 3, 5]) == take(multiply, [2, 3, 5]) == [2, 6, 30, 30, 3]


def test_a_state_from_elsewhere_replaces_its_own() -> None:
    captured = CapturedStep(multiply, capture=capture_on_tape)
    captured(make_state(), make_inputs(2))
    state, _ = captured(make_state(7.0), make_inputs(2))
    assert state.parameters["w"] == 14


def test_a_state_that_is_kept_stays_as_it_is() -> None:
    captured = CapturedStep(multiply, capture=capture_on_tape)
    state, _ = captured(make_state(), make_inputs(2))
    kept = captured.keep(state)
    captured(state, make_inputs(3))
    assert [float(s.parameters["w"]) for s in (kept, state)] == [2, 6]


def test_other_shapes_are_captured_anew_but_not_for_ever() -> None:
    captures = []

    def capture(function: Callable[[], None]) -> Callable[[], object]:
        captures.append(function)
        return capture_on_tape(function)

    captured = CapturedStep(multiply, capture=capture)
    state = make_state()
    for size in (1, 1, 2, 2, *range(3, 20)):
        state, record = captured(state, make_inputs(2, size=size))
        assert record == state.parameters["w"]
    assert len(captures) == MAX_CAPTURES


def test_what_cannot_be_captured_is_done_plainly_and_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def ask(state: TrainState, inputs: StepInputs) -> tuple[TrainState, Tensor]:
        assert float(state.step) >= 0  # asks the device for a number
        return multiply(state, inputs)

    caplog.set_level(logging.WARNING, logger="hpcexp.worker")
    assert take(CapturedStep(ask, capture=capture_on_tape), [2, 3, 5])[:3] == [2, 6, 30]
    (line,) = caplog.messages
    assert "not captured as a CUDA graph, but taken as usual: RuntimeError: operation not" in line


def test_a_replay_that_gives_something_else_is_not_used(caplog: pytest.LogCaptureFixture) -> None:
    calls = 0

    def count(state: TrainState, inputs: StepInputs) -> tuple[TrainState, Tensor]:
        nonlocal calls
        calls += 1  # a number of Python's, which a graph does not see
        state, record = multiply(state, inputs)
        return state, record + calls

    caplog.set_level(logging.WARNING, logger="hpcexp.worker")
    take(CapturedStep(count, capture=capture_on_tape), [2, 3])
    assert "a replay differs from a plain step" in caplog.text


# ----------------------------------------------------------------------------------- lanes


def choose_captured(training: Training) -> Step:
    return CapturedStep(training.step_function.step_lanes, capture=capture_on_tape)


def assert_captured_as_plain(
    workloads: Sequence[Workload], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """All rows and the last checkpoints, bit for bit."""
    caplog.set_level(logging.WARNING, logger="hpcexp.worker")
    plain, captured = ([MemorySink() for _ in workloads] for _ in range(2))
    expected = train_together(workloads, plain)
    with monkeypatch.context() as patch:
        patch.setattr(lanes, "_choose_step", choose_captured)
        assert train_together(workloads, captured) == expected
    assert "captured" not in caplog.text
    for one, other in zip(captured, plain, strict=True):
        assert_equal_rows(one, other, tolerance=0.0)
        found, wanted = (last_checkpoint(sink)["state"] for sink in (one, other))
        torch.testing.assert_close(found, wanted, rtol=0, atol=0, equal_nan=True)


SETTINGS: dict[str, dict[str, Any]] = {
    "default": {},
    "bf16": {"precision": "bf16"},
    "AdamW, clipping": {"optimizer": "adamw", "weight_decay": 0.1, "grad_clip": 0.5},
    **ODD,
}


@pytest.mark.parametrize("setting", SETTINGS)
def test_captured_lanes_of_sps_train_as_plain_ones(
    setting: str,
    make_workload: MakeWorkload,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    workloads = [make_workload(max_step=9, **SETTINGS[setting], lr=lr) for lr in (1e-3, 3e-3)]
    assert_captured_as_plain(workloads, monkeypatch, caplog)


@pytest.mark.parametrize("name", [*STRATEGIES, "unmix", "classify"])
def test_captured_lanes_of_other_workloads_train_as_plain_ones(
    name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def build(lr: float) -> Workload:
        if name == "unmix":
            return make_unmix(activation="softmax", lr=lr)
        if name == "classify":
            return make_classify(lr=lr)
        return MultitaskWorkload(make_multitask(**STRATEGIES[name], lr=lr))

    assert_captured_as_plain([build(lr) for lr in (1e-3, 1e-2)], monkeypatch, caplog)


def test_lanes_that_end_early_or_diverge_leave_the_others_captured(
    make_workload: MakeWorkload, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    budgets = ({"max_step": 3}, {"max_step": 9}, {"max_step": 9, "lr": 1e30}, {"max_step": 6})
    workloads = [make_workload(**b) for b in budgets]
    assert_captured_as_plain(workloads, monkeypatch, caplog)


def test_on_a_cpu_nothing_is_captured(make_workload: MakeWorkload) -> None:
    training = Training(
        make_workload(),
        streams=RandomStreams(0, 0),
        sink=MemorySink(),
        options=FitOptions(captures=True),
    )
    assert not isinstance(lanes._choose_step(training), CapturedStep)
