from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hpcexp.errors import UsageError
from hpcexp.train.fit import fit
from hpcexp.train.seeding import RandomStreams
from hpcexp.train.sink import MemorySink
from hpcexp.workloads.multitask.config import Config
from hpcexp.workloads.multitask.config.datasets import FilesDataset
from hpcexp.workloads.multitask.files import load_files
from hpcexp.workloads.multitask.workload import MultitaskWorkload
from tests.workloads.multitask.conftest import TINY

LABELS = {"gory": "binary", "rating": "regression"}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A small data set as a laboratory would write it, with garbage in its padding."""
    rng = np.random.default_rng(0)
    for split, size in (("train", 32), ("validate", 24)):
        (tmp_path / split).mkdir()
        arrays: dict[str, Any] = {
            "text": rng.integers(0, 50, (size, 7)),
            "video": rng.normal(size=(size, 4, 6)),
            "audio": rng.normal(size=(size, 3, 5)).astype(np.float32),
            "text_length": rng.integers(0, 8, size),
            "video_length": rng.integers(0, 5, size),
            "audio_length": rng.integers(0, 4, size),
        }
        arrays["video"][np.arange(4) >= arrays["video_length"][:, None]] = np.nan
        gory = (rng.random(size) < 0.5).astype(float)
        gory[:3] = np.nan
        arrays["labels"] = np.stack([gory, rng.normal(size=size)], axis=1)
        for name, array in arrays.items():
            np.save(tmp_path / split / f"{name}.npy", array)
    return tmp_path


def settings(directory: Path, **changes: Any) -> FilesDataset:
    given = {
        "path": str(directory), "labels": LABELS, "feature_widths": [6, 5], "vocabulary": 50,
    }  # fmt: skip
    return FilesDataset.model_validate({**given, **changes})


def load(directory: Path, **changes: Any) -> dict[str, torch.Tensor]:
    return load_files(
        settings(directory, **changes), split="train", num_samples=30, tasks=("rating", "gory")
    )


def test_arrays_come_as_the_model_reads_them(directory: Path) -> None:
    data = load(directory)
    assert data["text"].dtype == data["text_length"].dtype == torch.int64
    assert data["video"].dtype == torch.float32
    assert data["video"].shape == (30, 4, 6)
    padding = torch.arange(4) >= data["video_length"][:, None]
    assert (data["video"][padding] == 0).all()
    saved = np.load(directory / "train" / "labels.npy")
    assert torch.equal(data["labels"][:, 0], torch.from_numpy(saved[:30, 1].astype(np.float32)))
    assert data["labels"][:3, 1].isnan().all()


def test_long_sequences_are_cut_off_at_their_end(directory: Path) -> None:
    whole, cut = load(directory), load(directory, max_lengths=[5, 2, 3])
    assert cut["text"].shape == (30, 5)
    assert torch.equal(cut["text_length"], whole["text_length"].clamp_max(5))
    assert torch.equal(cut["video"], whole["video"][:, :2])


def test_it_trains_on_files_with_missing_labels_and_empty_sequences(directory: Path) -> None:
    shape = {k: v for k, v in TINY.items() if k not in ("dataset", "tasks")}
    dataset = settings(directory).model_dump()
    config = Config.model_validate({**shape, "dataset": dataset, "tasks": ["gory", "rating"]})
    sink = MemorySink()
    result = fit(MultitaskWorkload(config), streams=RandomStreams(0, 0), sink=sink)
    assert result.outcome == "completed", result.reason


def test_all_that_is_wrong_is_told_at_once(directory: Path) -> None:
    train = directory / "train"
    (train / "text.npy").unlink()
    np.save(train / "video.npy", np.zeros((32, 4, 9)))
    np.save(train / "audio_length.npy", np.full(32, 99))
    np.save(train / "labels.npy", np.full((32, 2), 7.0))
    with pytest.raises(UsageError) as caught:
        load(directory)
    message = str(caught.value)
    assert message.startswith(f"{train}: ")
    assert len(message.splitlines()) == 1
    for part in (
        "text.npy is missing",
        "video.npy has 9 features in a time step; dataset.feature_widths says 6",
        "audio_length.npy must hold whole numbers from 0 to 3",
        "gory is binary, but has other values than 0, 1 and NaN",
    ):
        assert part in message


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("text", np.full((32, 7), 50), "tokens from 50 to 50; dataset.vocabulary"),
        ("text", np.zeros((32, 7)), "must hold whole numbers"),
        ("text", np.zeros((32, 7, 2), int), "has 3 dimensions; it must have 2"),
        ("labels", np.zeros((32, 3)), "has 3 columns; dataset.labels names 2: gory, rating"),
        ("audio", np.zeros((9, 3, 5)), "has 9 rows; 30 are asked for"),
        ("audio", np.full((32, 3, 5), np.inf), "not finite"),
        ("video", np.array([{}] * 32), "cannot be read as a NumPy array"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_was_found(
    directory: Path, name: str, array: Any, message: str
) -> None:
    np.save(directory / "train" / f"{name}.npy", array, allow_pickle=True)
    with pytest.raises(UsageError, match=message):
        load(directory)
