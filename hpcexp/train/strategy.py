"""How several losses train one model: what a workload with a strategy gives the core.

The step of `hpcexp.train.step` asks a strategy at five places. Each method is a pure function
of tensors: whatever a strategy remembers is a dictionary of tensors that goes in and comes out
as part of the run's state, so it is in every checkpoint, stands still when the run has
diverged, and two runs can be lanes of one `torch.func.vmap`.

Shapes: B samples of a batch, L losses, P parameters as one vector, N named parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import Tensor, nn

from hpcexp.train.seeding import RandomStreams

Tensors = dict[str, Tensor]
MOVES = "moves"
"""The value, (N,), that says which of the named parameters an update may change.

Where a strategy's `plan` gives it, the others keep their value and their moments, and each has
a count of updates of its own, as `torch.optim` does for parameters without a gradient.
"""


@dataclass(frozen=True)
class Outcome:
    """What one update did, for a strategy to learn from.

    `losses_L` are unweighted, before the update. `recompute` gives the losses of the same
    samples with other parameters; `parameters` are those after the update.
    """

    losses_L: Tensor
    gradients: Mapping[str, Tensor]
    parameters: Mapping[str, Tensor]
    values: Mapping[str, Tensor]
    recompute: Callable[[Mapping[str, Tensor]], Tensor]


class Strategy(Protocol):
    """Decides what is trained, how losses weigh, and how their gradients are combined."""

    @property
    def supports_lanes(self) -> bool:
        """Whether all methods can run under `torch.func.vmap`."""
        ...

    @property
    def column_names(self) -> Sequence[str]:
        """Names of what `plan` reports of each step; they become columns of train rows.

        Where `weight.NAME` is among them for every loss, `weighted.NAME` is computed with it.
        """
        ...

    @property
    def gradients_of(self) -> Sequence[str]:
        """Names of the parameters of which each loss's own gradient is wanted; perhaps none."""
        ...

    @property
    def holds_parameters(self) -> bool:
        """Whether `plan` gives the value `moves`."""
        ...

    def init_state(self, streams: RandomStreams, *, like: Tensor) -> Tensors:
        """The memory before the first step, of the type and on the device of `like`."""
        ...

    def choose_samples(self, state: Tensors, values: Mapping[str, Tensor]) -> Tensor | None:
        """Indices (B,) of the samples of the next step; None: the core's shuffled order."""
        ...

    def plan(
        self, state: Tensors, batch: Mapping[str, Tensor], values: Mapping[str, Tensor]
    ) -> Tensors:
        """Values that are added for this step, before the losses are computed."""
        ...

    def weigh(self, state: Tensors, losses_L: Tensor, values: Mapping[str, Tensor]) -> Tensor:
        """The weights (L,) of the losses in the total whose gradient is taken."""
        ...

    def combine(
        self,
        state: Tensors,
        gradients: Mapping[str, Tensor],
        own: Mapping[str, Tensor],
        values: Mapping[str, Tensor],
    ) -> tuple[Mapping[str, Tensor], Tensors]:
        """The gradients to follow, and the memory after.

        `gradients` are those of the weighted total; `own` are those of each unweighted loss,
        with a first dimension L, of the parameters in `gradients_of`.
        """
        ...

    def learn(self, state: Tensors, own: Mapping[str, Tensor], outcome: Outcome) -> Tensors:
        """The memory after an update."""
        ...

    def report(self, weights_L: Tensor, values: Mapping[str, Tensor]) -> Tensor:
        """What is recorded of a step, (len(column_names),)."""
        ...

    def observe(self, state: Tensors, metrics: Mapping[str, Tensor], *, step: int) -> Tensors:
        """The memory after an evaluation, made after `step` updates."""
        ...


@runtime_checkable
class HasStrategy(Protocol):
    """A workload that has a strategy, besides the members of `Workload`."""

    def make_strategy(self, model: nn.Module) -> Strategy:
        """The strategy that trains this model."""
        ...
