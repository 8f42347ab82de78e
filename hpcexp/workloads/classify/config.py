"""Hyperparameters of the classifier. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field, model_validator

from hpcexp.train.config import TrainConfig
from hpcexp.train.metric import Metric
from hpcexp.workloads.images.config import (
    ConvEncoder,
    EncoderSettings,
    ImageDataset,
    Inspection,
    ProceduralImages,
)

PRIMARY_METRIC = Metric(
    name="error_rate", title="error rate (validation)", success_below=0.25, cap=1.0
)
LOSS_NAME = "cross_entropy"
METRIC_NAMES = (PRIMARY_METRIC.name, "accuracy")


class Config(TrainConfig):
    """Hyperparameters of one run of the classifier."""

    lane_free: ClassVar[dict[str, Any]] = TrainConfig.lane_free | {
        "dataset": {"seed"},
        "inspect": True,
    }

    max_epoch: int = Field(
        default=100, ge=1, description="Budget: passes over the training set (epochs)."
    )
    train_set_size: int = Field(default=120, ge=1, description="Labelled images to train on.")
    validate_set_size: int = Field(default=600, ge=1, description="Images to validate on.")

    dataset: ImageDataset = ProceduralImages()
    encoder: EncoderSettings = ConvEncoder()
    train_encoder: bool = Field(
        default=True,
        description="Train the encoder as well; false keeps every bit of it, buffers included.",
    )
    label_smoothing: float = Field(
        default=0.0, ge=0, lt=1, description="Part of the target spread over all classes."
    )
    inspect: Inspection = Inspection()

    @model_validator(mode="after")
    def _a_frozen_encoder_comes_from_somewhere(self) -> Config:
        from_torchvision = self.encoder.kind == "torchvision" and self.encoder.weights is not None
        if not self.train_encoder and self.warm_start is None and not from_torchvision:
            raise ValueError(
                "train_encoder false freezes an encoder that has learned nothing; give "
                "warm_start, or train it"
            )
        return self

    @property
    def metric_columns(self) -> Mapping[str, tuple[str, ...]]:
        """Columns of the rows of each split that rules may be about."""
        losses = ("loss", f"loss.{LOSS_NAME}")
        return {"train": (*losses, "grad_norm"), "validate": (*losses, *METRIC_NAMES)}
