"""What a data set looks like: a contact sheet, an animation, and numbers of its labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hpcexp.train.inspection import Animation, ImageGrid
from hpcexp.worker.inspection.images import render_animation, render_grid
from hpcexp.workloads.sps.cache import load_sequences
from hpcexp.workloads.sps.config.datasets import Dataset
from hpcexp.workloads.sps.dataset import Split

SEQUENCES_PER_ROW = 4
MAX_SHOWN = 16
MAX_SHEET_FRAMES = 25
ANIMATION_FRAME_S = 0.15


@dataclass(frozen=True)
class Preview:
    """Pictures as bytes, and the labels of all frames, (frames, coordinates), in metres."""

    sheet_png: bytes
    animation_gif: bytes
    labels: npt.NDArray[np.float32]
    share_empty: float  # of frames that show nothing but the background


def make_preview(settings: Dataset, *, split: Split, num_sequences: int, headline: str) -> Preview:
    """Draw the first sequences of a data set, and collect the labels of all of them."""
    sequences = load_sequences(settings, split=split, num_sequences=num_sequences)
    images = np.moveaxis(sequences.images, 2, -1)  # (N, T, H, W, 3)
    background = np.rint(255 * np.asarray(settings.background)).astype(np.uint8)
    is_empty = (images == background).all(axis=(2, 3, 4))
    shown = images[:MAX_SHOWN]
    return Preview(
        sheet_png=render_grid(_make_sheet(shown, split), headline=headline),
        animation_gif=render_animation(_make_animation(shown, split), headline=headline),
        labels=sequences.positions.reshape(-1, len(settings.coordinates)),
        share_empty=float(is_empty.mean()),
    )


def _make_sheet(images_NTHW3: npt.NDArray[np.uint8], split: str) -> ImageGrid:
    num_sequences, num_frames = images_NTHW3.shape[:2]
    frames = np.unique(np.linspace(0, num_frames - 1, MAX_SHEET_FRAMES).astype(int))
    return ImageGrid(
        title=f"{split} set: a sequence in each row, frame by frame",
        images_RCHW3=images_NTHW3[:, frames],
        row_labels=[str(number) for number in range(num_sequences)],
        column_labels=[str(frame) for frame in frames],
    )


def _make_animation(images_NTHW3: npt.NDArray[np.uint8], split: str) -> Animation:
    """Sequences side by side, some in each row; the last row may have empty places."""
    num_sequences, num_frames = images_NTHW3.shape[:2]
    columns = min(SEQUENCES_PER_ROW, num_sequences)
    rows = -(-num_sequences // columns)
    size = images_NTHW3.shape[2:]
    padded = np.zeros((rows * columns, num_frames, *size), np.uint8)
    padded[:num_sequences] = images_NTHW3
    is_shown = (np.arange(rows * columns) < num_sequences).reshape(1, rows, columns)
    return Animation(
        title=f"{split} set",
        images_FRCHW3=np.moveaxis(padded.reshape(rows, columns, num_frames, *size), 2, 0),
        row_labels=[f"from {row * columns}" for row in range(rows)],
        column_labels=[str(column) for column in range(columns)],
        captions=[f"frame {frame}" for frame in range(num_frames)],
        frame_s=ANIMATION_FRAME_S,
        is_shown_FRC=np.repeat(is_shown, num_frames, axis=0),
    )
