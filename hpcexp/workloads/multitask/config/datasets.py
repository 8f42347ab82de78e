"""What the multi-task model is trained on. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from hpcexp.train.hyperparameters import Hyperparameters
from hpcexp.train.schedule import with_default_kind

Modality = Literal["text", "video", "audio"]
TaskKind = Literal["binary", "regression"]

MODALITIES: tuple[Modality, ...] = ("text", "video", "audio")

SYNTHETIC_TASKS: Mapping[str, TaskKind] = {
    "easy": "binary",
    "related": "binary",
    "noisy": "binary",
    "xor": "binary",
    "rare": "binary",
    "scaled": "regression",
    "junk": "binary",
    "anti": "binary",
}


class SyntheticDataset(Hyperparameters):
    """Eight tasks of known structure over three modalities, drawn in a second."""

    kind: Literal["synthetic"] = "synthetic"
    seed: int = Field(
        default=0, ge=0, description="Seed of the world and of its samples: equal in all runs."
    )
    max_lengths: Annotated[tuple[PositiveInt, PositiveInt, PositiveInt], Field(strict=False)] = (
        Field(default=(24, 12, 16), description="Longest text, video and audio, in time steps.")
    )
    min_lengths: Annotated[tuple[PositiveInt, PositiveInt, PositiveInt], Field(strict=False)] = (
        Field(default=(4, 3, 3), description="Shortest text, video and audio, in time steps.")
    )
    feature_widths: Annotated[tuple[PositiveInt, PositiveInt], Field(strict=False)] = Field(
        default=(32, 16), description="Width of a time step of video and of audio."
    )

    @property
    def task_kinds(self) -> Mapping[str, TaskKind]:
        """All the tasks there are, and whether they classify or regress."""
        return SYNTHETIC_TASKS

    @property
    def tied_heads(self) -> Mapping[str, str]:
        """Tasks without a head of their own, and the task whose head they use."""
        return {"anti": "easy"}

    @property
    def vocabulary(self) -> int:
        """Number of text tokens."""
        return 64


class FilesDataset(Hyperparameters):
    """Features and labels of a laboratory, as NumPy arrays in a directory."""

    kind: Literal["files"] = "files"
    path: str = Field(
        min_length=1, description="Directory of the data set, as docs/multitask.md describes it."
    )
    labels: Mapping[str, TaskKind] = Field(
        description="Columns of labels.npy in their order: name -> binary or regression.",
        min_length=1,
    )
    max_lengths: Annotated[tuple[PositiveInt, PositiveInt, PositiveInt], Field(strict=False)] = (
        Field(
            default=(500, 36, 63),
            description="Longest text, video and audio, in time steps; the rest is cut off.",
        )
    )
    feature_widths: Annotated[tuple[PositiveInt, PositiveInt], Field(strict=False)] = Field(
        default=(1024, 128), description="Width of a time step of video and of audio."
    )
    vocabulary: int = Field(
        default=30522, ge=1, description="Number of text tokens; BERT's by default."
    )

    @property
    def task_kinds(self) -> Mapping[str, TaskKind]:
        """All the tasks there are, and whether they classify or regress."""
        return self.labels

    @property
    def tied_heads(self) -> Mapping[str, str]:
        """No task shares a head."""
        return {}


Dataset = Annotated[
    Annotated[SyntheticDataset | FilesDataset, Field(discriminator="kind")],
    with_default_kind("synthetic"),
]


class Source(Hyperparameters):
    """One of several data sets that training mixes: the next rows of the training set."""

    size: int = Field(ge=1, description="Its rows of the training set, after those before it.")
    tasks: Annotated[tuple[str, ...], Field(strict=False, min_length=1)] = Field(
        description="The tasks whose labels it has; those of the others are not looked at."
    )
