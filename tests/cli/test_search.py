"""`hpcexp search` as a user types it."""

from __future__ import annotations

import pytest

from hpcexp.store.experiment import read_plan
from tests.cli.conftest import TEMPLATE, CommandLine

pytest.importorskip("optuna")

SAMPLE = """\
sample:
  count: 4
  method: tpe
  start: 2
  at_once: 1
  axes: {lr: {log_uniform: [1e-4, 1e-2]}, rnn_width: {integer: [4, 8]}}
"""


def test_a_search_goes_on_until_all_samples_are_made(hpcexp: CommandLine) -> None:
    text = TEMPLATE.replace("grid:\n  rnn_width: [4, 6]\nrand_inits: 2\n", SAMPLE)
    (hpcexp.directory / "search.yaml").write_text(text)
    shown = hpcexp("launch", "search.yaml", "--inline")
    assert shown.index("3 of 4 samples; new:") < shown.index("4 of 4 samples; new:")
    assert "all 4 samples have ended" in shown
    [experiment] = hpcexp.experiments
    assert len(read_plan(experiment).runs) == 4
    shown = hpcexp("search", "latest", "--inline", "--samples", "5")
    assert "5 of 5 samples; new:\n  sample_004   lr=" in shown
    shown = hpcexp("extend", "latest", "--samples", "9", exit_code=2)
    assert "--samples 9 goes on" in shown
