"""How exactly a step computes: in fp32, in TF32 or in bf16.

Parameters, gradients, the optimiser, records and evaluations are fp32 with each. `tf32` lets a
GPU round the factors of products to 10 bits of mantissa. `bf16` is `torch.autocast`: products of
matrices and convolutions read and write numbers of 8 bits of mantissa and add up in fp32. What
needs more (linear algebra, losses, a recurrence that feeds itself) says so by
`in_full_precision`.
"""

from __future__ import annotations

import logging
import platform
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import wraps
from typing import ParamSpec, TypeVar

import torch

from hpcexp.errors import UsageError
from hpcexp.train.config import Precision

logger = logging.getLogger("hpcexp.worker")

AMPERE = (8, 0)
"""The compute capability from which NVIDIA's GPUs have TF32 and bf16."""

P = ParamSpec("P")
T = TypeVar("T")


@contextmanager
def computing_in(precision: Precision, device: torch.device) -> Iterator[None]:
    """Within, fp32 products on a GPU are as exact as that: a whole step, its gradients included.

    Torch lets convolutions on a GPU use TF32 unless it is told otherwise.
    """
    if device.type != "cuda":
        yield
        return
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = cudnn.allow_tf32 = precision == "tf32"
    try:
        yield
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before


def autocasting(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """Within, a model computes its losses in bf16 if that is the precision."""
    if precision != "bf16":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


def in_full_precision(function: Callable[P, T]) -> Callable[P, T]:
    """A decorator: the function computes in fp32 also where its caller computes in bf16.

    Its arguments stay as they are: what was computed in bf16 has to be cast by whoever has it.
    """

    @wraps(function)
    def compute(*args: P.args, **kwargs: P.kwargs) -> T:
        for kind in ("cpu", "cuda"):
            if torch.is_autocast_enabled(kind):
                with torch.autocast(kind, enabled=False):
                    return function(*args, **kwargs)
        return function(*args, **kwargs)

    return compute


def check_precision(precision: Precision, device: torch.device) -> None:
    """Say in the log what this hardware makes of a precision.

    Raises UsageError where it has no such arithmetic, and would imitate it slowly.
    """
    if device.type == "cuda" and precision != "fp32":
        _check_gpu(precision, device)
    elif precision == "tf32":
        logger.warning("precision tf32: a CPU has no TF32; it computes in fp32")
    elif precision == "bf16" and not cpu_has_bf16():
        logger.warning(
            "precision bf16: this CPU has neither AVX512_BF16 nor AMX and imitates bf16, which "
            "takes longer than fp32; precision: fp32 is faster here"
        )


def _check_gpu(precision: Precision, device: torch.device) -> None:
    capability = torch.cuda.get_device_capability(device)
    if torch.version.hip is not None or capability >= AMPERE:
        return
    name = f"{torch.cuda.get_device_name(device)} (compute capability {_spell(capability)})"
    if precision == "tf32":
        logger.warning("precision tf32: %s has no TF32; it computes in fp32", name)
        return
    raise UsageError(
        f"precision bf16: {name} has no bf16 arithmetic, which needs {_spell(AMPERE)} or newer; "
        "set precision: fp32, or ask for another GPU"
    )


def cpu_has_bf16() -> bool:
    """Whether this CPU multiplies bf16 itself; True where that cannot be asked."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return True
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def _spell(capability: tuple[int, int]) -> str:
    return f"{capability[0]}.{capability[1]}"
