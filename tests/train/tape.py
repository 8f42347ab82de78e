"""What a CUDA graph does, on a CPU: operations are recorded, and done again in the same memory.

Nothing else of a function happens again: Python numbers stay as they were when it was recorded,
and a tensor that was made elsewhere is read where it lay then.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

Operation = tuple[Any, tuple[Any, ...], dict[str, Any], list[Tensor]]


class Tape(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records every operation on tensors, with the tensors themselves."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations: list[Operation] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func.overloadpacket is torch.ops.aten._local_scalar_dense:
            raise RuntimeError("operation not permitted when stream is capturing")
        out = func(*args, **kwargs)
        self.operations.append((func, args, kwargs, tree_leaves(out)))
        return out

    def replay(self) -> None:
        """Do all of it again, each result where it was before."""
        with torch.no_grad():
            for func, args, kwargs, before in self.operations:
                for place, again in zip(before, tree_leaves(func(*args, **kwargs)), strict=True):
                    if isinstance(place, Tensor) and place.data_ptr() != again.data_ptr():
                        place.copy_(again)


def capture_on_tape(function: Callable[[], None]) -> Callable[[], object]:
    """As `capture_on_gpu`."""
    function()
    tape = Tape()
    with tape:
        function()
    return tape.replay
