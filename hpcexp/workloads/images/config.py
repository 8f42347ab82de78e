"""Hyperparameters of image data sets and encoders. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveInt, model_validator

from hpcexp.train.hyperparameters import Hyperparameters
from hpcexp.train.schedule import with_default_kind

Side = Annotated[int, Field(ge=8)]


class ImageSet(Hyperparameters):
    """What all image data sets share."""

    resolution: Side | Annotated[tuple[Side, Side], Field(strict=False)] = Field(
        default=32, description="Pixels: a number for both, or [height, width]."
    )
    seed: int = Field(default=0, ge=0, description="Seed of what is drawn, or of the split.")

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        given = self.resolution
        return (given, given) if isinstance(given, int) else given


class ProceduralImages(ImageSet):
    """Shapes in random places, sizes, angles and colours; six classes, drawn in a second."""

    kind: Literal["procedural"] = "procedural"


class ImageFolder(ImageSet):
    """JPEG and PNG files below a directory; the first directory below it is an image's class."""

    kind: Literal["folder"] = "folder"
    path: str = Field(min_length=1, description="Directory of the images; ~ is the home directory.")
    validate_path: str | None = Field(
        default=None,
        description="Directory of the validation images; null: they are set apart from `path`.",
    )
    resize: Literal["crop", "stretch"] = Field(
        default="crop", description="Cut the middle out, or change the proportions."
    )
    on_broken: Literal["skip", "fail"] = Field(
        default="skip",
        description="Files that cannot be read: leave out with a warning, or end the run.",
    )


ImageDataset = Annotated[
    Annotated[ProceduralImages | ImageFolder, Field(discriminator="kind")],
    with_default_kind("procedural"),
]


class ConvEncoder(Hyperparameters):
    """Convolutions, then residual blocks, then pooling."""

    kind: Literal["conv"] = "conv"
    channels: Annotated[tuple[PositiveInt, ...], Field(strict=False, min_length=1)] = Field(
        default=(16, 32, 64), description="Channels of the convolutions."
    )
    strides: Annotated[tuple[PositiveInt, ...], Field(strict=False, min_length=1)] = Field(
        default=(2, 2, 2), description="Stride of each convolution."
    )
    res_blocks: int = Field(default=0, ge=0, description="Residual blocks after them.")
    norm: Literal["group", "batch", "none"] = Field(
        default="group", description="After each convolution: group norm, batch norm or nothing."
    )
    activation: Literal["mish", "relu"] = Field(
        default="relu", description="After each norm: Mish (Misra 2019) or ReLU."
    )
    pool: Literal["average_max", "average", "grid"] = Field(
        default="average_max",
        description="From feature maps to features: mean and maximum, mean, or the mean of each "
        "cell of a 4 x 4 grid.",
    )

    @model_validator(mode="after")
    def _a_stride_each(self) -> ConvEncoder:
        if len(self.strides) != len(self.channels):
            raise ValueError(
                f"strides {list(self.strides)}: give one for each of the "
                f"{len(self.channels)} channels {list(self.channels)}"
            )
        return self


class TorchvisionEncoder(Hyperparameters):
    """A network of torchvision, where that library is installed, without its classifier."""

    kind: Literal["torchvision"] = "torchvision"
    name: str = Field(
        default="mobilenet_v3_small", description="Name in torchvision.models, such as resnet18."
    )
    weights: str | None = Field(
        default=None, description="Pretrained weights, such as DEFAULT; null: none."
    )


EncoderSettings = Annotated[
    Annotated[ConvEncoder | TorchvisionEncoder, Field(discriminator="kind")],
    with_default_kind("conv"),
]


class Inspection(Hyperparameters):
    """Pictures of samples made during training, as `hpcexp eval` makes them afterwards."""

    every: int | None = Field(
        default=None, ge=1, description="Make them every so many epochs; null: never."
    )
    kinds: Annotated[tuple[Literal["samples"], ...], Field(strict=False, min_length=1)] = Field(
        default=("samples",), description="What is made: samples and what is predicted of them."
    )
    keep: int = Field(default=20, ge=1, description="The newest so many are kept, and the first.")
    sequences: int = Field(default=4, ge=1, le=16, description="The first so many are drawn.")
