"""What a workload may say about itself, so that `hpcexp debug` can look closer.

All of it is optional: a workload without a method `debug_facts` is checked by what every
workload has. Shapes: B is the number of examples in a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn

from hpcexp.train.step import StepInputs

Predict = Callable[[nn.Module, StepInputs], Tensor]


@dataclass(frozen=True)
class InitialLoss:
    """The range of the weighted loss of an untrained model, and why it should be there."""

    low: float
    high: float
    reason: str


@dataclass(frozen=True)
class Easier:
    """Changed hyperparameters that make the data easier, and what is reached on them.

    After `num_steps` steps the validation `metric` is below `below`.
    """

    name: str
    changes: Mapping[str, Any]
    metric: str
    below: float
    num_steps: int


@dataclass(frozen=True)
class DebugFacts:
    """What `hpcexp debug` can use.

    `predict` gives a row for each example, (B, ...), without random numbers of its own;
    `batched_noise` names the random tensors whose first dimension is B. `target`, of the same
    shape, is what `predict` should give. `trivial_loss` is what the best constant reaches, and
    `floor` the least loss that any model reaches on a batch, a scalar; None: 0.
    `min_spread` is the standard deviation over examples below which predictions are constant.
    `learned_part`: what counts as known by heart, as a part of the way from `floor` to
    `trivial_loss`. `without_effect` are endings of names of parameters that change no output,
    such as the bias of keys in attention.
    `permute` puts the inputs of every example into another order, of `num_permuted`, and the
    second dimension of the predictions should follow.
    """

    predict: Predict | None = None
    target: Predict | None = None
    batched_noise: Sequence[str] = ()
    trivial_loss: float | None = None
    floor: Predict | None = None
    initial_loss: InitialLoss | None = None
    min_spread: float = 1e-3
    learned_part: float = 0.1
    without_effect: Sequence[str] = ()
    permute: Callable[[StepInputs, Tensor], StepInputs] | None = None
    num_permuted: int = 0
    easier: Easier | None = None


@runtime_checkable
class Debuggable(Protocol):
    """A workload that says something about itself."""

    def debug_facts(self) -> DebugFacts:
        """What holds for this configuration."""
        ...
