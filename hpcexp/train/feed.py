"""What the steps of one run read: its data on the device, and inputs made a block at a time."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from hpcexp.train.inputs import STEPS_PER_BLOCK, InputBlock, make_block, place_samples
from hpcexp.train.seeding import RandomStreams
from hpcexp.train.step import StepInputs
from hpcexp.train.strategy import Strategy, Tensors
from hpcexp.train.workload import Workload


class Feed:
    """The data of a run by split, and what each of its steps reads.

    Blocks are made when the first of their steps is next; the one that is at work is kept.
    """

    def __init__(
        self,
        workload: Workload,
        *,
        streams: RandomStreams,
        strategy: Strategy | None,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self.workload, self.streams, self.strategy = workload, streams, strategy
        self.device, self.dtype = device, dtype
        loaded = workload.load_data()
        train = place_samples(loaded.pop("train"), device=device, dtype=dtype)
        self.data = {"train": train, **{split: self._move(data) for split, data in loaded.items()}}
        self._block: tuple[int, InputBlock] | None = None

    def get_block(self, step: int) -> InputBlock:
        """What a step and its neighbours read."""
        index = step // STEPS_PER_BLOCK
        if self._block is None or self._block[0] != index:
            made = make_block(
                self.workload, self.streams, block=index, device=self.device, dtype=self.dtype
            )
            self._block = (index, made)
        return self._block[1]

    def make_inputs(
        self, step: int, memory: Tensors, *, lr_factor: float
    ) -> tuple[StepInputs, Tensor]:
        """What a step reads, and the indices of its samples in the training set.

        `memory` is the strategy's, `lr_factor` what the schedule's learning rate is multiplied by.
        """
        offset, block = step % STEPS_PER_BLOCK, self.get_block(step)
        indices = block.indices[offset]
        if self.strategy is not None:
            values = {name: tensor[offset] for name, tensor in block.values.items()}
            chosen = self.strategy.choose_samples(memory, values)
            indices = indices if chosen is None else chosen
        inputs = block.select(offset, self.data["train"], indices=indices)
        return inputs.scale("lr", lr_factor) if lr_factor != 1.0 else inputs, indices

    def _move(self, data: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {
            k: v.to(self.device, self.dtype if v.is_floating_point() else None)
            for k, v in data.items()
        }
