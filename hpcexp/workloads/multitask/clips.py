"""Features as a file for each clip, with a Parquet index.

PATH/index.parquet has a row for each clip: `split` (train or validate); `text`, `video` and
`audio`, each the name of a NumPy file below PATH, or null where a clip has none; and a column
for each label, null where it is not known. A text file holds token ids (T,), the others
features (T, F).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hpcexp.errors import UsageError
from hpcexp.workloads.multitask.config.datasets import MODALITIES

Array = npt.NDArray[Any]
INDEX = "index.parquet"
MAX_NAMED = 5


def has_index(directory: Path) -> bool:
    """Whether a directory has a file for each clip."""
    return (directory / INDEX).is_file()


def gather_clips(
    directory: Path,
    *,
    split: str,
    num_samples: int,
    labels: Sequence[str],
    max_lengths: Sequence[int],
    feature_widths: Sequence[int],
) -> Mapping[str, Array]:
    """The arrays that a directory of whole arrays would hold, by their names without `.npy`.

    Sequences are padded to the longest, at most `max_lengths`. Raises UsageError with what is
    wrong with the index, or with the files of its first clips.
    """
    rows = _read_index(directory / INDEX, split=split, labels=labels)
    count = len(rows["split"])
    if count < num_samples:
        raise UsageError(
            f"{directory / INDEX}: split {split} has {count} clips; {num_samples} are asked for "
            "(train_set_size, validate_set_size)"
        )
    gathered: dict[str, Array] = {}
    problems: list[str] = []
    widths = (None, *feature_widths)
    for modality, longest, width in zip(MODALITIES, max_lengths, widths, strict=True):
        clips = [
            _read_clip(directory, name, longest=longest, width=width, problems=problems)
            for name in rows[modality][:num_samples]
        ]
        gathered |= _pad(modality, clips)
    if problems:
        rest = f" and {len(problems) - MAX_NAMED} more" if len(problems) > MAX_NAMED else ""
        raise UsageError(f"{directory / INDEX}: {'; '.join(problems[:MAX_NAMED])}{rest}")
    columns = [
        np.array([np.nan if v is None else float(v) for v in rows[name][:num_samples]])
        for name in labels
    ]
    return {**gathered, "labels": np.stack(columns, axis=1)}


def _read_index(path: Path, *, split: str, labels: Sequence[str]) -> Mapping[str, list[Any]]:
    """The rows of one split, in their order."""
    import pyarrow as arrow
    from pyarrow import compute, parquet

    wanted = ["split", *MODALITIES, *labels]
    try:
        table = parquet.read_table(path)
    except (OSError, arrow.ArrowException) as error:
        raise UsageError(
            f"{path} cannot be read as Parquet: {str(error).splitlines()[0]}"
        ) from error
    missing = [name for name in wanted if name not in table.column_names]
    if missing:
        raise UsageError(
            f"{path} lacks the columns {', '.join(missing)}; it needs split, "
            f"{', '.join(MODALITIES)} and those of dataset.labels"
        )
    table = table.select(wanted)
    kinds = {name: table.schema.field(name).type for name in labels}
    wrong = [
        f"{name} ({kind})"
        for name, kind in kinds.items()
        if not (arrow.types.is_integer(kind) or arrow.types.is_floating(kind)
                or arrow.types.is_boolean(kind) or arrow.types.is_null(kind))
    ]  # fmt: skip
    if wrong:
        raise UsageError(f"{path}: labels are numbers; these are not: {', '.join(wrong)}")
    rows = table.filter(compute.equal(table["split"], split))
    found: Mapping[str, list[Any]] = rows.to_pydict()
    return found


def _read_clip(
    directory: Path, name: str | None, *, longest: int, width: int | None, problems: list[str]
) -> Array:
    """One sequence, cut off at its end; empty where there is none, or it cannot be read."""
    empty: Array = np.zeros((0,), np.int64) if width is None else np.zeros((0, width), np.float32)
    if name is None:
        return empty
    try:
        array: Array = np.load(directory / name, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        problems.append(f"{name} cannot be read as a NumPy array ({error})")
        return empty
    num_dims = 1 if width is None else 2
    if array.ndim != num_dims or (width is not None and array.shape[1] != width):
        shape = "(T,)" if width is None else f"(T, {width})"
        problems.append(f"{name} has shape {array.shape}; it must have {shape}")
        return empty
    if array.dtype.kind not in ("iu" if width is None else "fiu"):
        wanted = "whole numbers" if width is None else "numbers"
        problems.append(f"{name} holds {array.dtype}; it must hold {wanted}")
        return empty
    return np.asarray(array[:longest])


def _pad(modality: str, clips: Sequence[Array]) -> dict[str, Array]:
    lengths = np.array([len(clip) for clip in clips], np.int64)
    steps = max(1, int(lengths.max(initial=0)))
    kind = np.int64 if modality == "text" else np.float32
    padded = np.zeros((len(clips), steps, *clips[0].shape[1:]), kind)
    for row, clip in zip(padded, clips, strict=True):
        row[: len(clip)] = clip
    return {modality: padded, f"{modality}_length": lengths}
