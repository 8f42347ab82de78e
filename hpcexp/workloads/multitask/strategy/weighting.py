"""How losses weigh: fixed factors, and weights that follow the losses or the gradients.

A weighting gives weights of the losses, and learns from each update. Losses reach it multiplied
by their fixed factors; weights of tasks that rest are multiplied by 0 outside. All shapes are
(L,) unless said otherwise.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from hpcexp.workloads.multitask.config import Config
from hpcexp.workloads.multitask.strategy.memory import Tensors, descend, start_descent

EPSILON = 1e-8


class Seen:
    """What a weighting may look at after an update; `active_L` is 1 for tasks that were trained.

    `norms_L` are the norms of the gradients of the losses at the balance layer; `measure_again`
    gives the losses of the same batch after the update.
    """

    def __init__(
        self,
        losses_L: Tensor,
        active_L: Tensor,
        *,
        ends_epoch: Tensor,
        norms_L: Tensor | None = None,
        measure_again: Callable[[], Tensor] | None = None,
    ) -> None:
        self.losses_L, self.active_L, self.ends_epoch = losses_L, active_L, ends_epoch
        self.norms_L, self.measure_again = norms_L, measure_again


class Weighting(Protocol):
    """One way of weighing losses."""

    needs_norms: bool

    def start(self, ones_L: Tensor) -> Tensors:
        """The memory before the first step."""
        ...

    def weigh(self, memory: Tensors, losses_L: Tensor) -> Tensor:
        """The weights in force."""
        ...

    def learn(self, memory: Tensors, seen: Seen) -> Tensors:
        """The memory after an update."""
        ...


class Fixed:
    """Every loss weighs 1."""

    needs_norms = False

    def start(self, ones_L: Tensor) -> Tensors:
        """Nothing to remember."""
        del ones_L
        return {}

    def weigh(self, memory: Tensors, losses_L: Tensor) -> Tensor:
        """Ones."""
        del memory
        return torch.ones_like(losses_L)

    def learn(self, memory: Tensors, seen: Seen) -> Tensors:
        """Nothing to learn."""
        del seen
        return memory


class _Descending(Fixed, ABC):
    """A point that one step of a descent moves after each update."""

    def __init__(self, config: Config) -> None:
        self.settings = config.learned

    def start(self, ones_L: Tensor) -> Tensors:
        """The point at 0."""
        return start_descent(self.settings.optimizer, torch.zeros_like(ones_L))

    def learn(self, memory: Tensors, seen: Seen) -> Tensors:
        """One step down the gradient, of active tasks alone."""
        gradient_L = self.differentiate(memory, seen) * seen.active_L
        return descend(memory, gradient_L, lr=self.settings.lr)

    @abstractmethod
    def differentiate(self, memory: Tensors, seen: Seen) -> Tensor:
        """The gradient of the objective with respect to the point."""


class Softmax(_Descending):
    """w = L softmax(v), learned from the weighted sum: drifts to the task of the smallest loss."""

    def weigh(self, memory: Tensors, losses_L: Tensor) -> Tensor:
        """Positive weights whose sum is L."""
        del losses_L
        return len(memory["point"]) * memory["point"].softmax(dim=0)

    def differentiate(self, memory: Tensors, seen: Seen) -> Tensor:
        """d/dv_i of sum w_j L_j = w_i (L_i - sum p_j L_j)."""
        weights_L = self.weigh(memory, seen.losses_L) * seen.active_L
        mean = (weights_L * seen.losses_L).sum() / weights_L.sum().clamp_min(EPSILON)
        return weights_L * (seen.losses_L - mean)


class Raw(_Descending):
    """w is a bare parameter of the weighted sum. Ill-posed: its gradient is the loss, so w falls
    for ever, and below 0 the task is unlearned."""

    def start(self, ones_L: Tensor) -> Tensors:
        """The weights at 1."""
        return start_descent(self.settings.optimizer, ones_L.clone())

    def weigh(self, memory: Tensors, losses_L: Tensor) -> Tensor:
        """The point itself."""
        del losses_L
        return memory["point"]

    def differentiate(self, memory: Tensors, seen: Seen) -> Tensor:
        """d/dw_i of sum w_j L_j = L_i."""
        del memory
        return seen.losses_L


class Uncertainty(_Descending):
    """Weights e^-s / 2 with the log variance s learned from sum (e^-s L + s) / 2.

    Its optimum is s = log L. Source: Kendall, Gal & Cipolla 2018, equation 7, with s = log σ².
    For a cross entropy the paper has e^-s L + s / 2; this is that form but for a constant.
    """

    def weigh(self, memory: Tensors, losses_L: Tensor) -> Tensor:
        """Half the precision of each task."""
        del losses_L
        return 0.5 * torch.exp(-memory["point"])

    def learn(self, memory: Tensors, seen: Seen) -> Tensors:
        """One step, within bounds that keep the weights finite."""
        bound = self.settings.max_log_variance
        moved = super().learn(memory, seen)
        return {**moved, "point": moved["point"].clamp(-bound, bound)}

    def differentiate(self, memory: Tensors, seen: Seen) -> Tensor:
        """d/ds of (e^-s L + s) / 2."""
        return 0.5 - self.weigh(memory, seen.losses_L) * seen.losses_L


class Dwa(Fixed):
    """L softmax(r / temperature), r the ratio of the mean losses of the two epochs before.

    Source: Liu, Johns & Davison 2019, "End-to-End Multi-Task Learning with Attention", eq. 7.
    """

    def __init__(self, config: Config) -> None:
        self.temperature = config.dwa.temperature

    def start(self, ones_L: Tensor) -> Tensors:
        """No epoch has ended: means are NaN."""
        unknown_L = torch.full_like(ones_L, torch.nan)
        zeros_L = torch.zeros_like(ones_L)
        return {"newer": unknown_L, "older": unknown_L, "sum": zeros_L, "count": zeros_L}

    def weigh(self, memory: Tensors, losses_L: Tensor) -> Tensor:
        """Equal weights until two epochs have ended."""
        rates_L = memory["newer"] / memory["older"]
        is_known = torch.isfinite(rates_L).all()
        logits_L = torch.where(is_known, rates_L, 1.0) / self.temperature
        return len(losses_L) * logits_L.softmax(dim=0)

    def learn(self, memory: Tensors, seen: Seen) -> Tensors:
        """Add to the epoch's sums; its last update closes it.

        A task that rested for a whole epoch keeps the mean it had.
        """
        sum_L = memory["sum"] + seen.losses_L * seen.active_L
        count_L = memory["count"] + seen.active_L
        mean_L = torch.where(count_L > 0, sum_L / count_L, memory["newer"])
        ends = seen.ends_epoch
        return {
            "older": torch.where(ends, memory["newer"], memory["older"]),
            "newer": torch.where(ends, mean_L, memory["newer"]),
            "sum": torch.where(ends, 0.0, sum_L),
            "count": torch.where(ends, 0.0, count_L),
        }


class Famo(Fixed):
    """Weights z / L, scaled to a convex combination; logits learn from how fast losses fell.

    Source: Liu et al. 2023, "FAMO: Fast Adaptive Multitask Optimization", algorithm 1.
    """

    def __init__(self, config: Config) -> None:
        self.settings = config.famo

    def start(self, ones_L: Tensor) -> Tensors:
        """All logits 0."""
        return start_descent("adam", torch.zeros_like(ones_L))

    def weigh(self, memory: Tensors, losses_L: Tensor) -> Tensor:
        """c z / L with c such that the weights sum to 1."""
        ratio_L = memory["point"].softmax(dim=0) / (losses_L + EPSILON)
        return ratio_L / ratio_L.sum()

    def learn(self, memory: Tensors, seen: Seen) -> Tensors:
        """Compare the losses of the batch before and after the update."""
        assert seen.measure_again is not None
        after_L = seen.measure_again()
        fall_L = torch.log(seen.losses_L + EPSILON) - torch.log(after_L + EPSILON)
        z_L = memory["point"].softmax(dim=0)
        # The transposed Jacobian of the softmax, applied to the falls.
        gradient_L = z_L * (fall_L - (z_L * fall_L).sum()) * seen.active_L
        settings = self.settings
        return descend(memory, gradient_L, lr=settings.lr, weight_decay=settings.weight_decay)


class GradNorm(Fixed):
    """Weights that bring the tasks' gradients at the last shared layer to a common norm.

    Source: Chen et al. 2018, "GradNorm", algorithm 1. The target is a constant, as there; since
    G_i = w_i n_i, the norms n_i are too, and no second derivative is needed. Weights are
    w = L softmax(v): they stay positive and sum to L, without a renormalisation to be lost.
    """

    needs_norms = True

    def __init__(self, config: Config) -> None:
        self.settings = config.gradnorm
        is_binary = [config.dataset.task_kinds[task] == "binary" for task in config.tasks]
        self.known = [
            math.log(2) if b and self.settings.initial_loss == "log_classes" else math.nan
            for b in is_binary
        ]

    def start(self, ones_L: Tensor) -> Tensors:
        """Equal weights; the losses that others are relative to are still unknown."""
        known_L = torch.tensor(self.known, dtype=ones_L.dtype, device=ones_L.device)
        return {"initial": known_L, **start_descent("adam", torch.zeros_like(ones_L))}

    def weigh(self, memory: Tensors, losses_L: Tensor) -> Tensor:
        """Positive weights whose sum is L."""
        return len(losses_L) * memory["point"].softmax(dim=0)

    def learn(self, memory: Tensors, seen: Seen) -> Tensors:
        """One step down sum |G_i - mean(G) r_i^alpha|, over active tasks."""
        assert seen.norms_L is not None
        active_L, losses_L = seen.active_L, seen.losses_L
        is_first = (active_L > 0) & memory["initial"].isnan()
        initial_L = torch.where(is_first, losses_L, memory["initial"])
        weights_L = self.weigh(memory, losses_L)
        norms_L = weights_L * seen.norms_L
        ratios_L = torch.where(active_L > 0, losses_L / (initial_L + EPSILON), 0.0)
        rates_L = ratios_L / _mean(ratios_L, active_L).clamp_min(EPSILON)
        target_L = _mean(norms_L, active_L) * rates_L**self.settings.alpha
        slope_L = torch.sign(norms_L - target_L) * seen.norms_L * active_L
        # Through w = L softmax(v).
        gradient_L = weights_L * (slope_L - (weights_L * slope_L).sum() / len(losses_L))
        descent = {k: v for k, v in memory.items() if k != "initial"}
        moved = descend(descent, gradient_L * active_L, lr=self.settings.lr)
        return {"initial": initial_L, **moved}


def _mean(x_L: Tensor, active_L: Tensor) -> Tensor:
    return (x_L * active_L).sum() / active_L.sum().clamp_min(1)


def make_weighting(config: Config) -> Weighting:
    """The weighting that a config asks for."""
    makers: Mapping[str, Callable[[Config], Weighting]] = {
        "fixed": lambda _: Fixed(),
        "softmax": Softmax,
        "raw": Raw,
        "uncertainty": Uncertainty,
        "dwa": Dwa,
        "famo": Famo,
        "gradnorm": GradNorm,
    }
    return makers[config.weighting](config)


def list_factors(config: Config) -> Sequence[float]:
    """The fixed factors of the tasks' losses, in their order."""
    return [config.weights.get(task, 1.0) for task in config.tasks]
