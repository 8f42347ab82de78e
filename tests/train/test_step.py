from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hpcexp.train.inputs import make_block
from hpcexp.train.seeding import RandomStreams
from hpcexp.train.step import StepFunction, StepInputs, TrainState
from hpcexp.workloads.sps.workload import SpsWorkload
from tests.train.conftest import MakeWorkload

CPU = torch.device("cpu")


class Solo:
    """A run and what its steps read."""

    def __init__(self, workload: SpsWorkload, rand_init: int, dtype: torch.dtype) -> None:
        streams = RandomStreams(0, rand_init)
        with streams.initialising():
            model = workload.build_model()
        self.function = StepFunction(model.to(dtype), workload.config.optimizer)
        self.state = self.function.init_state()
        self.block = make_block(workload, streams, block=0, device=CPU, dtype=dtype)
        self.data = {
            k: v.to(dtype) if v.is_floating_point() else v
            for k, v in workload.load_data()["train"].items()
        }

    def train(self, num_steps: int) -> Tensor:
        records = []
        for step in range(num_steps):
            self.state, record = self.function(self.state, self.block.select(step, self.data))
            records.append(record)
        return torch.stack(records)


def stack(trees: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {k: torch.stack([tree[k] for tree in trees]) for k in trees[0]}


def stack_states(states: list[TrainState]) -> TrainState:
    return TrainState(
        parameters=stack([s.parameters for s in states]),
        buffers=stack([s.buffers for s in states]),
        optimizer=stack([s.optimizer for s in states]),
        step=torch.stack([s.step for s in states]),
        alive=torch.stack([s.alive for s in states]),
    )


def stack_inputs(inputs: list[StepInputs]) -> StepInputs:
    return StepInputs(*(stack([dict(i[field]) for i in inputs]) for field in range(3)))


NARROW = {"slices": ["0:2"], "sample": [{"kind": "translate", "std": 0.3}, "rotate"]}


@pytest.mark.parametrize("batch_norm", [False, True])
def test_two_runs_as_lanes_of_one_program_agree_with_their_solo_runs(
    make_workload: MakeWorkload, batch_norm: bool
) -> None:
    """Lanes differ in initialisation, data order, learning rate, weights, clipping, symmetry."""
    settings: list[dict[str, Any]] = [
        {"lr": 1e-3, "grad_clip": None},
        {
            "lr": 1e-2,
            "grad_clip": 0.05,
            "loss_weights": {"self_recon": 3.0, "kld": 1e-3},
            "symmetry": {
                "rules": [
                    {"slices": ["0:2"], "sample": [{"kind": "translate", "std": 0.3}, "rotate"]}
                ],
                "identity_probability": 0.5,
            },
            "scheduled_sampling": {"duration": 0.2},
        },
    ]
    workloads = [make_workload(encoder_batch_norm=batch_norm, **s) for s in settings]
    solos = [Solo(workload, i, torch.float64) for i, workload in enumerate(workloads)]
    function, state = solos[0].function, stack_states([solo.state for solo in solos])
    lane_records = []
    for step in range(30):
        inputs = stack_inputs([solo.block.select(step, solo.data) for solo in solos])
        state, record = function.step_lanes(state, inputs)
        lane_records.append(record)
    lanes = torch.stack(lane_records, dim=1)
    for lane, solo in enumerate(solos):
        torch.testing.assert_close(lanes[lane], solo.train(30), rtol=1e-10, atol=1e-10)
        for key, parameter in solo.state.parameters.items():
            torch.testing.assert_close(state.parameters[key][lane], parameter, rtol=1e-8, atol=1e-8)
        for key, buffer in solo.state.buffers.items():
            torch.testing.assert_close(state.buffers[key][lane], buffer, rtol=1e-8, atol=1e-8)
    assert not torch.allclose(lanes[0, -1], lanes[1, -1])


def test_a_step_is_pure_it_changes_neither_state_nor_inputs_nor_model(
    make_workload: MakeWorkload,
) -> None:
    run = Solo(make_workload(encoder_batch_norm=True), 0, torch.float32)
    inputs = run.block.select(0, run.data)
    before = [t.clone() for t in flatten(run.state)]
    module = {k: v.clone() for k, v in run.function.model.state_dict().items()}
    rng = torch.get_rng_state()
    first = run.function(run.state, inputs)
    second = run.function(run.state, inputs)
    assert all(torch.equal(a, b) for a, b in zip(before, flatten(run.state), strict=True))
    assert all(torch.equal(module[k], v) for k, v in run.function.model.state_dict().items())
    assert torch.equal(first[1], second[1])
    assert torch.equal(rng, torch.get_rng_state())
    assert any(
        not torch.equal(first[0].buffers[k], run.state.buffers[k]) for k in run.state.buffers
    )


def flatten(state: TrainState) -> list[Tensor]:
    moments = state.optimizer.values()
    return [*state.parameters.values(), *state.buffers.values(), *moments, state.step, state.alive]


class Toy(nn.Module):
    """Loss w x: finite or not as the sample says; its gradient is x."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.ones(()))
        self.register_buffer("seen", torch.zeros(()))

    def forward(
        self, batch: Mapping[str, Tensor], noise: Mapping[str, Tensor], values: Mapping[str, Tensor]
    ) -> Tensor:
        assert isinstance(self.seen, Tensor)
        self.seen.add_(1)
        return (self.w * batch["x"]).reshape(1)


def make_toy_inputs(x: float) -> StepInputs:
    values = {"lr": 0.1, "weight_decay": 0.0, "grad_clip": 1e9, "grad_explosion": 1e9}
    return StepInputs(
        batch={"x": torch.tensor(x)},
        noise={},
        values={k: torch.tensor(v) for k, v in values.items()} | {"loss_weights": torch.ones(1)},
    )


def test_a_step_weighs_the_losses_clips_the_gradient_and_decays_the_weights() -> None:
    function = StepFunction(Toy(), "sgd")
    inputs = make_toy_inputs(2.0)
    changes = {"loss_weights": [3.0], "grad_clip": 0.5, "weight_decay": 0.2}
    values = {**inputs.values, **{k: torch.tensor(v) for k, v in changes.items()}}
    state, record = function(function.init_state(), inputs._replace(values=values))
    # w = 1; the weighted loss is 3 * 2 * w with a gradient of 6, clipped to 0.5.
    assert record.tolist() == pytest.approx([6.0, 2.0, 6.0])
    assert state.parameters["w"].item() == pytest.approx(1 - 0.1 * (0.5 + 0.2))


def test_a_gradient_explodes_by_its_norm_before_clipping() -> None:
    function = StepFunction(Toy(), "sgd")
    inputs = make_toy_inputs(2.0)
    bounds = {"grad_clip": torch.tensor(0.5), "grad_explosion": torch.tensor(1.0)}
    start = function.init_state()
    state, _ = function(start, inputs._replace(values={**inputs.values, **bounds}))
    assert not state.alive
    assert torch.equal(state.parameters["w"], start.parameters["w"])


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_from_the_first_non_finite_value_on_nothing_moves_any_more(bad: float) -> None:
    function = StepFunction(Toy(), "adam")
    state, _ = function(function.init_state(), make_toy_inputs(1.0))
    frozen, record = function(state, make_toy_inputs(bad))
    later, _ = function(frozen, make_toy_inputs(1.0))
    assert not torch.isfinite(record).all()
    assert not frozen.alive
    for result in (frozen, later):
        assert all(
            torch.equal(a, b)
            for a, b in zip(flatten(state)[:-1], flatten(result)[:-1], strict=True)
        )


def test_a_diverged_lane_does_not_touch_the_other() -> None:
    function = StepFunction(Toy(), "adam")
    start = function.init_state()
    lanes, _ = function.step_lanes(
        stack_states([start, start]),
        stack_inputs([make_toy_inputs(2.0), make_toy_inputs(float("nan"))]),
    )
    solo, _ = function(start, make_toy_inputs(2.0))
    assert lanes.parameters["w"][0] == solo.parameters["w"] != start.parameters["w"]
    assert lanes.parameters["w"][1] == start.parameters["w"]
    assert lanes.alive.tolist() == [True, False]


class HalfFrozen(Toy):
    """(w + frozen) x."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen = nn.Parameter(torch.tensor(2.0), requires_grad=False)

    def forward(
        self, batch: Mapping[str, Tensor], noise: Mapping[str, Tensor], values: Mapping[str, Tensor]
    ) -> Tensor:
        return super().forward(batch, noise, values) + self.frozen * batch["x"]


def test_a_frozen_parameter_is_used_and_never_moves_not_even_by_weight_decay() -> None:
    function = StepFunction(HalfFrozen(), "adamw")
    inputs = make_toy_inputs(2.0)
    inputs = inputs._replace(values={**inputs.values, "weight_decay": torch.tensor(0.5)})
    start = function.init_state()
    state, record = function(start, inputs)
    assert record.tolist()[:2] == [6.0, 6.0]
    assert state.parameters.keys() == {"w"}
    assert not torch.equal(state.parameters["w"], start.parameters["w"])
    assert torch.equal(state.buffers["frozen"], torch.tensor(2.0))
    lanes, _ = function.step_lanes(stack_states([start, start]), stack_inputs([inputs, inputs]))
    assert lanes.parameters["w"].tolist() == [state.parameters["w"].item()] * 2
