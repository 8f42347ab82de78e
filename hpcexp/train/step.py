"""The training step: a pure function from state and inputs to state and record.

State goes in and comes out; the inputs carry all samples, random numbers and schedule
values; nothing else is read or written. So two runs of one shape can be two lanes of
one `torch.func.vmap` (`step_lanes`, on stacked states and inputs), and a step can be
captured as a graph.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from hpcexp.train.optimizer import UPDATE_RULES, OptimizerState, clip_by_norm, init_state

Tensors = dict[str, Tensor]


class TrainState(NamedTuple):
    """All that a step changes. `alive` turns false for good at the first non-finite value, and
    at the first gradient whose norm is above `grad_explosion`."""

    parameters: Tensors
    buffers: Tensors
    optimizer: OptimizerState
    step: Tensor  # int64 scalar: updates done
    alive: Tensor  # bool scalar


class StepInputs(NamedTuple):
    """All that a step reads besides its state."""

    batch: Mapping[str, Tensor]
    noise: Mapping[str, Tensor]
    values: Mapping[str, Tensor]

    def scale(self, name: str, factor: float) -> StepInputs:
        """The inputs with one of the values multiplied."""
        return self._replace(values={**self.values, name: self.values[name] * factor})


@dataclass(frozen=True)
class StepFunction:
    """The step of one model and one update rule.

    Calling it returns the next state and a record of shape (num_losses + 2,): the
    weighted total, the unweighted loss terms, and the gradient's norm before clipping.
    """

    model: nn.Module
    optimizer: str

    def init_state(self) -> TrainState:
        """The state before the first step, with copies of the model's parameters.

        Parameters that ask for no gradient are frozen: they are among the buffers.
        """
        given = dict(self.model.named_parameters())
        parameters = {k: v.detach().clone() for k, v in given.items() if v.requires_grad}
        frozen = {k: v.detach().clone() for k, v in given.items() if not v.requires_grad}
        device = next(iter(parameters.values())).device
        return TrainState(
            parameters=parameters,
            buffers={k: v.detach().clone() for k, v in self.model.named_buffers()} | frozen,
            optimizer=init_state(self.optimizer, _flatten(parameters)),
            step=torch.zeros((), dtype=torch.int64, device=device),
            alive=torch.ones((), dtype=torch.bool, device=device),
        )

    def __call__(self, state: TrainState, inputs: StepInputs) -> tuple[TrainState, Tensor]:
        """One update; the state stays as it was from the first non-finite loss or gradient on."""
        return _step(state, inputs, loss=self._loss, update=self._update)

    def step_lanes(self, state: TrainState, inputs: StepInputs) -> tuple[TrainState, Tensor]:
        """One update of several runs at once; every tensor has a first dimension of lanes."""
        return _step(state, inputs, loss=vmap(self._loss), update=vmap(self._update))

    def _loss(
        self, parameters: Tensors, buffers: Tensors, inputs: StepInputs
    ) -> tuple[Tensor, Tensors]:
        """The weighted total and the terms, (num_losses + 1,), and the buffers after the step."""
        # Modules such as batch norm write to their buffers: let them write to copies.
        new_buffers = {k: v.clone() for k, v in buffers.items()}
        losses = functional_call(self.model, (parameters, new_buffers), tuple(inputs))
        total = (inputs.values["loss_weights"] * losses).sum()
        return torch.cat([total.reshape(1), losses]), new_buffers

    def _update(
        self,
        state: TrainState,
        inputs: StepInputs,
        gradients: Tensors,
        buffers: Tensors,
        losses: Tensor,
    ) -> tuple[TrainState, Tensor]:
        clipped_P, norm = clip_by_norm(_flatten(gradients), inputs.values["grad_clip"])
        record = torch.cat([losses, norm.reshape(1)])
        alive = state.alive & torch.isfinite(record).all()
        alive = alive & (norm <= inputs.values["grad_explosion"])
        parameters_P = _flatten(state.parameters)
        new_P, optimizer = UPDATE_RULES[self.optimizer](
            parameters_P, clipped_P, state.optimizer, state.step, inputs.values
        )
        return TrainState(
            parameters=_unflatten(torch.where(alive, new_P, parameters_P), state.parameters),
            buffers=_choose(alive, buffers, state.buffers),
            optimizer=_choose(alive, optimizer, state.optimizer),
            step=state.step + alive.to(torch.int64),
            alive=alive,
        ), record


def _step(
    state: TrainState, inputs: StepInputs, *, loss: Callable[..., Any], update: Callable[..., Any]
) -> tuple[TrainState, Tensor]:
    """Differentiate and update.

    The gradient is taken around the lanes, not within each: lanes do not mix, so the
    gradient of their sum is each one's own. That spares the bookkeeping for second
    derivatives of `torch.func.grad`, a fifth of a small model's step.
    """
    leaves = {k: p.detach().requires_grad_() for k, p in state.parameters.items()}
    losses, buffers = loss(leaves, state.buffers, inputs)
    gradients = torch.autograd.grad(losses[..., 0].sum(), list(leaves.values()))
    with torch.no_grad():
        result: tuple[TrainState, Tensor] = update(
            state, inputs, dict(zip(leaves, gradients, strict=True)), buffers, losses.detach()
        )
    return result


def _choose(condition: Tensor, new: Tensors, old: Tensors) -> Tensors:
    return {k: torch.where(condition, new[k], old[k]) for k in old}


def _flatten(tensors: Tensors) -> Tensor:
    return torch.cat([tensor.flatten() for tensor in tensors.values()])


def _unflatten(flat_P: Tensor, like: Tensors) -> Tensors:
    parts = torch.split(flat_P, [tensor.numel() for tensor in like.values()])
    return {k: part.view(like[k].shape) for k, part in zip(like, parts, strict=True)}
