"""What is known of the unmixing task before anything is trained."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hpcexp.train.debugging import DebugFacts, Easier, InitialLoss
from hpcexp.train.seeding import RandomStreams
from hpcexp.train.step import StepInputs
from hpcexp.workloads.unmix.config import Config
from hpcexp.workloads.unmix.items import draw_items
from hpcexp.workloads.unmix.objective import Objective

NUM_ITEMS = 2000
EASIER_STEPS = 200
EASIER_BELOW = 0.1
"""Who sees only which sources are black, not how bright the others are, is left with 0.26."""
_LOW, _HIGH = 0.7, 1.35
"""Of the loss of equal scores: small random ones are a little off."""


def describe_for_debugging(config: Config) -> DebugFacts:
    """Losses of constants, an easier data set, and that the order of sources means nothing."""
    at_zero = _measure_constant(config, 0.0)
    is_solved = config.decoder == "least_squares"  # before any training
    return DebugFacts(
        predict=_predict,
        target=_make_target,
        batched_noise=("weights",),
        trivial_loss=_find_trivial(config),
        floor=_find_floor,
        initial_loss=None
        if is_solved
        else InitialLoss(_LOW * at_zero, _HIGH * at_zero, "scores of 0"),
        min_spread=0.02,
        permute=_permute,
        num_permuted=config.num_sources,
        easier=None
        if config.items == "scale"
        else Easier(
            "scale",
            {"items": "scale", "target": "weights"},
            metric="unexplained_variance",
            below=EASIER_BELOW,
            num_steps=EASIER_STEPS,
        ),
    )


def _predict(model: nn.Module, inputs: StepInputs) -> Tensor:
    assert isinstance(model, Objective)
    scores_BN = model.score(inputs.batch, inputs.noise)
    return model.activate(scores_BN, inputs.values["temperature"])


def _make_target(model: nn.Module, inputs: StepInputs) -> Tensor:
    assert isinstance(model, Objective)
    return model.make_target(inputs.noise["weights"])


def _permute(inputs: StepInputs, order_N: Tensor) -> StepInputs:
    weights = inputs.noise["weights"][:, order_N]
    images = inputs.batch["images"][:, order_N]
    return inputs._replace(
        batch={**inputs.batch, "images": images}, noise={**inputs.noise, "weights": weights}
    )


def _find_floor(model: nn.Module, inputs: StepInputs) -> Tensor:
    """The loss of perfect predictions: of a cross-entropy, the entropy of the targets."""
    assert isinstance(model, Objective)
    weights_BN = inputs.noise["weights"]
    target_BN = model.make_target(weights_BN)
    if model.config.loss == "bce":
        return nn.functional.binary_cross_entropy(target_BN, target_BN)
    if model.config.loss == "soft_cross_entropy":
        share_BN = target_BN / target_BN.sum(dim=-1, keepdim=True)
        entropy: Tensor = torch.special.entr(share_BN).sum(dim=-1).mean()
        return entropy
    return target_BN.new_zeros(())


def _find_trivial(config: Config) -> float:
    """The loss of the best constant score."""
    if config.activation == "softmax":
        return _measure_constant(config, 0.0)
    scores = torch.linspace(-4, 4, 161).tolist()
    return min(_measure_constant(config, score) for score in scores)


def _measure_constant(config: Config, score: float) -> float:
    """The loss where every score is the same."""
    items = draw_items(config, RandomStreams(0, 0), num_images=NUM_ITEMS, epoch=0)
    model = Objective(config)
    values = {"temperature": torch.tensor(config.temperature)}
    scores_IN = torch.full_like(items.weights_IN, score)
    return model.measure(scores_IN, items.weights_IN, values).item()
