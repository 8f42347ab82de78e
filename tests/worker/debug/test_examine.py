"""Faults that are planted into a healthy model are found, each by the check that is made for it.

The first five are those of the diary that the workload stems from.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hpcexp.train.seeding import RandomStreams
from hpcexp.train.workload import Batch
from hpcexp.worker.debug.bench import Bench
from hpcexp.worker.debug.examine import CHECKS, examine
from hpcexp.worker.debug.findings import CheckFailedError, Level
from hpcexp.workloads.unmix.config import Config
from hpcexp.workloads.unmix.decoders import PairMlp
from hpcexp.workloads.unmix.objective import Objective
from hpcexp.workloads.unmix.workload import UnmixWorkload
from tests.worker.debug.conftest import MakeBench

STREAMS = RandomStreams(0, 0)


def run(bench: Bench, check: str) -> str:
    return CHECKS[check][0](bench)


def fail(bench: Bench, check: str) -> str:
    """What a check says that must fail."""
    with pytest.raises(CheckFailedError) as caught:
        run(bench, check)
    return str(caught.value)


# The healthy model


def test_a_healthy_model_passes_every_check(make_bench: MakeBench) -> None:
    made = examine(make_bench(), group="healthy", with_layers=True)
    expected = {**dict.fromkeys(CHECKS, Level.PASSED), "strategy": Level.SKIPPED}
    assert {f.check: f.level for f in made.findings} == expected
    assert not made.has_failures
    assert [row["layer"] for row in made.layers[:2]] == ["encoder.body.0.0", "encoder.body.0.1"]


@pytest.mark.parametrize(
    "changes",
    [
        {"loss": "bce"},
        {"activation": "softmax", "loss": "soft_cross_entropy"},
        {"num_sources": 4, "target": "presence"},
    ],
)
def test_other_losses_and_targets_are_learned_by_heart_too(
    make_bench: MakeBench, changes: dict[str, Any]
) -> None:
    bench = make_bench(**changes)
    for check in ("initial loss", "overfit one batch", "order of inputs"):
        run(bench, check)


def test_batch_norm_couples_examples_in_training_which_is_said_and_no_failure(
    make_bench: MakeBench,
) -> None:
    bench = make_bench(encoder={"channels": [8], "strides": [2], "norm": "batch"})
    bench.num_steps = 20
    assert "batch norm couples them" in run(bench, "independent examples")


# The diary's faults


class Squeezed(Objective):
    def score(self, batch: Batch, noise: Mapping[str, Tensor]) -> Tensor:
        return super().score(batch, noise).squeeze()


def test_a_squeezed_batch_dimension_is_found(make_bench: MakeBench) -> None:
    bench = make_bench(Squeezed)
    bench.num_steps = 5
    assert "predictions of a batch of one have shape (3,)" in fail(bench, "batch of one")


class TooLong(UnmixWorkload):
    """As many items as images: the last ones lack a source."""

    def draw_order(self, streams: RandomStreams, steps: range) -> Tensor:
        first = torch.arange(steps.start, steps.stop)[:, None, None] * 16
        within = torch.arange(16)[:, None] + torch.arange(3)
        return first + within + 2 * (len(steps) > 1)


class TooShort(UnmixWorkload):
    """A third of the items: windows that do not overlap."""

    def draw_order(self, streams: RandomStreams, steps: range) -> Tensor:
        return super().draw_order(streams, steps) // 3


@pytest.mark.parametrize(
    ("workload", "said"),
    [(TooLong, "reads row 51 of 50: its length"), (TooShort, "reads 20 of 60 training samples")],
)
def test_a_wrong_length_of_the_data_set_is_found(
    make_bench: MakeBench, workload: type[UnmixWorkload], said: str
) -> None:
    size = 50 if workload is TooLong else 60
    assert said in fail(make_bench(workload_class=workload, train_set_size=size), "data")


num_slots = 3


class UsesGlobal(Objective):
    def make_target(self, weights_BN: Tensor) -> Tensor:
        return weights_BN[:, :num_slots]


def test_a_global_variable_in_the_model_is_found(make_bench: MakeBench) -> None:
    said = fail(make_bench(UsesGlobal), "global variables")
    assert said == "UsesGlobal.make_target reads the global int num_slots"


class ActivatedTwice(Objective):
    def activate(self, scores_BN: Tensor, temperature: Tensor) -> Tensor:
        return super().activate(super().activate(scores_BN, temperature), temperature)


@pytest.mark.parametrize("activation", ["sigmoid", "softmax"])
def test_an_activation_that_is_applied_twice_is_found(
    make_bench: MakeBench, activation: str
) -> None:
    bench = make_bench(ActivatedTwice, activation=activation)
    bench.num_steps = 100
    said = fail(bench, "overfit one batch")
    assert "predictions reach from" in said
    assert "nor does it with a tenth of lr" in said
    if activation == "sigmoid":
        assert "(scores of 0)" in fail(bench, "initial loss")


class NormBySlot(PairMlp):
    """Batch norm over the slots, which have no place of their own."""

    def __init__(self, num_features: int, width: int) -> None:
        super().__init__(num_features, width)
        self.norm = nn.BatchNorm1d(3)

    def forward(self, mixture_BF: Tensor, sources_BNF: Tensor) -> Tensor:
        return super().forward(mixture_BF, self.norm(sources_BNF))


class NormByExample(PairMlp):
    """A norm over the features of each slot: how bright it is gets lost."""

    def forward(self, mixture_BF: Tensor, sources_BNF: Tensor) -> Tensor:
        unit = nn.functional.normalize(sources_BNF, dim=-1)
        return super().forward(nn.functional.normalize(mixture_BF, dim=-1), unit)


class NormsBySlot(Objective):
    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.decoder = NormBySlot(256, 16)


class NormsByExample(Objective):
    def __init__(self, config: Config) -> None:
        super().__init__(config)
        # The encoder's own norm and the mean image would tell of brightness: a bare projection.
        self.encoder.body = nn.Sequential(nn.Flatten(), nn.Linear(192, 32, bias=False))
        self.decoder = NormByExample(32, 16)

    def encode(self, mixture_BCHW: Tensor, sources_BNCHW: Tensor) -> tuple[Tensor, Tensor]:
        # Undo the encoder's centring, which depends on brightness.
        return super().encode(mixture_BCHW + 0.5, sources_BNCHW + 0.5)


def test_a_norm_with_statistics_for_each_slot_is_found(make_bench: MakeBench) -> None:
    bench = make_bench(NormsBySlot)
    bench.num_steps = 30
    assert "in another order of inputs, predictions change by" in fail(bench, "order of inputs")


def test_a_norm_that_erases_the_scale_fails_on_the_easier_data(make_bench: MakeBench) -> None:
    assert "on scale after 200 steps, not below 0.1" in fail(
        make_bench(NormsByExample), "easier data"
    )


# Others


class MixesExamples(Objective):
    def encode(self, mixture_BCHW: Tensor, sources_BNCHW: Tensor) -> tuple[Tensor, Tensor]:
        mixture_BF, sources_BNF = super().encode(mixture_BCHW, sources_BNCHW)
        size, n = sources_BNF.shape[:2]
        return mixture_BF, sources_BNF.reshape(n, size, -1).transpose(0, 1)


def test_examples_that_are_mixed_up_are_found(make_bench: MakeBench) -> None:
    bench = make_bench(MixesExamples)
    bench.num_steps = 10
    assert "other examples in the batch change" in fail(bench, "independent examples")


def test_a_saturated_head_is_found_by_its_first_loss_its_spread_and_its_gradients(
    make_bench: MakeBench,
) -> None:
    encoder = {"channels": [64, 64], "strides": [2, 2]}
    bench = make_bench(decoder="dot", encoder=encoder)
    bench.num_steps = 20
    assert "the loss of an untrained model is 0.5" in fail(bench, "initial loss")
    assert "all examples are predicted alike: 1" in fail(bench, "spread")


class HidesItsHead(Objective):
    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.heads = {"main": self.decoder}
        del self.decoder

    def score(self, batch: Batch, noise: Mapping[str, Tensor]) -> Tensor:
        return super().score(batch, noise)


def test_a_head_in_a_plain_dict_is_found(make_bench: MakeBench) -> None:
    assert fail(make_bench(HidesItsHead), "registration") == "HidesItsHead.heads"


class Detached(Objective):
    def encode(self, mixture_BCHW: Tensor, sources_BNCHW: Tensor) -> tuple[Tensor, Tensor]:
        mixture_BF, sources_BNF = super().encode(mixture_BCHW, sources_BNCHW)
        return mixture_BF.detach(), sources_BNF.detach()


def test_a_part_without_a_gradient_is_named(make_bench: MakeBench) -> None:
    said = fail(make_bench(Detached), "gradients")
    assert said.startswith("no gradient reaches encoder.body.0.0.weight")


class Random(Objective):
    def score(self, batch: Batch, noise: Mapping[str, Tensor]) -> Tensor:
        return nn.functional.dropout(super().score(batch, noise))


class Counts(Objective):
    calls = 0

    def score(self, batch: Batch, noise: Mapping[str, Tensor]) -> Tensor:
        self.calls += 1
        return super().score(batch, noise) + 0.01 * self.calls


@pytest.mark.parametrize(
    ("model", "said"),
    [(Random, "draws random numbers of its own"), (Counts, "the same inputs gave")],
)
def test_a_forward_pass_with_chance_or_memory_is_found(
    make_bench: MakeBench, model: type[Objective], said: str
) -> None:
    assert said in fail(make_bench(model), "purity")


class Raises(Objective):
    def score(self, batch: Batch, noise: Mapping[str, Tensor]) -> Tensor:
        raise ZeroDivisionError("of my own making")


def test_a_model_that_raises_has_failed_with_the_place_and_the_others_go_on(
    make_bench: MakeBench,
) -> None:
    made = examine(make_bench(Raises), group="raises", with_layers=True)
    found = {f.check: f for f in made.findings}
    assert found["data"].level is Level.PASSED
    assert found["purity"].found.startswith("ZeroDivisionError: of my own making (test_examine.py")
    assert made.has_failures
    assert made.layers == ()
    assert made.to_json()["has_failures"] is True
