"""Experiments that were planned and not submitted."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpcexp.launch.prepare import prepare
from hpcexp.store.layout import ExperimentDir
from hpcexp.template import load_template

TEMPLATE = """\
name: tiny
workload: sps
grid: {rnn_width: [4, 6]}
rand_inits: 2
"""


@pytest.fixture
def experiment(tmp_path: Path) -> ExperimentDir:
    """Two groups with two runs each, all pending."""
    path = tmp_path / "tiny.yaml"
    path.write_text(TEMPLATE)
    directory = tmp_path / "experiments"
    return prepare(load_template(path), experiments_dir=directory, copy_code=False)
