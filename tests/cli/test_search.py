"""`hpcexp search` as a user types it; docs/searches.md is typed as a whole by tests/docs."""

from __future__ import annotations

import json

import pytest

from hpcexp.store.experiment import read_plan
from hpcexp.store.status import State, read_status, write_status
from tests.cli.conftest import CommandLine
from tests.launch.test_new_samples import make_sampled

pytest.importorskip("optuna")


def test_an_experiment_that_learns_nothing_cannot_be_searched_further(hpcexp: CommandLine) -> None:
    experiment = make_sampled(hpcexp.directory)
    shown = hpcexp("search", str(experiment.path), "--inline", exit_code=2)
    assert "its samples do not depend on results (method: sobol)" in shown


def test_a_search_that_is_over_says_so(hpcexp: CommandLine) -> None:
    experiment = make_sampled(hpcexp.directory, method="tpe", start=2, count=2)
    for run in read_plan(experiment).runs:
        status = read_status(experiment.run(run.name)).replace(state=State.COMPLETED)
        write_status(experiment.run(run.name), status)
    found = json.loads(hpcexp("search", str(experiment.path), "--inline", "--json"))
    assert (found["is_over"], found["num_samples"], found["runs"]) == (True, 2, [])
