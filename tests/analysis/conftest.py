"""One mixed experiment that many tests only read: made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpcexp.analysis import Results, load
from hpcexp.store.experiment import PlannedRun
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.status import State
from tests.analysis.builder import Fate, build_experiment

MIXED_FATES = {
    "rnn_width=16_rand_0": Fate(mse=0.1),
    "rnn_width=16_rand_1": Fate(mse=0.15),
    "rnn_width=16_rand_2": Fate(mse=0.3),
    "rnn_width=16_rand_3": Fate(mse=0.05, state=State.DIVERGED, epoch=7, reason="loss is NaN"),
    "rnn_width=256_rand_0": Fate(mse=0.5),
    "rnn_width=256_rand_1": Fate(mse=1.4, state=State.STOPPED, epoch=15),
    "rnn_width=256_rand_2": Fate(mse=0.7, state=State.RUNNING, epoch=9),
    "rnn_width=256_rand_3": Fate(state=State.FAILED, epoch=3, reason="out of memory"),
    "rnn_width=32_rand_0": Fate(state=State.PENDING),
    "rnn_width=32_rand_1": Fate(state=State.PENDING),
    "rnn_width=32_rand_2": Fate(state=State.PENDING),
    "rnn_width=32_rand_3": Fate(state=State.PENDING),
}


def meet_mixed_fate(run: PlannedRun) -> Fate:
    return MIXED_FATES[run.name]


@pytest.fixture(scope="session")
def mixed_experiment(tmp_path_factory: pytest.TempPathFactory) -> ExperimentDir:
    """Read only: groups 16, 256, 32 (in this order), 4 runs each, in many states."""
    directory: Path = tmp_path_factory.mktemp("experiments")
    return build_experiment(
        directory, {"rnn_width": [16, 256, 32]}, rand_inits=4, fate=meet_mixed_fate
    )


@pytest.fixture(scope="session")
def mixed_results(mixed_experiment: ExperimentDir) -> Results:
    return load(mixed_experiment)
