"""A directory with an experiment, notes on it, and an imported notebook."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpcexp.store.layout import ExperimentDir
from hpcexp.store.notebook.imported import import_notebook
from hpcexp.store.notebook.notes import add_note, make_note
from hpcexp.store.status import State
from tests.analysis.builder import Fate, build_experiment
from tests.store.notebook.notebooks import OWN_PATH

WIDE = "2021_m12_d30@09_15_00_wide_rnn"
ABSENT = "2022_m01_d02@10_00_00_drop_out"
HOSTILE = '<script>alert("x")</script> & [link](x) *b*'


def build_wide(directory: Path) -> ExperimentDir:
    """Two groups of three runs: medians 0.1 and diverged."""
    fates = {"16": Fate(mse=0.1), "256": Fate(mse=0.3, state=State.DIVERGED, epoch=5)}
    made = build_experiment(
        directory,
        {"rnn_width": [16, 256]},
        fate=lambda run: fates[run.group.split("=")[1]],
        question="how wide must the RNN be?",
        name="wide_rnn",
    )
    return ExperimentDir(made.path.rename(directory / WIDE))


@pytest.fixture
def experiments_dir(tmp_path: Path) -> Path:
    directory = tmp_path / "experiments"
    experiment = build_wide(directory)
    add_note(experiment, make_note(HOSTILE, run="rnn_width=16", next_step="try 8"))
    import_notebook(OWN_PATH, experiments_dir=directory)
    return directory
