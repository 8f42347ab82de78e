"""A file for each clip and a Parquet index give what whole arrays give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as arrow
import pytest
import torch
from pyarrow import parquet

from hpcexp.errors import UsageError
from hpcexp.workloads.multitask.config.datasets import FilesDataset
from hpcexp.workloads.multitask.files import load_files

LABELS = {"gory": "binary", "rating": "regression"}
ROWS: dict[str, list[Any]] = {
    "split": ["train", "validate", "train", "train"],
    "text": ["a.npy", "a.npy", None, "b.npy"],
    "video": ["v/0.npy", None, "v/1.npy", None],
    "audio": ["s.npy", "s.npy", "s.npy", "s.npy"],
    "gory": [1, 0, None, 0],
    "rating": [0.5, 2.0, 3.5, None],
}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Three training clips and one for validation; one has no text, two have no video."""
    (tmp_path / "v").mkdir()
    np.save(tmp_path / "a.npy", np.array([3, 1, 2]))
    np.save(tmp_path / "b.npy", np.array([7, 7, 7, 7, 7]))
    np.save(tmp_path / "v" / "0.npy", np.full((2, 6), 0.25))
    np.save(tmp_path / "v" / "1.npy", np.full((4, 6), 0.75))
    np.save(tmp_path / "s.npy", np.ones((1, 5), np.float32))
    write_index(tmp_path)
    return tmp_path


def write_index(directory: Path, **changes: list[Any] | None) -> None:
    rows = {k: v for k, v in {**ROWS, **changes}.items() if v is not None}
    parquet.write_table(arrow.table(rows), directory / "index.parquet")


def load(directory: Path, *, num_samples: int = 3, **changes: Any) -> dict[str, torch.Tensor]:
    given = {
        "path": str(directory), "labels": LABELS, "feature_widths": [6, 5], "vocabulary": 50,
        "max_lengths": [4, 4, 4],
    }  # fmt: skip
    settings = FilesDataset.model_validate({**given, **changes})
    return load_files(settings, split="train", num_samples=num_samples, tasks=("rating", "gory"))


def test_clips_are_padded_at_their_end_and_cut_off_where_they_are_too_long(
    directory: Path,
) -> None:
    data = load(directory)
    assert data["text"].tolist() == [[3, 1, 2, 0], [0, 0, 0, 0], [7, 7, 7, 7]]
    assert data["text_length"].tolist() == [3, 0, 4]
    assert data["video"][:, :, 0].tolist() == [[0.25, 0.25, 0, 0], [0.75] * 4, [0] * 4]
    assert data["video_length"].tolist() == [2, 4, 0]
    assert data["audio"].shape == (3, 1, 5)
    torch.testing.assert_close(
        data["labels"],
        torch.tensor([[0.5, 1], [3.5, torch.nan], [torch.nan, 0]]),
        equal_nan=True,
    )


def test_only_the_first_clips_of_the_split_are_read(directory: Path) -> None:
    (directory / "b.npy").unlink()
    assert len(load(directory, num_samples=2)["labels"]) == 2


def test_faults_of_clips_are_told_together(directory: Path) -> None:
    np.save(directory / "a.npy", np.array([[1, 2]]))
    np.save(directory / "v" / "1.npy", np.ones((4, 3)))
    (directory / "b.npy").unlink()
    with pytest.raises(UsageError) as caught:
        load(directory)
    said = str(caught.value)
    assert said.startswith(f"{directory / 'index.parquet'}: a.npy has shape (1, 2); it must have")
    assert "b.npy cannot be read" in said
    assert "v/1.npy has shape (4, 3); it must have (T, 6)" in said


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rating": None, "audio": None}, "lacks the columns audio, rating"),
        ({"gory": ["yes", "no", None, "no"]}, r"labels are numbers; these are not: gory \(string"),
        ({"gory": [2, 0, 1, 0]}, "index.parquet: labels: gory is binary, but has other values"),
        ({"split": ["train", "validate", "validate", "train"]}, "split train has 2 clips; 3 are"),
    ],
)
def test_an_index_that_does_not_fit_is_refused(
    directory: Path, changes: dict[str, Any], said: str
) -> None:
    write_index(directory, **changes)
    with pytest.raises(UsageError, match=said):
        load(directory)


def test_a_broken_index_is_refused(directory: Path) -> None:
    (directory / "index.parquet").write_bytes(b"nothing")
    with pytest.raises(UsageError, match="cannot be read as Parquet"):
        load(directory)
