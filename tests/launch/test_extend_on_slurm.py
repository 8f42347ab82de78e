"""`hpcexp extend` on a real Slurm, while jobs of the experiment train and after they have ended."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hpcexp.store.experiment import read_plan
from hpcexp.store.status import State, read_status
from tests.launch.test_slurm_cluster import CommandLine, all_in, wait_for
from tests.slurm_cluster.cluster import SlurmCluster
from tests.worker.conftest import assert_equal_runs

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(240)]

STEADY = ("--set", "params.scheduled_sampling={unit: epochs, duration: 2}")


@pytest.fixture
def hpcexp(slurm_cluster: SlurmCluster, tmp_path: Path) -> Iterator[CommandLine]:
    yield CommandLine(slurm_cluster, tmp_path)
    slurm_cluster.reset()


def test_an_experiment_grows_while_it_trains_and_goes_on_when_it_has_ended(
    hpcexp: CommandLine,
) -> None:
    path = hpcexp.write_template("part.yaml", max_step=14, rand_inits=1)
    hpcexp("launch", path, "--slurm", "--name", "part", *STEADY)
    part = hpcexp.newest()
    refused = hpcexp("extend", "part", "--set", "max_step=30", "--slurm", exit_code=2)
    assert "being worked on cannot be raised: rnn_width=4_rand_0" in refused
    added = hpcexp("extend", "part", "--rand-inits", "2", "--slurm")
    assert "1 new run" in added
    assert read_status(part.run("rnn_width=4_rand_0")).attempt <= 1
    wait_for(part, all_in(State.COMPLETED))
    hpcexp("extend", "part", "--set", "max_step=30", "--slurm")
    statuses = wait_for(part, all_in(State.COMPLETED))
    assert {(s.attempt, s.step) for s in statuses.values()} == {(2, 30)}
    whole_path = hpcexp.write_template("whole.yaml", max_step=30)
    hpcexp("launch", whole_path, "--slurm", "--name", "whole", *STEADY)
    whole = hpcexp.newest()
    wait_for(whole, all_in(State.COMPLETED))
    for run in read_plan(whole).runs:
        assert_equal_runs(part.run(run.name), whole.run(run.name))
