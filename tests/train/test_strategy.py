"""What the core does for a strategy, on two losses whose gradients are known by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hpcexp.errors import HpcexpError
from hpcexp.train.seeding import RandomStreams
from hpcexp.train.step import StepFunction, StepInputs, TrainState
from hpcexp.train.strategy import Outcome, Tensors


class TwoLosses(nn.Module):
    """(shared + first)^2 and (shared - second)^2."""

    def __init__(self) -> None:
        super().__init__()
        self.shared = nn.Parameter(torch.tensor([1.0]))
        self.first = nn.Parameter(torch.tensor([2.0]))
        self.second = nn.Parameter(torch.tensor([3.0]))

    def forward(
        self, batch: Mapping[str, Tensor], noise: Mapping[str, Tensor], values: Mapping[str, Tensor]
    ) -> Tensor:
        return torch.cat([(self.shared + self.first) ** 2, (self.shared - self.second) ** 2])


class Counting:
    """Weighs by the number of updates, moves what it is told to, and remembers what it saw."""

    supports_lanes = True
    column_names = ("weight.first", "weight.second")
    holds_parameters = True

    def __init__(self, moves: list[float], gradients_of: tuple[str, ...] = ()) -> None:
        self.moves, self.gradients_of = moves, gradients_of

    def init_state(self, streams: RandomStreams, *, like: Tensor) -> Tensors:
        return {"count": like.new_zeros(()), "after": like.new_zeros(2), "norms": like.new_zeros(2)}

    def choose_samples(self, state: Tensors, values: Mapping[str, Tensor]) -> Tensor | None:
        return None

    def plan(
        self, state: Tensors, batch: Mapping[str, Tensor], values: Mapping[str, Tensor]
    ) -> Tensors:
        return {"moves": torch.tensor(self.moves)}

    def weigh(self, state: Tensors, losses_L: Tensor, values: Mapping[str, Tensor]) -> Tensor:
        return torch.stack([torch.ones(()), state["count"]])

    def combine(
        self,
        state: Tensors,
        gradients: Mapping[str, Tensor],
        own: Mapping[str, Tensor],
        values: Mapping[str, Tensor],
    ) -> tuple[Mapping[str, Tensor], Tensors]:
        return gradients, state

    def learn(self, state: Tensors, own: Mapping[str, Tensor], outcome: Outcome) -> Tensors:
        after = outcome.recompute(outcome.parameters)
        norms = own["shared"].flatten(1).norm(dim=1) if own else state["norms"]
        return {"count": state["count"] + 1, "after": after, "norms": norms}

    def report(self, weights_L: Tensor, values: Mapping[str, Tensor]) -> Tensor:
        return weights_L

    def observe(self, state: Tensors, metrics: Mapping[str, Tensor], *, step: int) -> Tensors:
        return state


ALL, ONLY_SHARED = [1.0, 1.0, 1.0], [1.0, 0.0, 0.0]
NAMES = ("shared", "first", "second")


def make_inputs(**changes: float) -> StepInputs:
    values = {"lr": 0.1, "weight_decay": 0.0, "grad_clip": torch.inf, "grad_explosion": torch.inf}
    given = {k: torch.tensor(v) for k, v in {**values, **changes}.items()}
    return StepInputs({}, {}, {"loss_weights": torch.ones(2), **given})


def start(strategy: Counting, optimizer: str = "sgd") -> tuple[StepFunction, TrainState]:
    function = StepFunction(TwoLosses(), optimizer, strategy)
    return function, function.init_state()


def test_the_weights_of_a_step_come_from_what_the_strategy_remembers() -> None:
    function, state = start(Counting(ALL))
    state, first = function(state, make_inputs())
    assert first[:3].tolist() == [9.0, 9.0, 4.0]  # the second loss weighs 0
    assert state.parameters["shared"].item() == pytest.approx(1 - 0.1 * 6)
    assert first[-2:].tolist() == [1.0, 0.0]
    _, second = function(state, make_inputs())
    assert second[-2:].tolist() == [1.0, 1.0]
    assert second[0] == second[1] + second[2]


@pytest.mark.parametrize("gradients_of", [("shared",), NAMES], ids=["some", "all"])
def test_each_loss_s_own_gradient_is_there_for_the_parameters_asked_for(
    gradients_of: tuple[str, ...],
) -> None:
    function, state = start(Counting(ALL, gradients_of))
    after, _ = function(state, make_inputs())
    assert after.strategy["norms"].tolist() == [6.0, 4.0]
    without, _ = start(Counting(ALL))[0](state, make_inputs())
    assert all(torch.equal(after.parameters[k], v) for k, v in without.parameters.items())


def test_a_strategy_learns_from_the_losses_after_the_update() -> None:
    function, state = start(Counting(ALL))
    state, _ = function(state, make_inputs())
    moved = {k: v.item() for k, v in state.parameters.items()}
    expected = [
        (moved["shared"] + moved["first"]) ** 2,
        (moved["shared"] - moved["second"]) ** 2,
    ]
    assert state.strategy["after"].tolist() == pytest.approx(expected)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_what_may_not_move_keeps_its_value_and_its_moments(optimizer: str) -> None:
    function, state = start(Counting(ONLY_SHARED), optimizer)
    for _ in range(3):
        state, _ = function(state, make_inputs(weight_decay=0.1))
    assert [state.parameters[name].item() for name in ("first", "second")] == [2.0, 3.0]
    assert state.parameters["shared"] != 1.0
    assert all(torch.equal(t[1:], torch.zeros(2)) for t in state.optimizer.values())


def test_a_parameter_that_waited_takes_its_first_step_as_one_of_a_fresh_adam() -> None:
    """Its bias correction counts its own updates, as torch.optim's does without a gradient."""
    function, state = start(Counting(ONLY_SHARED), "adam")
    for _ in range(5):
        state, _ = function(state, make_inputs())
    function = StepFunction(TwoLosses(), "adam", Counting(ALL))
    state, _ = function(state, make_inputs())
    assert state.parameters["first"].item() == pytest.approx(2.0 - 0.1, abs=1e-6)


def test_a_run_that_diverged_remembers_what_it_knew_before() -> None:
    function, state = start(Counting(ALL))
    state, _ = function(state, make_inputs())
    bad, _ = function(state, make_inputs(grad_explosion=1e-9))
    assert not bad.alive
    assert all(torch.equal(bad.strategy[k], v) for k, v in state.strategy.items())


def stack(states: list[Any]) -> Any:
    if isinstance(states[0], torch.Tensor):
        return torch.stack(states)
    return {k: stack([s[k] for s in states]) for k in states[0]}


@pytest.mark.parametrize("gradients_of", [(), ("shared",), NAMES])
def test_lanes_of_a_strategy_agree_with_each_alone(gradients_of: tuple[str, ...]) -> None:
    function, state = start(Counting(ALL, gradients_of), "adam")
    inputs = [make_inputs(lr=0.1), make_inputs(lr=0.3)]
    lanes = TrainState(**stack([state._asdict()] * 2))
    together = StepInputs(*(stack([i[field] for i in inputs]) for field in range(3)))
    solos = [state, state]
    for _ in range(3):
        lanes, records = function.step_lanes(lanes, together)
        for lane, own in enumerate(inputs):
            solos[lane], record = function(solos[lane], own)
            torch.testing.assert_close(records[lane], record)
    for lane, solo in enumerate(solos):
        torch.testing.assert_close(lanes.parameters["shared"][lane], solo.parameters["shared"])


def test_a_strategy_that_cannot_share_a_program_says_so() -> None:
    strategy = Counting(ALL)
    strategy.supports_lanes = False
    function, state = start(strategy)
    with pytest.raises(HpcexpError, match="cannot train several runs as lanes"):
        function.step_lanes(state, make_inputs())
