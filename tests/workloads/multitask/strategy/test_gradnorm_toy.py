"""The toy of the GradNorm paper, smaller: two tasks whose losses differ by 10^4.

y_i = σ_i tanh((B + ε_i) x), B ~ N(0, 10), ε_i ~ N(0, 3.5), σ = (1, 100); four shared ReLU layers.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from hpcexp.train.seeding import RandomStreams
from hpcexp.train.step import StepFunction, StepInputs
from hpcexp.train.strategy import Outcome, Tensors
from hpcexp.workloads.multitask.strategy.weighting import Seen, make_weighting
from tests.workloads.multitask.conftest import make_config

NUM_INPUTS, NUM_OUTPUTS, WIDTH, SCALES = 20, 10, 32, (1.0, 100.0)


class Toy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        widths = [NUM_INPUTS, WIDTH, WIDTH, WIDTH, WIDTH]
        self.shared = nn.ModuleList(nn.Linear(*pair) for pair in itertools.pairwise(widths))
        self.heads = nn.ModuleList(nn.Linear(WIDTH, NUM_OUTPUTS) for _ in SCALES)

    def forward(
        self, batch: Mapping[str, Tensor], noise: Mapping[str, Tensor], values: Mapping[str, Tensor]
    ) -> Tensor:
        hidden = batch["x"]
        for layer in self.shared:
            hidden = torch.relu(layer(hidden))
        errors = [(h(hidden) - batch[f"y{i}"]).square().mean() for i, h in enumerate(self.heads)]
        return torch.stack(errors)


class Balance:
    """Weighs by one of our weightings, and reports the norms of the weighted gradients."""

    supports_lanes, holds_parameters = True, False
    column_names = ("norm.0", "norm.1")
    gradients_of = ("shared.3.weight",)

    def __init__(self, weighting: str, *, lr: float) -> None:
        config = make_config(
            tasks=["easy", "xor"], weighting=weighting, gradnorm={"alpha": 0.12, "lr": lr}
        )
        self.weighting = make_weighting(config)

    def init_state(self, streams: RandomStreams, *, like: Tensor) -> Tensors:
        return {**self.weighting.start(like.new_ones(2)), "norms": like.new_zeros(2)}

    def choose_samples(self, state: Tensors, values: Mapping[str, Tensor]) -> Tensor | None:
        return None

    def plan(
        self, state: Tensors, batch: Mapping[str, Tensor], values: Mapping[str, Tensor]
    ) -> Tensors:
        return {}

    def weigh(self, state: Tensors, losses_L: Tensor, values: Mapping[str, Tensor]) -> Tensor:
        return self.weighting.weigh(state, losses_L)

    def combine(
        self,
        state: Tensors,
        gradients: Mapping[str, Tensor],
        own: Mapping[str, Tensor],
        values: Mapping[str, Tensor],
    ) -> tuple[Mapping[str, Tensor], Tensors]:
        return gradients, state

    def learn(self, state: Tensors, own: Mapping[str, Tensor], outcome: Outcome) -> Tensors:
        norms = own["shared.3.weight"].flatten(1).norm(dim=1)
        weights = self.weighting.weigh(state, outcome.losses_L)
        seen = Seen(outcome.losses_L, torch.ones(2), ends_epoch=torch.tensor(False), norms_L=norms)
        memory = {k: v for k, v in state.items() if k != "norms"}
        return {**self.weighting.learn(memory, seen), "norms": weights * norms}

    def report(self, weights_L: Tensor, values: Mapping[str, Tensor]) -> Tensor:
        return weights_L

    def observe(self, state: Tensors, metrics: Mapping[str, Tensor], *, step: int) -> Tensors:
        return state


def measure_ratio(weighting: str, *, num_steps: int, seed: int = 0) -> float:
    """The median ratio of the second task's gradient norm to the first's, over the last steps."""
    generator = torch.Generator().manual_seed(seed)
    base = 10**0.5 * torch.randn(NUM_INPUTS, NUM_OUTPUTS, generator=generator)
    own = [
        base + 3.5**0.5 * torch.randn(base.shape, generator=generator) for _ in SCALES
    ]  # fmt: skip
    torch.manual_seed(seed)
    function = StepFunction(Toy(), "adam", Balance(weighting, lr=0.02))
    state = function.init_state()
    fixed = {"lr": 2e-3, "weight_decay": 0.0, "grad_clip": torch.inf, "grad_explosion": torch.inf}
    values = {k: torch.tensor(v) for k, v in fixed.items()}
    values["loss_weights"] = torch.ones(len(SCALES))
    ratios = []
    for step in range(num_steps):
        x = torch.randn(64, NUM_INPUTS, generator=generator)
        batch = {"x": x}
        for index, scale in enumerate(SCALES):
            batch[f"y{index}"] = scale * torch.tanh(x @ own[index])
        state, _ = function(state, StepInputs(batch, {}, values))
        if step >= num_steps - 200:
            first, second = state.strategy["norms"].tolist()
            ratios.append(second / first)
    return float(torch.tensor(ratios).median())


SEEDS = [0, pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.slow)]


@pytest.mark.parametrize("seed", SEEDS)
def test_gradnorm_balances_gradients_where_equal_weights_leave_them_far_apart(seed: int) -> None:
    assert 0.4 < measure_ratio("gradnorm", num_steps=700, seed=seed) < 2.5
    assert measure_ratio("fixed", num_steps=300, seed=seed) > 10
