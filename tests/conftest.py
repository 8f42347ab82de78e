"""What every test stands on: caches and experiments of its own, one thread."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest_plugins = ["tests.slurm_cluster.plugin"]


@pytest.fixture(scope="session", autouse=True)
def shared_data_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Data sets are drawn once for each session, and never into the user's cache."""
    directory = tmp_path_factory.mktemp("cache")
    patch = pytest.MonkeyPatch()
    patch.setenv("HPCEXP_CACHE_DIR", str(directory))
    patch.setenv("OMP_NUM_THREADS", "1")
    patch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))  # not the user's own
    for variable in [name for name in os.environ if name.startswith("SLURM_")]:
        patch.delenv(variable)
    patch.delenv("HPCEXP_EXPERIMENTS_DIR", raising=False)
    yield directory
    patch.undo()


@pytest.fixture
def experiments_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of experiments that the command line uses by default."""
    directory = tmp_path / "experiments"
    monkeypatch.setenv("HPCEXP_EXPERIMENTS_DIR", str(directory))
    return directory
