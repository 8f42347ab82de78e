"""A workload that can be computed by hand: one weight, loss w² times a number of each step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from hpcexp.train.config import TrainConfig
from hpcexp.train.seeding import RandomStreams


class ToyModel(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = Scale()

    def forward(
        self, batch: Mapping[str, Tensor], noise: Mapping[str, Tensor], values: Mapping[str, Tensor]
    ) -> Tensor:
        scaled: Tensor = self.scale(noise["factor"])
        return scaled.square().reshape(1)


class Scale(nn.Module):
    """w x, from w = 1."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        return self.w * x


class ToyWorkload:
    """Four steps an epoch; SGD with rate r multiplies w by 1 - 2 r at every step.

    At the steps of `bad` the loss is NaN, whatever the weight.
    """

    loss_names = ("square",)
    metric_names: Sequence[str] = ()

    def __init__(self, *, bad: Sequence[int] = (), **changes: Any) -> None:
        given = {"optimizer": "sgd", "batch_size": 1, "train_set_size": 4, "max_epoch": 4}
        self.config = TrainConfig.model_validate({**given, "lr": 0.25, **changes})
        self.bad = set(bad)

    def build_model(self) -> nn.Module:
        return ToyModel()

    def load_data(self) -> dict[str, dict[str, Tensor]]:
        return {
            "train": {"x": torch.arange(self.config.train_set_size)},
            "validate": {"x": torch.arange(2)},
        }

    def draw(self, streams: RandomStreams, *, block: int, num_steps: int) -> dict[str, Tensor]:
        steps = range(block * num_steps, (block + 1) * num_steps)
        return {"factor": torch.tensor([torch.nan if s in self.bad else 1.0 for s in steps])}

    def schedule(self, step: int) -> dict[str, float | list[float]]:
        return {"loss_weights": [1.0]}

    def evaluate(
        self, model: nn.Module, data: Mapping[str, Tensor], streams: RandomStreams
    ) -> Mapping[str, Tensor]:
        assert isinstance(model, ToyModel)
        return {"square": model.scale.w.detach().square()}
