"""The best parameters so far, by any validation metric, kept without asking the device.

An evaluation is compared with the best one on the device itself: no value has to be read
back, and runs as lanes of one program could each keep their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from hpcexp.errors import UsageError
from hpcexp.train.step import TrainState


class BestParameters:
    """For each metric: its least value, when that was, and the parameters and buffers then."""

    def __init__(self, metrics: Sequence[str]) -> None:
        self.metrics = tuple(metrics)
        self.kept: dict[str, dict[str, Any]] = {}

    def check_columns(self, columns: Sequence[str]) -> None:
        """Raise UsageError where a metric is not one that an evaluation reports."""
        for metric in self.metrics:
            if metric not in columns:
                raise UsageError(
                    f"keep_best: no such metric: {metric}; there are: {', '.join(columns)}"
                )

    def update(
        self, values: Mapping[str, Tensor], state: TrainState, *, epoch: int, step: int
    ) -> None:
        """Keep the state where a value is less than the best so far; NaN never is.

        A run that has diverged, which may not have been noticed yet, keeps nothing.
        """
        for metric in self.metrics:
            value = values[metric].to(torch.float64)
            if metric not in self.kept:
                self.kept[metric] = _start(state, like=value)
            kept = self.kept[metric]
            self.kept[metric] = _keep(kept, value, state, epoch=epoch, step=step)

    def pack(self) -> dict[str, Any]:
        """What a checkpoint keeps: nested dictionaries of tensors."""
        return dict(self.kept)

    def unpack(self, packed: dict[str, Any]) -> None:
        """Take up what a checkpoint kept."""
        self.kept = packed


def name_evaluated(
    metrics: Mapping[str, Tensor],
    schedule: Mapping[str, float | list[float]],
    loss_names: Sequence[str],
) -> dict[str, Tensor]:
    """The columns of an evaluation, still on the device: `loss`, `loss.NAME` and metrics."""
    weights = schedule["loss_weights"]
    assert isinstance(weights, list)
    products = [w * metrics[name] for w, name in zip(weights, loss_names, strict=True)]
    return {
        **metrics,
        "loss": torch.stack(products).sum(),
        **{f"loss.{name}": metrics[name] for name in loss_names},
    }


def _start(state: TrainState, *, like: Tensor) -> dict[str, Any]:
    return {
        "value": torch.full_like(like, torch.inf),
        "epoch": torch.zeros_like(state.step),
        "step": torch.zeros_like(state.step),
        "parameters": state.parameters,
        "buffers": state.buffers,
    }


def _keep(
    kept: dict[str, Any], value: Tensor, state: TrainState, *, epoch: int, step: int
) -> dict[str, Any]:
    is_better = (value < kept["value"]) & state.alive

    def choose(new: Tensor, old: Tensor) -> Tensor:
        return torch.where(is_better, new, old)

    return {
        "value": choose(value, kept["value"]),
        "epoch": choose(torch.full_like(state.step, epoch), kept["epoch"]),
        # Not `state.step`: that counts updates, which are less than steps where some were skipped.
        "step": choose(torch.full_like(state.step, step), kept["step"]),
        "parameters": {k: choose(v, kept["parameters"][k]) for k, v in state.parameters.items()},
        "buffers": {k: choose(v, kept["buffers"][k]) for k, v in state.buffers.items()},
    }
