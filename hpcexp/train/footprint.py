"""What tensors need in memory: counted as they are made, or foreseen from their shapes alone."""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from hpcexp.train.inputs import InputBlock, make_block
from hpcexp.train.lanes import stack_states
from hpcexp.train.seeding import RandomStreams
from hpcexp.train.step import StepFunction, StepInputs, TrainState
from hpcexp.train.strategy import HasStrategy
from hpcexp.train.workload import Workload


class AllocationMeter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Within, counts the bytes of tensors that are made, at their peak.

    A storage counts once, whatever views there are of it, until nobody holds it. What a kernel
    takes and gives back by itself is not seen. Also counts fake tensors, which have none.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live_bytes, self.peak_bytes = 0, 0
        self._counted: set[int] = set()

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call the operator, and count what it made."""
        del types
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor):
                self._count(tensor)
        return made

    def _count(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._counted:
            return
        self._counted.add(key)
        self.live_bytes += storage.nbytes()
        self.peak_bytes = max(self.peak_bytes, self.live_bytes)
        weakref.finalize(storage, self._forget, key, storage.nbytes())

    def _forget(self, key: int, size: int) -> None:
        self._counted.discard(key)
        self.live_bytes -= size


def foresee_lane_bytes(workload: Workload, data: Mapping[str, Tensor]) -> int:
    """Bytes that a lane adds to the memory of a program: its own tensors, and those of its step.

    `data` are a few rows of the training set, as many as a batch has; the set itself is shared.
    The step runs on fake tensors: shapes are computed, numbers are not.
    """
    from torch._subclasses.fake_tensor import FakeTensorMode

    streams = RandomStreams(0, 0)
    with streams.initialising():
        model = workload.build_model().train()
    strategy = workload.make_strategy(model) if isinstance(workload, HasStrategy) else None
    function = StepFunction(model, workload.config.optimizer, strategy)
    state = function.init_state(streams)
    block = make_block(workload, streams, block=0, device=torch.device("cpu"), dtype=torch.float32)
    inputs = block.select(0, data, indices=torch.zeros_like(block.indices[0]))
    lane_state = stack_states([state])
    lane_inputs = StepInputs(*({k: v[None] for k, v in part.items()} for part in inputs))
    fake, meter = FakeTensorMode(), AllocationMeter()
    fake_state, fake_inputs = _fake_state(fake, lane_state), _fake_inputs(fake, lane_inputs)
    with fake, meter:
        function.step_lanes(fake_state, fake_inputs)
    # The model that was built, the one that is evaluated, and the best of each kind.
    num_models = 2 + len(workload.config.keep_best)
    models = num_models * _count_bytes({**state.parameters, **state.buffers})
    blocks = 2 * _count_block_bytes(block)  # its own, and its part of what is stacked
    return meter.peak_bytes + _count_state_bytes(state) + models + blocks + _count_batch(inputs)


def _fake_state(fake: Any, state: TrainState) -> TrainState:
    def make_fake(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {name: fake.from_tensor(tensor) for name, tensor in tensors.items()}

    return TrainState(
        parameters=make_fake(state.parameters),
        buffers=make_fake(state.buffers),
        optimizer=make_fake(state.optimizer),
        step=fake.from_tensor(state.step),
        alive=fake.from_tensor(state.alive),
        strategy=make_fake(state.strategy),
    )


def _fake_inputs(fake: Any, inputs: StepInputs) -> StepInputs:
    return StepInputs(*({k: fake.from_tensor(v) for k, v in part.items()} for part in inputs))


def _count_state_bytes(state: TrainState) -> int:
    parts = (state.parameters, state.buffers, state.optimizer, state.strategy)
    return sum(_count_bytes(part) for part in parts)


def _count_block_bytes(block: InputBlock) -> int:
    return _count_bytes({"": block.indices, **block.noise}) + _count_bytes(block.values)


def _count_batch(inputs: StepInputs) -> int:
    """The samples of a step are gathered for it; its noise and values are views."""
    return sum(tensor.nbytes for tensor in inputs.batch.values())


def _count_bytes(tensors: Mapping[str, Tensor]) -> int:
    return sum(tensor.untyped_storage().nbytes() for tensor in tensors.values())
