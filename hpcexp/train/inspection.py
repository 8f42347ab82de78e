"""What a workload shows of a trained model: pictures, curves and numbers as plain arrays.

A workload that can be looked into has the members of `Inspectable` besides those of
`Workload`. It says what there is to see; the worker draws it and writes it down.

Shape suffixes: R rows, C columns, H and W pixels, F frames of an animation, S samples.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
from torch import nn

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ImageGrid:
    """Images in labelled rows and columns: images_RCHW3 is RGB, uint8.

    What is not `is_shown` (R, C) stays empty. A line stands to the left of column
    `mark_column`, and `mark_label` names it. After every `rows_per_block` rows there is a gap.
    """

    title: str
    images_RCHW3: Bytes
    row_labels: Sequence[str]
    column_labels: Sequence[str]
    is_shown_RC: npt.NDArray[np.bool_] | None = None
    mark_column: int | None = None
    mark_label: str = ""
    rows_per_block: int | None = None


@dataclass(frozen=True)
class Animation:
    """A grid of images that changes: images_FRCHW3 is RGB, uint8.

    What is not `is_shown` (F, R, C) stays empty. Each frame has a caption.
    """

    title: str
    images_FRCHW3: Bytes
    row_labels: Sequence[str]
    column_labels: Sequence[str]
    captions: Sequence[str]
    frame_s: float
    is_shown_FRC: npt.NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Line:
    """One line: its values over x, both (S,); lines of one name look alike."""

    name: str
    x_S: Floats
    y_S: Floats


@dataclass(frozen=True)
class Curves:
    """Panels in rows and columns, each with its lines; panels of a row share their y axis.

    A vertical line stands at `mark_x`, and `mark_label` names it.
    """

    title: str
    panels: Sequence[Sequence[Sequence[Line]]]
    row_labels: Sequence[str]
    column_labels: Sequence[str]
    x_label: str
    mark_x: float | None = None
    mark_label: str = ""


@dataclass(frozen=True)
class Table:
    """Columns of equal length, by name."""

    columns: Mapping[str, Sequence[float | int | str]]


Part = ImageGrid | Animation | Curves | Table


@dataclass(frozen=True)
class Findings:
    """What one kind of looking gave.

    `numbers` are of the run as a whole: the rows of the table of all runs. `parts` are what
    is drawn, by a short name that becomes part of a file's name. `notes` say what was left
    out, and why.
    """

    kind: str
    numbers: Mapping[str, float] = field(default_factory=dict)
    parts: Mapping[str, Part] = field(default_factory=dict)
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Request:
    """What is to be looked at.

    `split` None: what each kind is made for. `sequences` are the samples that are drawn, by
    their place in the split; `num_measured` samples of the split are measured.
    """

    kinds: Sequence[str]
    split: str | None = None
    sequences: Sequence[int] = (0, 1, 2, 3)
    num_measured: int = 512


class InspectionSettings(Protocol):
    """How a run is looked into while it trains; `every` None: not at all."""

    @property
    def every(self) -> int | None:
        """Epochs from one inspection to the next."""
        ...

    @property
    def kinds(self) -> Sequence[str]:
        """What is made."""
        ...

    @property
    def keep(self) -> int:
        """How many of the newest are kept, besides the first."""
        ...

    @property
    def sequences(self) -> int:
        """How many sequences are drawn."""
        ...


@runtime_checkable
class Inspectable(Protocol):
    """A workload that can be looked into."""

    @property
    def inspection_kinds(self) -> Sequence[str]:
        """Names of all that can be shown."""
        ...

    @property
    def inspection_settings(self) -> InspectionSettings:
        """How the config wants it while a run trains."""
        ...

    def check_request(self, request: Request) -> None:
        """Raise UsageError, with what there is, for what this workload cannot show."""
        ...

    def inspect(self, model: nn.Module, request: Request) -> Iterator[Findings]:
        """Look into a model in evaluation mode: findings for each kind that is asked for.

        `model` holds the parameters, on any device. Nothing is random.
        """
        ...
