"""Terms of a loss that are added up and train nothing; strategies that blow up."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from hpcexp.train.seeding import RandomStreams
from hpcexp.train.workload import Batch
from hpcexp.worker.debug.bench import Bench
from hpcexp.worker.debug.findings import CheckFailedError, NothingToCheckError
from hpcexp.worker.debug.losses import check_strategy, check_terms
from hpcexp.workloads.multitask.workload import MultitaskWorkload
from hpcexp.workloads.unmix.config import Config
from hpcexp.workloads.unmix.objective import Objective
from hpcexp.workloads.unmix.workload import UnmixWorkload
from tests.worker.debug.conftest import SMALL, MakeBench
from tests.workloads.multitask.conftest import make_config


class Regularised(Objective):
    """A penalty on the sum of norms, of which `.item()` was taken: it trains nothing."""

    def forward(
        self, batch: Batch, noise: Mapping[str, Tensor], values: Mapping[str, Tensor]
    ) -> Tensor:
        own = super().forward(batch, noise, values)
        penalty = 0.1 * sum(parameter.norm().item() for parameter in self.parameters())
        return torch.cat([own, own.new_tensor([penalty])])


class RegularisedWorkload(UnmixWorkload):
    loss_names = ("unmixing", "l2")  # type: ignore[assignment]

    def build_model(self) -> Objective:
        return Regularised(self.config)

    def schedule(self, step: int) -> dict[str, float | list[float]]:
        return {**super().schedule(step), "loss_weights": [1.0, 1.0]}


def test_a_penalty_that_dwarfs_the_loss_and_has_no_gradient_is_named() -> None:
    workload = RegularisedWorkload(Config.model_validate(SMALL))
    bench = Bench(workload, streams=RandomStreams(0, 0), device=torch.device("cpu"))
    with pytest.raises(CheckFailedError, match=r"l2 is 9\d% of the loss, and no gradient of it"):
        check_terms(bench)


def test_a_workload_without_a_strategy_has_none_to_check(make_bench: MakeBench) -> None:
    with pytest.raises(NothingToCheckError, match="weights of a schedule"):
        check_strategy(make_bench())


def make_multitask_bench(workload_class: type[MultitaskWorkload] = MultitaskWorkload) -> Bench:
    workload = workload_class(make_config(weighting="uncertainty"))
    return Bench(workload, streams=RandomStreams(0, 0), device=torch.device("cpu"))


def test_the_weights_of_a_strategy_are_told() -> None:
    assert "after 20 steps the weights are easy 0." in check_strategy(make_multitask_bench())


class Overflows(MultitaskWorkload):
    def build_model(self) -> nn.Module:  # type: ignore[override]
        model = super().build_model()
        with torch.no_grad():
            model.heads["scaled"].out.bias.fill_(1e20)  # type: ignore[union-attr, operator]
        return model


def test_a_strategy_that_is_not_finite_fails_with_the_step() -> None:
    with pytest.raises(CheckFailedError, match="is not finite at step 0"):
        check_strategy(make_multitask_bench(Overflows))
