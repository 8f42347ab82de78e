"""Blocks of step inputs, everything that the next 64 steps read, and where samples are kept.

Making and moving a block at a time keeps the device busy: one transfer for 64 steps
instead of several for each. The block length is part of the definition of the random
numbers (a block is drawn from one generator), so it is fixed and never tuned.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hpcexp.train.seeding import RandomStreams
from hpcexp.train.step import StepInputs
from hpcexp.train.workload import OrdersRows, ScheduleValues, Workload

STEPS_PER_BLOCK = 64
SHARE_FOR_DATA = 0.5
"""Samples live on a GPU where they take at most this part of its free memory."""


@dataclass(frozen=True)
class InputBlock:
    """Inputs of consecutive steps; the first dimension of every tensor counts steps.

    `schedules` are what rows show of the `values`: the workload's, and the learning rate.
    """

    indices: Tensor  # (S, B), or (S, B, n) where a sample is made of n rows
    noise: Mapping[str, Tensor]
    values: Mapping[str, Tensor]
    schedules: Sequence[ScheduleValues]

    def select(
        self, offset: int, data: Mapping[str, Tensor], *, indices: Tensor | None = None
    ) -> StepInputs:
        """Inputs of the step at `offset` in the block, of other samples where `indices` are."""
        if indices is None:
            indices = self.indices[offset]
        return StepInputs(
            batch=take_rows(data, indices),
            noise={k: v[offset] for k, v in self.noise.items()},
            values={k: v[offset] for k, v in self.values.items()},
        )


def place_samples(
    samples: Mapping[str, Tensor], *, device: torch.device, dtype: torch.dtype
) -> dict[str, Tensor]:
    """Training samples where steps take them from: on the device, or in the host's memory.

    The latter where a GPU has too little room. Floating-point samples are of `dtype`.
    """
    cast = {k: v.to(dtype) if v.is_floating_point() else v for k, v in samples.items()}
    if device.type == "cuda":
        num_bytes = sum(tensor.nbytes for tensor in cast.values())
        if num_bytes > SHARE_FOR_DATA * torch.cuda.mem_get_info(device)[0]:
            return cast
    return {name: tensor.to(device) for name, tensor in cast.items()}


def take_rows(samples: Mapping[str, Tensor], indices: Tensor) -> dict[str, Tensor]:
    """Samples at indices of any shape, on the device of the indices."""
    rows = {}
    for name, tensor in samples.items():
        taken = tensor.index_select(0, indices.flatten().to(tensor.device))
        shaped = taken.view(*indices.shape, *tensor.shape[1:])
        rows[name] = shaped if taken.device == indices.device else _send(shaped, indices.device)
    return rows


def _send(tensor: Tensor, device: torch.device) -> Tensor:
    """To a device, without waiting for it: a GPU fetches pinned memory itself."""
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def make_block(
    workload: Workload,
    streams: RandomStreams,
    *,
    block: int,
    device: torch.device,
    dtype: torch.dtype,
) -> InputBlock:
    """The inputs of steps 64 block to 64 block + 63, on the device."""
    steps = range(block * STEPS_PER_BLOCK, (block + 1) * STEPS_PER_BLOCK)
    noise = workload.draw(streams, block=block, num_steps=STEPS_PER_BLOCK)
    values = [complete_values(workload, step) for step in steps]
    shown = (*(name for name in workload.schedule(steps[0]) if name != "lr"), "lr")

    def move(tensor: Tensor) -> Tensor:
        return _send(tensor.to(dtype) if tensor.is_floating_point() else tensor, device)

    return InputBlock(
        indices=move(draw_order(workload, streams, steps)),
        noise={k: move(v) for k, v in noise.items()},
        values={
            k: move(torch.tensor([v[k] for v in values], dtype=torch.float64)) for k in values[0]
        },
        schedules=[{name: given[name] for name in shown} for given in values],
    )


def complete_values(workload: Workload, step: int) -> dict[str, float | list[float]]:
    """All the values in force at a step: the workload's, and those that every run has."""
    config = workload.config
    common: dict[str, float | list[float]] = {
        "lr": config.compute_lr(step),
        "weight_decay": config.weight_decay,
        "grad_clip": math.inf if config.grad_clip is None else config.grad_clip,
        "grad_explosion": math.inf if config.grad_explosion is None else config.grad_explosion,
    }
    return common | workload.schedule(step)


def draw_order(workload: Workload, streams: RandomStreams, steps: range) -> Tensor:
    """Indices of the rows of each step, (S, B): each epoch is a new permutation.

    A workload that orders its own rows may take several for each sample, (S, B, n).
    """
    if isinstance(workload, OrdersRows):
        return workload.draw_order(streams, steps)
    config = workload.config
    num_batches, batch_size = config.steps_per_epoch, config.batch_size
    orders = {
        epoch: torch.randperm(config.train_set_size, generator=streams.generator("order", epoch))
        for epoch in range(steps[0] // num_batches, steps[-1] // num_batches + 1)
    }
    rows = []
    for step in steps:
        epoch, position = divmod(step, num_batches)
        rows.append(orders[epoch][position * batch_size : (position + 1) * batch_size])
    return torch.stack(rows)
