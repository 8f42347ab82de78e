"""Small sequences, and a cache of them, for the tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hpcexp.workloads.sps.cache import load_sequences
from hpcexp.workloads.sps.config.datasets import BounceDataset
from hpcexp.workloads.sps.dataset import Sequences, Split

SMALL = BounceDataset(resolution=16, num_frames=4)


def load(
    cache_dir: Path,
    num_sequences: int = 6,
    *,
    settings: BounceDataset = SMALL,
    split: Split = "train",
) -> Sequences:
    return load_sequences(settings, split=split, num_sequences=num_sequences, cache_dir=cache_dir)


def find_entry(cache_dir: Path, num_sequences: int = 6) -> Path:
    (entry_dir,) = cache_dir.glob(f"sps/*/{num_sequences}")
    return entry_dir


def assert_same(left: Sequences, right: Sequences) -> None:
    np.testing.assert_array_equal(left.images, right.images)
    np.testing.assert_array_equal(left.positions, right.positions)
