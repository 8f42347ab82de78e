"""Random histories on the simulated cluster: no run is ever said to be what it is not.

The truth is the simulator's own: which jobs live, how they ended, what each run did. More of
them: `HPCEXP_NUM_HISTORIES=10000`, in `benchmarks/histories.py`.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from hpcexp.launch.observe import ACTIVE, Observation, observe
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.status import State
from tests.simulated_cluster import history as history_module
from tests.simulated_cluster.history import History

NUM_HISTORIES = int(os.environ.get("HPCEXP_NUM_HISTORIES", "50"))


def test_no_state_is_wrong_in_random_histories(tmp_path: Path) -> None:
    wrong = []
    for seed in range(NUM_HISTORIES):
        directory = tmp_path / str(seed)
        directory.mkdir()
        wrong += History(seed, directory).play()
    assert wrong == []


def test_a_wrong_verdict_would_be_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a tool would give it that takes a queue that it cannot see for an empty one."""

    def observe_blindly(experiment: ExperimentDir) -> Observation:
        observation = observe(experiment)
        blind = {
            name: status.explain(state=State.LOST) if status.state in ACTIVE else status
            for name, status in observation.statuses.items()
        }
        return replace(observation, statuses=blind)

    monkeypatch.setattr(history_module, "observe", observe_blindly)
    wrong = []
    for seed in range(5):
        directory = tmp_path / str(seed)
        directory.mkdir()
        wrong += History(seed, directory).play()
    assert wrong
