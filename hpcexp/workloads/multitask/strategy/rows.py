"""Which rows of a batch train which task, and which rows a batch is made of.

Dynamic difficulty sampling gives tasks (or data sets) with a larger loss more rows. Several data
sets are each read in a shuffled order of their own; one that is exhausted starts anew in another
order, while the others go on.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from hpcexp.workloads.multitask.config import Config
from hpcexp.workloads.multitask.config.strategy import DifficultySampling
from hpcexp.workloads.multitask.strategy.memory import Tensors
from hpcexp.workloads.multitask.strategy.shuffle import shuffle_index


def share_out(shares_L: Tensor, *, num_rows: int, min_rows: int, active_L: Tensor) -> Tensor:
    """Whole numbers of rows, (L,), that sum to `num_rows`, by largest remainders.

    Every active part gets `min_rows` first; a part that rests gets none.
    """
    shares_L = shares_L * active_L
    total = shares_L.sum()
    shares_L = torch.where(total > 0, shares_L / total, active_L / active_L.sum())
    free = num_rows - min_rows * active_L.sum()
    quota_L = shares_L * free
    whole_L = quota_L.floor()
    # Parts that rest come last, so that none of the remaining rows goes to them.
    remainder_L = torch.where(active_L > 0, quota_L - whole_L, -1.0)
    rank_L = (-remainder_L).argsort(stable=True).argsort(stable=True)
    rest = free - whole_L.sum()
    return whole_L + (rank_L < rest) + min_rows * active_L


def assign_rows(counts_L: Tensor, *, num_rows: int) -> Tensor:
    """Which part each row belongs to, as a matrix (B, L) of zeros and ones.

    A batch is shuffled: the first part may well have the first rows.
    """
    ends_L = counts_L.cumsum(dim=0)
    row_B = torch.arange(num_rows, device=counts_L.device)[:, None]
    is_before_end = row_B < ends_L
    is_from_start = row_B >= ends_L - counts_L
    return (is_before_end & is_from_start).to(counts_L.dtype)


class Difficulty:
    """Dynamic difficulty sampling: shares in proportion to the mean losses of a window of steps.

    Losses are the unweighted ones: weighted by the shares they would feed back on themselves.
    Source: after Piergiovanni et al. 2023, "Dynamic Pretraining of Vision-Language Models".
    """

    def __init__(self, settings: DifficultySampling) -> None:
        self.settings = settings

    def start(self, ones_L: Tensor) -> Tensors:
        """Equal shares, an empty window."""
        zeros_L = torch.zeros_like(ones_L)
        return {
            "shares": ones_L / len(ones_L),
            "sum": zeros_L,
            "count": zeros_L.clone(),
            "mean": torch.full_like(ones_L, torch.nan),
            "first": torch.full_like(ones_L, torch.nan),
            "steps": torch.zeros((), dtype=torch.int64, device=ones_L.device),
        }

    def learn(self, memory: Tensors, losses_L: Tensor, active_L: Tensor) -> Tensors:
        """Add to the window; at its end new shares, and an empty window.

        A part that rested for a whole window keeps the mean it had.
        """
        settings = self.settings
        steps = memory["steps"] + 1
        sum_L = memory["sum"] + losses_L * active_L
        count_L = memory["count"] + active_L
        ends = steps >= settings.every
        mean_L = torch.where(count_L > 0, sum_L / count_L, memory["mean"])
        first_L = torch.where(memory["first"].isnan(), mean_L, memory["first"])
        level_L = mean_L / first_L if settings.measure == "relative" else mean_L
        level_L = level_L.nan_to_num(0.0)
        new_L = level_L / level_L.sum().clamp_min(torch.finfo(level_L.dtype).tiny)
        new_L = settings.smoothing * memory["shares"] + (1 - settings.smoothing) * new_L
        return {
            "shares": torch.where(ends, new_L, memory["shares"]),
            "sum": torch.where(ends, 0.0, sum_L),
            "count": torch.where(ends, 0.0, count_L),
            "mean": torch.where(ends, mean_L, memory["mean"]),
            "first": torch.where(ends, first_L, memory["first"]),
            "steps": torch.where(ends, 0, steps),
        }


class Mixture:
    """Batches made of several data sets, each with its own shuffled order and position."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.sizes = [source.size for source in config.sources.values()]
        self.starts = [sum(self.sizes[:index]) for index in range(len(self.sizes))]
        self.has_task = [
            [float(task in source.tasks) for task in config.tasks]
            for source in config.sources.values()
        ]

    def start(self, key: Tensor) -> Tensors:
        """Nothing of any data set has been read; `key` decides on all orders."""
        return {"key": key, "taken": torch.zeros_like(key).expand(len(self.sizes)).clone()}

    def count_rows(self, shares_L: Tensor) -> Tensor:
        """Rows of a batch that each data set gives, (D,)."""
        like = {"dtype": shares_L.dtype, "device": shares_L.device}
        sizes_D = torch.tensor(self.sizes, **like)  # type: ignore[arg-type]
        if self.config.mixture == "dds":
            has_task_DL = torch.tensor(self.has_task, **like)  # type: ignore[arg-type]
            # A task's share is split between the data sets that have its labels.
            shares_D = (has_task_DL / has_task_DL.sum(dim=0).clamp_min(1)) @ shares_L
            min_rows = self.config.dds.min_rows
        else:
            shares_D, min_rows = sizes_D / sizes_D.sum(), 1
        return share_out(
            shares_D,
            num_rows=self.config.batch_size,
            min_rows=min_rows,
            active_L=torch.ones_like(sizes_D),
        )

    def choose(self, memory: Mapping[str, Tensor], counts_D: Tensor) -> Tensor:
        """Indices (B,) into the training set: the next rows of each data set's order."""
        device = counts_D.device
        is_of_BD = assign_rows(counts_D, num_rows=self.config.batch_size) > 0
        source_B = is_of_BD.to(torch.int64).argmax(dim=1)
        first_D = counts_D.cumsum(dim=0) - counts_D
        row_B = torch.arange(self.config.batch_size, device=device)
        sizes_B = torch.tensor(self.sizes, device=device)[source_B]
        position_B = memory["taken"][source_B] + row_B - first_D.to(torch.int64)[source_B]
        epoch_B = position_B // sizes_B
        own_key_B = memory["key"] + 0x51ED27 * source_B + 0xC2B2AE * epoch_B
        index_B = shuffle_index(position_B % sizes_B, size=sizes_B, key=own_key_B)
        return torch.tensor(self.starts, device=device)[source_B] + index_B

    def learn(self, memory: Tensors, counts_D: Tensor) -> Tensors:
        """Move each position by the rows that were read."""
        return {**memory, "taken": memory["taken"] + counts_D.to(torch.int64)}
