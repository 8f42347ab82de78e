"""What is known of several tasks before anything is trained.

Strategies are left out: what is looked at is the model on all of its tasks at once, with the
fixed weights. Shapes: B samples, N samples of the training set, L tasks.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from hpcexp.train.debugging import DebugFacts, Easier, InitialLoss
from hpcexp.train.step import StepInputs
from hpcexp.workloads.multitask.config import Config
from hpcexp.workloads.multitask.config.datasets import SyntheticDataset
from hpcexp.workloads.multitask.model import Hca

EASIER_STEPS = 150
EASIER_BELOW = 0.3
"""A coin has 0.5; the small model has 0.1 after so many steps."""
_LOW, _HIGH = 0.8, 1.3
"""Of the loss of outputs of 0: small random ones are a little off."""
_LEARNED_PART = 0.2
"""Of the loss of the best constants: tasks share a model, and the slowest decides."""
_WITHOUT_EFFECT = ("attend.key.bias",)
"""It adds the same to the scores of all keys, which a softmax does not see."""
_PLAIN = {"order": "together", "rows": "all", "weighting": "fixed", "combine": "sum"}


def describe_for_debugging(config: Config, labels_NL: Tensor) -> DebugFacts:
    """Losses of constants, by the labels of the training set, and a task that is easy."""
    is_binary = [config.dataset.task_kinds[task] == "binary" for task in config.tasks]
    weights = [config.weights.get(task, 1.0) for task in config.tasks]
    at_zero, trivial = 0.0, 0.0
    for index, weight in enumerate(weights):
        labels_N = labels_NL[:, index]
        labels_N = labels_N[~labels_N.isnan()].double()
        at_zero += weight * _measure_zero(labels_N, is_binary=is_binary[index])
        trivial += weight * _measure_best_constant(labels_N, is_binary=is_binary[index])
    scale_L = _find_scales(labels_NL, is_binary=is_binary)
    has_easy = isinstance(config.dataset, SyntheticDataset) and not config.sources
    return DebugFacts(
        predict=_make_predict(scale_L),
        target=_make_target(scale_L),
        trivial_loss=trivial,
        initial_loss=InitialLoss(
            _LOW * at_zero, _HIGH * at_zero, "outputs of 0: ln 2 for a binary task"
        ),
        min_spread=0.02,
        learned_part=_LEARNED_PART,
        without_effect=_WITHOUT_EFFECT,
        easier=Easier(
            "the task easy alone",
            {**_PLAIN, "tasks": ["easy"], "weights": {}},
            metric="mean_error",
            below=EASIER_BELOW,
            num_steps=EASIER_STEPS,
        )
        if has_easy and config.tasks != ("easy",)
        else None,
    )


def _measure_zero(labels_N: Tensor, *, is_binary: bool) -> float:
    """The loss of outputs of 0; 0 where there is no label."""
    if not len(labels_N):
        return 0.0
    return math.log(2) if is_binary else float(labels_N.square().mean())


def _measure_best_constant(labels_N: Tensor, *, is_binary: bool) -> float:
    """The entropy of the classes, or the variance; 0 where there is no label."""
    if not len(labels_N):
        return 0.0
    if not is_binary:
        return float(labels_N.var(correction=0))
    share = (labels_N > 0.5).double().mean()
    return float(torch.special.entr(torch.stack([share, 1 - share])).sum())


def _find_scales(labels_NL: Tensor, *, is_binary: list[bool]) -> Tensor:
    """What predictions are divided by, so that no task's scale hides the others', (L,)."""
    scales = []
    for index, binary in enumerate(is_binary):
        known_N = labels_NL[:, index][~labels_NL[:, index].isnan()]
        spread = known_N.std(correction=0).item() if len(known_N) else 0.0
        scales.append(1.0 if binary else spread or 1.0)
    return torch.tensor(scales)


Predict = Callable[[nn.Module, StepInputs], Tensor]


def _make_predict(scale_L: Tensor) -> Predict:
    def predict(model: nn.Module, inputs: StepInputs) -> Tensor:
        """Probabilities, and predictions in standard deviations of the labels, (B, L)."""
        assert isinstance(model, Hca)
        outputs_BL = model.predict(inputs.batch, modalities_M=inputs.values["modalities"])
        is_binary_L = torch.tensor(model.is_binary, device=outputs_BL.device)
        return torch.where(
            is_binary_L, outputs_BL.sigmoid(), outputs_BL / scale_L.to(outputs_BL.device)
        )

    return predict


def _make_target(scale_L: Tensor) -> Predict:
    def make_target(model: nn.Module, inputs: StepInputs) -> Tensor:
        """The labels, missing ones as 0, (B, L)."""
        del model
        labels_BL: Tensor = inputs.batch["labels"]
        return labels_BL.nan_to_num(0.0) / scale_L.to(labels_BL.device)

    return make_target
