"""What a workload gives the training core.

The core owns the loop, the update, the records and the checkpoints; a workload says what
is trained on what. Everything that varies from step to step reaches the model as a
tensor: samples (`batch`), random numbers (`noise`) and schedules (`values`). A step
therefore has no Python branch on anything that differs between runs of one shape.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from hpcexp.train.config import TrainConfig
from hpcexp.train.seeding import RandomStreams

Batch = Mapping[str, Tensor]
ScheduleValues = Mapping[str, float | list[float]]
Objective = Callable[[Batch, Mapping[str, Tensor], Mapping[str, Tensor]], Tensor]


class Workload(Protocol):
    """One configuration of something that can be trained."""

    @property
    def config(self) -> TrainConfig:
        """The hyperparameters."""
        ...

    @property
    def loss_names(self) -> Sequence[str]:
        """Names of the loss terms, in the order in which the model returns them."""
        ...

    @property
    def metric_names(self) -> Sequence[str]:
        """Names of what `evaluate` reports besides the loss terms."""
        ...

    def build_model(self) -> nn.Module:
        """The model, freshly initialised from torch's global generator (the core seeds it).

        Its forward takes (batch, noise, values) and returns the unweighted loss terms as a
        vector of shape (len(loss_names),).
        """
        ...

    def load_data(self) -> dict[str, dict[str, Tensor]]:
        """Tensors of each split (`train`, `validate`); first dimension: samples."""
        ...

    def draw(self, streams: RandomStreams, *, block: int, num_steps: int) -> dict[str, Tensor]:
        """Random tensors of one block of steps; first dimension: num_steps."""
        ...

    def schedule(self, step: int) -> dict[str, float | list[float]]:
        """Values in force at a step (0 is the first); `loss_weights` is always one of them.

        `lr`, `weight_decay` and `grad_clip` are added from the config where absent.
        """
        ...

    def evaluate(
        self, model: nn.Module, data: Batch, streams: RandomStreams
    ) -> Mapping[str, Tensor]:
        """Loss terms and metrics on a split as scalars on the device.

        `model` is in evaluation mode and holds the parameters to evaluate. The same
        parameters give the same numbers at every call.
        """
        ...


@runtime_checkable
class OrdersRows(Protocol):
    """A workload that says itself which rows of the training data each step sees."""

    def draw_order(self, streams: RandomStreams, steps: range) -> Tensor:
        """Indices of rows for each of `steps`, (S, B), or (S, B, n) for samples of n rows.

        Equal for equal steps, whatever the range they are asked for in.
        """
        ...


@runtime_checkable
class EvaluatesAsLanes(Protocol):
    """A workload whose evaluation is one program for several runs, besides `evaluate`.

    `evaluate(model, data, streams)` is `evaluate_drawn(model, data, draw_evaluation(data,
    streams))`. All in which lanes may differ is in what is drawn: the second step has no Python
    branch on a value, and only operators with a batching rule.
    """

    def draw_evaluation(self, data: Batch, streams: RandomStreams) -> Mapping[str, Tensor]:
        """Random numbers and values of an evaluation, on the device of the data."""
        ...

    def evaluate_drawn(
        self, model: nn.Module, data: Batch, noise: Mapping[str, Tensor]
    ) -> Mapping[str, Tensor]:
        """What `evaluate` returns."""
        ...
