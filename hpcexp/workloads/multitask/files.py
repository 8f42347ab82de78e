"""A laboratory's own features: NumPy arrays in a directory, or a file for each clip.

PATH/train/text.npy     text_length.npy      (N, T) token ids, (N,)
PATH/train/video.npy    video_length.npy     (N, T, F), (N,)
PATH/train/audio.npy    audio_length.npy     (N, T, F), (N,)
PATH/train/labels.npy                        (N, columns), NaN where there is no label
PATH/validate/...                            the same

or PATH/index.parquet, as `hpcexp.workloads.multitask.clips` says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from hpcexp.errors import UsageError
from hpcexp.workloads.multitask.clips import INDEX, gather_clips, has_index
from hpcexp.workloads.multitask.config.datasets import MODALITIES, FilesDataset

Array = npt.NDArray[Any]


def load_files(
    settings: FilesDataset, *, split: str, num_samples: int, tasks: Sequence[str]
) -> dict[str, Tensor]:
    """Features, lengths and labels of the first samples of a split, as the synthetic set has them.

    Sequences longer than `max_lengths` are cut off at their end; what lies behind a sequence's
    length is set to zero.
    Raises UsageError with all that is wrong with the files of the split.
    """
    split_dir = Path(settings.path) / split
    arrays = None
    if has_index(Path(settings.path)):
        arrays = gather_clips(
            Path(settings.path),
            split=split,
            num_samples=num_samples,
            labels=list(settings.labels),
            max_lengths=settings.max_lengths,
            feature_widths=settings.feature_widths,
        )
    reader = _Reader(split_dir, num_samples, arrays)
    data: dict[str, Tensor] = {}
    for modality, longest in zip(MODALITIES, settings.max_lengths, strict=True):
        width = (
            None if modality == "text" else settings.feature_widths[MODALITIES.index(modality) - 1]
        )
        features = reader.read_features(modality, width=width, vocabulary=settings.vocabulary)
        length = reader.read_lengths(modality, features)
        if features is not None and length is not None:
            data |= _cut(modality, features, length, longest)
    labels = reader.read_labels(settings, tasks)
    if reader.problems or labels is None:
        # One line: it becomes the reason for which the run failed.
        said = "; ".join(reader.problems)
        if arrays is not None:
            raise UsageError(f"{Path(settings.path) / INDEX}: {said.replace('.npy', '')}")
        raise UsageError(f"{split_dir}: {said}")
    return {**data, "labels": torch.from_numpy(labels.astype(np.float32))}


class _Reader:
    """Reads arrays of one split, and collects what is wrong with them.

    `arrays` are those gathered from clips, by their names; None: they are files.
    """

    def __init__(
        self, split_dir: Path, num_samples: int, arrays: Mapping[str, Array] | None = None
    ) -> None:
        self.split_dir, self.num_samples, self.arrays = split_dir, num_samples, arrays
        self.problems: list[str] = []

    def read_features(self, name: str, *, width: int | None, vocabulary: int) -> Array | None:
        array = self._load(f"{name}.npy", num_dims=2 if width is None else 3)
        if array is None:
            return None
        if width is None:
            if array.dtype.kind not in "iu":
                self._refuse(f"{name}.npy holds {array.dtype}; it must hold whole numbers")
                return None
            if array.size and not 0 <= array.min() <= array.max() < vocabulary:
                self._refuse(
                    f"{name}.npy has tokens from {array.min()} to {array.max()}; "
                    f"dataset.vocabulary ({vocabulary}) allows 0 to {vocabulary - 1}"
                )
                return None
            return array
        if array.shape[2] != width:
            self._refuse(
                f"{name}.npy has {array.shape[2]} features in a time step; dataset.feature_widths "
                f"says {width}"
            )
            return None
        if array.dtype.kind not in "fiu":
            self._refuse(f"{name}.npy holds {array.dtype}; it must hold numbers")
            return None
        return array

    def read_lengths(self, name: str, features: Array | None) -> Array | None:
        array = self._load(f"{name}_length.npy", num_dims=1)
        if array is None or features is None:
            return None
        if array.dtype.kind not in "iu" or array.min() < 0 or array.max() > features.shape[1]:
            self._refuse(
                f"{name}_length.npy must hold whole numbers from 0 to {features.shape[1]}, the "
                f"time steps of {name}.npy"
            )
            return None
        is_there = np.arange(features.shape[1]) < array[:, None]
        if features.dtype.kind == "f" and not np.isfinite(features[is_there]).all():
            self._refuse(f"{name}.npy has values within its lengths that are not finite")
            return None
        return array

    def read_labels(self, settings: FilesDataset, tasks: Sequence[str]) -> Array | None:
        array = self._load("labels.npy", num_dims=2)
        names = list(settings.labels)
        if array is None:
            return None
        if array.shape[1] != len(names):
            self._refuse(
                f"labels.npy has {array.shape[1]} columns; dataset.labels names {len(names)}: "
                f"{', '.join(names)}"
            )
            return None
        if array.dtype.kind not in "fiub":
            self._refuse(f"labels.npy holds {array.dtype}; it must hold numbers")
            return None
        for index, (name, kind) in enumerate(settings.labels.items()):
            column = array[:, index].astype(np.float64)
            given = column[~np.isnan(column)]
            if kind == "binary" and not np.isin(given, (0, 1)).all():
                self._refuse(
                    f"labels.npy: {name} is binary, but has other values than 0, 1 and NaN"
                )
            if not np.isfinite(given).all():
                self._refuse(f"labels.npy: {name} has infinite values")
        chosen: Array = array[:, [names.index(task) for task in tasks]]
        return chosen

    def _load(self, file_name: str, *, num_dims: int) -> Array | None:
        path = self.split_dir / file_name
        if self.arrays is not None:
            return self.arrays[path.stem]
        try:
            array: Array = np.load(path, mmap_mode="r", allow_pickle=False)
        except FileNotFoundError:
            self._refuse(f"{file_name} is missing")
            return None
        except (OSError, ValueError, EOFError) as error:
            self._refuse(f"{file_name} cannot be read as a NumPy array: {error}")
            return None
        if array.ndim != num_dims:
            self._refuse(f"{file_name} has {array.ndim} dimensions; it must have {num_dims}")
            return None
        if len(array) < self.num_samples:
            self._refuse(
                f"{file_name} has {len(array)} rows; {self.num_samples} are asked for "
                "(train_set_size, validate_set_size)"
            )
            return None
        return np.array(array[: self.num_samples])

    def _refuse(self, problem: str) -> None:
        self.problems.append(problem)


def _cut(name: str, features: Array, length: Array, longest: int) -> dict[str, Tensor]:
    kept = np.minimum(length.astype(np.int64), longest)
    features = features[:, :longest]
    is_there = np.arange(features.shape[1]) < kept[:, None]
    is_there = is_there.reshape(*is_there.shape, *(1,) * (features.ndim - 2))
    shown = np.where(is_there, features, 0).astype(np.int64 if features.ndim == 2 else np.float32)
    return {name: torch.from_numpy(shown), f"{name}_length": torch.from_numpy(kept)}
