"""One gradient of several: the combinations of TorchJD, with their memory and random numbers.

They take the Jacobian of the shared parameters, a row for each active task's weighted loss, and
give a direction that is to treat the tasks fairly. They cannot run as lanes of one program: they
branch on values, and some call a solver on the CPU.

Shapes: L tasks, A active tasks, P shared parameters as one vector.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from hpcexp.errors import UsageError
from hpcexp.workloads.multitask.attention import mix_bits
from hpcexp.workloads.multitask.config import Config
from hpcexp.workloads.multitask.strategy.memory import Tensors

_EXTRAS = {
    "upgrad": "hpcexp[upgrad]",
    "cagrad": "hpcexp[cagrad]",
    "nashmtl": "hpcexp[nash-mtl]",
}


class Combiner:
    """Combines the gradients of active tasks.

    Raises UsageError at once where a library that it needs is not installed.
    """

    def __init__(self, config: Config) -> None:
        self.config, self.name = config, config.combine
        self.made: dict[int, Any] = {}
        self._get_aggregator(len(config.tasks))

    def start(self, ones_L: Tensor, *, key: Tensor) -> Tensors:
        """What is remembered: the weights of NashMTL, which start at 1, and the steps made.

        `key` and the step seed what is random: PCGrad's order of projections, GradDrop's signs.
        """
        return {"key": key, "step": torch.zeros_like(key), "alpha": ones_L.to(torch.float64)}

    def combine(
        self, jacobian_LP: Tensor, *, active_L: Tensor, memory: Tensors
    ) -> tuple[Tensor, Tensors]:
        """The direction (P,), and the memory after.

        A single active task has its own gradient. A Jacobian that is not finite is summed: the
        run is then found to have diverged.
        """
        is_active = active_L > 0
        rows_AP = jacobian_LP[is_active]
        if len(rows_AP) == 1 or not torch.isfinite(rows_AP).all():
            return rows_AP.sum(dim=0), memory
        aggregator = self._get_aggregator(len(rows_AP))
        if self.name == "nashmtl":
            aggregator.weighting.prvs_alpha = memory["alpha"][is_active].cpu().numpy()
        # The library draws from torch's global generator: lend it one of our own.
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # solvers remark on inexact solutions
            torch.manual_seed(int(mix_bits(memory["key"] + memory["step"]).item()))
            direction_P: Tensor = aggregator(rows_AP)
        memory = {**memory, "step": memory["step"] + 1}
        if self.name == "nashmtl":
            alpha_A = torch.as_tensor(aggregator.weighting.prvs_alpha, dtype=torch.float64)
            alpha_L = memory["alpha"].clone()
            alpha_L[is_active] = alpha_A.to(alpha_L.device)
            memory = {**memory, "alpha": alpha_L}
        return direction_P, memory

    def _get_aggregator(self, num_active: int) -> Any:
        """TorchJD's; one for each number of rows, because NashMTL's problem has a size."""
        if num_active not in self.made:
            try:
                self.made[num_active] = _make_aggregator(self.config, num_active)
            except ImportError as error:
                extra = _EXTRAS.get(self.name, "torchjd")
                raise UsageError(
                    f"combine {self.name} needs a solver that is not installed: "
                    f"pip install '{extra}'"
                ) from error
        return self.made[num_active]


def _make_aggregator(config: Config, num_active: int) -> Any:
    # Imported here: it takes half a second, and most strategies do not need it.
    from torchjd import aggregation

    makers: dict[str, Callable[[], Any]] = {
        "pcgrad": aggregation.PCGrad,
        "upgrad": aggregation.UPGrad,
        "mgda": aggregation.MGDA,
        "cagrad": lambda: aggregation.CAGrad(c=config.cagrad.c),
        "graddrop": aggregation.GradDrop,
        "nashmtl": lambda: aggregation.NashMTL(
            n_tasks=num_active,
            max_norm=config.nashmtl.max_norm,
            optim_niter=config.nashmtl.iterations,
        ),
        "imtlg": aggregation.IMTLG,
        "aligned_mtl": aggregation.AlignedMTL,
    }
    return makers[config.combine]()
