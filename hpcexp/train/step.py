"""The training step: a pure function from state and inputs to state and record.

State goes in and comes out; the inputs carry all samples, random numbers and schedule
values; nothing else is read or written. So two runs of one shape can be two lanes of
one `torch.func.vmap` (`step_lanes`, on stacked states and inputs), and a step can be
captured as a graph.

A workload that trains several losses by a strategy (`hpcexp.train.strategy`) is asked at the
places where the step would otherwise follow the weights of the schedule.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from hpcexp.errors import HpcexpError
from hpcexp.train.config import Precision
from hpcexp.train.optimizer import UPDATE_RULES, OptimizerState, clip_by_norm, init_state
from hpcexp.train.precision import autocasting, computing_in
from hpcexp.train.seeding import RandomStreams
from hpcexp.train.strategy import MOVES, Outcome, Strategy, Tensors

T = TypeVar("T")

IMAGE_DIM = 4
"""Dimensions of a batch of images and of a convolution's kernels."""

UPDATES = "updates"
"""The part of the optimiser's state that counts updates of each parameter, (P,)."""


class TrainState(NamedTuple):
    """All that a step changes. `alive` turns false for good at the first non-finite value, and
    at the first gradient whose norm is above `grad_explosion`."""

    parameters: Tensors
    buffers: Tensors
    optimizer: OptimizerState
    step: Tensor  # int64 scalar: updates done
    alive: Tensor  # bool scalar
    strategy: Tensors = {}  # noqa: RUF012  what a strategy remembers; never changed in place


class StepInputs(NamedTuple):
    """All that a step reads besides its state."""

    batch: Mapping[str, Tensor]
    noise: Mapping[str, Tensor]
    values: Mapping[str, Tensor]

    def scale(self, name: str, factor: float) -> StepInputs:
        """The inputs with one of the values multiplied."""
        return self.add({name: self.values[name] * factor})

    def add(self, values: Mapping[str, Tensor]) -> StepInputs:
        """The inputs with values added or replaced."""
        return self._replace(values={**self.values, **values})


@dataclass(frozen=True)
class StepFunction:
    """The step of one model and one update rule.

    Calling it returns the next state and a record of shape (num_losses + 2,): the
    weighted total, the unweighted loss terms, and the gradient's norm before clipping. With a
    strategy, the columns that it reports follow.
    """

    model: nn.Module
    optimizer: str
    strategy: Strategy | None = None
    precision: Precision = "fp32"

    def init_state(self, streams: RandomStreams | None = None) -> TrainState:
        """The state before the first step, with copies of the model's parameters.

        Parameters that ask for no gradient are frozen: they are among the buffers. `streams`
        are needed by a strategy only.
        """
        given = dict(self.model.named_parameters())
        parameters = {k: v.detach().clone() for k, v in given.items() if v.requires_grad}
        frozen = {k: v.detach().clone() for k, v in given.items() if not v.requires_grad}
        device = next(iter(parameters.values())).device
        flat_P = _flatten(parameters)
        optimizer, memory = init_state(self.optimizer, flat_P), {}
        if self.strategy is not None:
            memory = self.strategy.init_state(streams or RandomStreams(0, 0), like=flat_P)
            if self.strategy.holds_parameters:
                optimizer[UPDATES] = torch.zeros_like(flat_P)
        return TrainState(
            parameters=parameters,
            buffers={k: v.detach().clone() for k, v in self.model.named_buffers()} | frozen,
            optimizer=optimizer,
            step=torch.zeros((), dtype=torch.int64, device=device),
            alive=torch.ones((), dtype=torch.bool, device=device),
            strategy=memory,
        )

    def __call__(self, state: TrainState, inputs: StepInputs) -> tuple[TrainState, Tensor]:
        """One update; the state stays as it was from the first non-finite loss or gradient on."""
        with computing_in(self.precision, state.step.device):
            if self.strategy is not None:
                return self._step_by_strategy(self.strategy, state, inputs, over_lanes=None)
            return _step(state, inputs, loss=self._loss_alone, update=self._update)

    def step_lanes(self, state: TrainState, inputs: StepInputs) -> tuple[TrainState, Tensor]:
        """One update of several runs at once; every tensor has a first dimension of lanes.

        Raises HpcexpError where the strategy cannot: its runs train in processes of their own.
        """
        with computing_in(self.precision, state.step.device):
            if self.strategy is None:
                return _step(state, inputs, loss=vmap(self._loss), update=vmap(self._update))
            if not self.strategy.supports_lanes:
                raise HpcexpError("this strategy cannot train several runs as lanes of one program")
            return self._step_by_strategy(self.strategy, state, inputs, over_lanes=vmap)

    def _loss_alone(
        self, parameters: Tensors, buffers: Tensors, inputs: StepInputs
    ) -> tuple[Tensor, Tensors]:
        return self._loss(_order_kernels(parameters), buffers, inputs)

    def _loss(
        self, parameters: Tensors, buffers: Tensors, inputs: StepInputs
    ) -> tuple[Tensor, Tensors]:
        """The weighted total and the terms, (num_losses + 1,), and the buffers after the step."""
        losses, new_buffers = self._compute_losses(parameters, buffers, inputs)
        total = (inputs.values["loss_weights"] * losses).sum()
        return torch.cat([total.reshape(1), losses]), new_buffers

    def _compute_losses(
        self, parameters: Mapping[str, Tensor], buffers: Tensors, inputs: StepInputs
    ) -> tuple[Tensor, Tensors]:
        # Modules such as batch norm write to their buffers: let them write to copies.
        new_buffers = {k: v.clone() for k, v in buffers.items()}
        weights = inputs.values["loss_weights"]
        with autocasting(self.precision, weights.device):
            losses: Tensor = functional_call(
                self.model, (dict(parameters), new_buffers), tuple(inputs)
            )
        return losses.to(weights.dtype), new_buffers

    def _step_by_strategy(
        self,
        strategy: Strategy,
        state: TrainState,
        inputs: StepInputs,
        *,
        over_lanes: Callable[..., Any] | None,
    ) -> tuple[TrainState, Tensor]:
        """Plan, weigh, differentiate, combine, update, learn; all but the gradients per lane."""
        order = _order_kernels if over_lanes is None else _as_it_is
        over_lanes = over_lanes or _as_it_is
        with torch.no_grad():
            planned = over_lanes(strategy.plan)(state.strategy, inputs.batch, inputs.values)
        inputs = inputs.add(planned)
        leaves = {k: p.detach().requires_grad_() for k, p in state.parameters.items()}
        losses, buffers = over_lanes(self._compute_losses)(order(leaves), state.buffers, inputs)
        with torch.no_grad():
            weights = over_lanes(strategy.weigh)(state.strategy, losses.detach(), inputs.values)
        inputs = inputs.add({"loss_weights": weights})
        own = _differentiate_each(losses, {k: leaves[k] for k in strategy.gradients_of})
        total = (weights * losses).sum(dim=-1)
        if len(own) == len(leaves):
            gradients = {k: _weigh_gradients(weights, own[k]) for k in leaves}
        else:
            gradients = _differentiate(total, leaves)
        record = torch.cat([total.detach()[..., None], losses.detach()], dim=-1)
        with torch.no_grad():
            result: tuple[TrainState, Tensor] = over_lanes(self._update_by_strategy)(
                state, inputs, gradients, own, buffers, record
            )
        return result

    def _update_by_strategy(
        self,
        state: TrainState,
        inputs: StepInputs,
        gradients: Tensors,
        own: Tensors,
        buffers: Tensors,
        losses: Tensor,
    ) -> tuple[TrainState, Tensor]:
        strategy = self.strategy
        assert strategy is not None
        combined, memory = strategy.combine(state.strategy, gradients, own, inputs.values)
        combined = {k: combined[k] for k in state.parameters}
        new, record = self._update(state, inputs, combined, buffers, losses)
        outcome = Outcome(
            losses_L=losses[1:],
            gradients=combined,
            parameters=new.parameters,
            values=inputs.values,
            recompute=lambda other: self._compute_losses(other, state.buffers, inputs)[0],
        )
        memory = strategy.learn(memory, own, outcome)
        report = strategy.report(inputs.values["loss_weights"], inputs.values)
        new = new._replace(strategy=_choose(new.alive, memory, state.strategy))
        return new, torch.cat([record, report.to(record.dtype)])

    def _update(
        self,
        state: TrainState,
        inputs: StepInputs,
        gradients: Tensors,
        buffers: Tensors,
        losses: Tensor,
    ) -> tuple[TrainState, Tensor]:
        gradient_P, parameters_P = _flatten(gradients), _flatten(state.parameters)
        moves_P = self._find_moving(inputs, like=state.parameters)
        if moves_P is not None:
            gradient_P = torch.where(moves_P, gradient_P, 0)
        clipped_P, norm = clip_by_norm(gradient_P, inputs.values["grad_clip"])
        record = torch.cat([losses, norm.reshape(1)])
        alive = state.alive & torch.isfinite(record).all()
        alive = alive & (norm <= inputs.values["grad_explosion"])
        count = state.step if moves_P is None else state.optimizer[UPDATES]
        new_P, optimizer = UPDATE_RULES[self.optimizer](
            parameters_P, clipped_P, state.optimizer, count, inputs.values
        )
        if moves_P is not None:
            new_P = torch.where(moves_P, new_P, parameters_P)
            optimizer = _choose(moves_P, {**optimizer, UPDATES: count + 1}, state.optimizer)
        return TrainState(
            parameters=_unflatten(torch.where(alive, new_P, parameters_P), state.parameters),
            buffers=_choose(alive, buffers, state.buffers),
            optimizer=_choose(alive, optimizer, state.optimizer),
            step=state.step + alive.to(torch.int64),
            alive=alive,
            strategy=state.strategy,
        ), record

    def _find_moving(self, inputs: StepInputs, *, like: Tensors) -> Tensor | None:
        """Which parameters may change, (P,); None: all of them."""
        if MOVES not in inputs.values:
            return None
        moves_N = inputs.values[MOVES] > 0
        parts = zip(moves_N, like.values(), strict=True)
        return torch.cat([moves.expand(tensor.numel()) for moves, tensor in parts])


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


def _differentiate(total: Tensor, leaves: Tensors) -> Tensors:
    """Gradients of a total of each lane; zero for what it does not depend on."""
    gradients = torch.autograd.grad(
        total.sum(), list(leaves.values()), allow_unused=True, materialize_grads=True
    )
    return dict(zip(leaves, gradients, strict=True))


def _differentiate_each(losses: Tensor, leaves: Tensors) -> Tensors:
    """Gradients of each loss, losses first (after the lanes); none where no leaf is asked for."""
    if not leaves:
        return {}
    rows = [
        torch.autograd.grad(
            loss.sum(),
            list(leaves.values()),
            retain_graph=True,
            allow_unused=True,
            materialize_grads=True,
        )
        for loss in losses.unbind(dim=-1)
    ]
    first = losses.dim() - 1
    return {k: torch.stack(parts, first) for k, *parts in zip(leaves, *rows, strict=True)}


def _weigh_gradients(weights: Tensor, own: Tensor) -> Tensor:
    """The gradient of the weighted total of each lane, of those of its losses."""
    spread = weights.reshape(*weights.shape, *(1,) * (own.dim() - weights.dim()))
    return (spread * own).sum(dim=weights.dim() - 1)


def _order_kernels(parameters: Tensors) -> Tensors:
    """Kernels with channels last, in which order a CPU convolves large images fastest.

    Convolutions follow their kernels in this. Over lanes they are grouped, and are not faster so.
    """
    return {
        k: v.contiguous(memory_format=torch.channels_last)
        if v.dim() == IMAGE_DIM and v.device.type == "cpu" and v.dtype == torch.float32
        else v
        for k, v in parameters.items()
    }


def _as_it_is(given: T) -> T:
    return given


def _choose(condition: Tensor, new: Tensors, old: Tensors) -> Tensors:
    return {k: torch.where(condition, new[k], old[k]) for k in old}


def _flatten(tensors: Tensors) -> Tensor:
    return torch.cat([tensor.flatten() for tensor in tensors.values()])


def _unflatten(flat_P: Tensor, like: Tensors) -> Tensors:
    parts = torch.split(flat_P, [tensor.numel() for tensor in like.values()])
    return {k: part.view(like[k].shape) for k, part in zip(like, parts, strict=True)}
