"""Hyperparameters of the unmixing workload. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

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
    name="unexplained_variance",
    title="unexplained variance, 1 - R² (validation)",
    success_below=0.2,
    success_title="learned",
)
METRIC_NAMES = (
    PRIMARY_METRIC.name,
    "r2",
    "mse",
    "exact_pair_accuracy",
    "prediction_sd",
)


class Config(TrainConfig):
    """Hyperparameters of one run of the unmixing workload."""

    lane_free: ClassVar[dict[str, Any]] = TrainConfig.lane_free | {
        "dataset": {"seed"},
        **dict.fromkeys(("temperature", "frozen", "inspect"), True),
    }

    max_epoch: int = Field(
        default=40, ge=1, description="Budget: passes over the training set (epochs)."
    )
    batch_size: int = Field(default=48, ge=1, description="Mixtures in one optimiser step.")
    train_set_size: int = Field(default=1024, ge=1, description="Images to mix for training.")
    validate_set_size: int = Field(default=256, ge=1, description="Images to mix for validation.")

    dataset: ImageDataset = ProceduralImages()
    num_sources: int = Field(default=3, ge=2, description="Images n that are shown beside each.")
    items: Literal["mixture", "scale", "copy"] = Field(
        default="mixture",
        description="A mixture of two of the n images; or, to find faults, an image beside itself "
        "at n brightnesses (scale), or beside n images of which one is it (copy).",
    )
    target: Literal["weights", "presence"] = Field(
        default="weights", description="Predict how much of each image, or whether any."
    )
    frozen: bool = Field(
        default=False,
        description="The mixtures of the first epoch again in every epoch: for overfitting.",
    )

    encoder: EncoderSettings = ConvEncoder()
    encode: Literal["folded", "per_image"] = Field(
        default="folded",
        description="All images in one call of the encoder, or one call for the mixture and each "
        "source; batch norm tells them apart.",
    )
    decoder: Literal["dot", "cosine", "product_mlp", "pair_mlp", "least_squares"] = Field(
        default="pair_mlp", description="From the features of mixture and sources to scores."
    )
    decoder_width: int = Field(default=128, ge=1, description="Hidden units of the MLP decoders.")
    activation: Literal["sigmoid", "softmax", "none"] = Field(
        default="sigmoid", description="From scores to predictions."
    )
    temperature: float = Field(
        default=1.0, gt=0, description="Divides the scores before a softmax."
    )
    loss: Literal["mse", "bce", "soft_cross_entropy"] = Field(
        default="mse", description="Of the predictions; bce and soft_cross_entropy of the scores."
    )
    inspect: Inspection = Inspection()

    @model_validator(mode="after")
    def _enough_images(self) -> Config:
        for name in ("train_set_size", "validate_set_size"):
            size = getattr(self, name)
            if self.items != "scale" and size < self.num_sources:
                raise ValueError(
                    f"{name} ({size}) is less than num_sources ({self.num_sources}): there would "
                    "be nothing to mix"
                )
        if self.batch_size > self.count_items(self.train_set_size):
            raise ValueError(
                f"batch_size ({self.batch_size}) is more than the "
                f"{self.count_items(self.train_set_size)} mixtures of an epoch, train_set_size - "
                "num_sources + 1: there would be no full batch"
            )
        return self

    @model_validator(mode="after")
    def _loss_fits_activation(self) -> Config:
        needed = {"bce": "sigmoid", "soft_cross_entropy": "softmax"}.get(self.loss)
        if needed is not None and self.activation != needed:
            raise ValueError(
                f"loss {self.loss} is of the scores before a {needed}; set activation: {needed} "
                f"(found {self.activation}), or loss: mse"
            )
        return self

    @model_validator(mode="after")
    def _inspected_items_exist(self) -> Config:
        available = self.count_items(self.validate_set_size)
        if self.inspect.every is not None and self.inspect.sequences > available:
            raise ValueError(
                f"inspect.sequences ({self.inspect.sequences}) is more than the {available} "
                "mixtures of the validation set"
            )
        return self

    def count_items(self, num_images: int) -> int:
        """Mixtures that an epoch makes of so many images: one for each window of n images."""
        return num_images if self.items == "scale" else num_images - self.num_sources + 1

    @property
    def steps_per_epoch(self) -> int:
        """Full batches of one epoch's mixtures."""
        return self.count_items(self.train_set_size) // self.batch_size

    @property
    def metric_columns(self) -> Mapping[str, tuple[str, ...]]:
        """Columns of the rows of each split that rules may be about."""
        losses = ("loss", "loss.unmixing")
        return {"train": (*losses, "grad_norm"), "validate": (*losses, *METRIC_NAMES)}
