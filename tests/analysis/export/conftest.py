"""A small experiment: two groups, one with a list and a run that diverged."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpcexp.analysis import Results, load
from hpcexp.store.experiment import PlannedRun
from hpcexp.store.status import State
from tests.analysis.builder import Fate, build_experiment

GOOD, DIVERGED = "vae_channels=+2_rand_0", "vae_channels=+4+8_rand_0"


def meet_fate(run: PlannedRun) -> Fate:
    if run.group.endswith("+2"):
        return Fate(mse=0.25, loss=0.5)
    return Fate(mse=0.3, state=State.DIVERGED, epoch=2)


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Read only."""
    directory: Path = tmp_path_factory.mktemp("exported")
    grid = {"vae_channels": [[2], [4, 8]]}
    return load(build_experiment(directory, grid, rand_inits=1, num_epochs=4, fate=meet_fate))
