"""One run over two nodes of a real Slurm, which survives a requeue."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpcexp.store.layout import RunDir
from hpcexp.store.metrics import read_metrics
from hpcexp.store.status import State, read_status
from tests.launch.test_slurm_cluster import CommandLine
from tests.slurm_cluster.cluster import SlurmCluster
from tests.store.conftest import wait_until
from tests.worker.conftest import list_runs
from tests.worker.own_loop.test_ranks import SCRIPT

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(240)]

NUM_EPOCHS = 8


@pytest.fixture
def hpcexp(slurm_cluster: SlurmCluster, tmp_path: Path) -> Iterator[CommandLine]:
    yield CommandLine(slurm_cluster, tmp_path)
    slurm_cluster.reset()


def launch(hpcexp: CommandLine) -> RunDir:
    told = 'print("node", os.environ["SLURM_NODEID"], flush=True)\n'
    (hpcexp.directory / "train.py").write_text(SCRIPT.replace("dist.init", told + "dist.init"))
    template = {
        "workload": "command",
        "params": {
            "command": "{python} train.py 0.5",
            "launcher": "torchrun",
            "max_epoch": NUM_EPOCHS,
        },
        "resources": {"nodes": 2, "cpus": 1, "mem_gb": 1, "timeout": "10m"},
    }
    path = hpcexp.directory / "ranks.yaml"
    path.write_text(json.dumps(template))
    hpcexp("launch", str(path))
    (run_dir,) = list_runs(hpcexp.newest())
    return run_dir


def read_ranks(run_dir: RunDir, attempt: int) -> list[str]:
    logs = run_dir.ranks_log_dir(attempt).rglob("stdout.log")
    return sorted(" ".join(path.read_text().splitlines()[:2]) for path in logs)


def test_a_run_on_two_nodes_survives_a_requeue(hpcexp: CommandLine) -> None:
    run_dir = launch(hpcexp)

    def is_under_way() -> bool:
        status = read_status(run_dir)
        assert status.state not in (State.FAILED, State.COMPLETED), status.reason
        return status.epoch >= 2

    wait_until(is_under_way, "the second epoch")
    before = read_status(run_dir)
    hpcexp.cluster.run("scontrol", "requeue", before.job_id)
    wait_until(lambda: read_status(run_dir).state == State.COMPLETED, "the end")

    status = read_status(run_dir)
    assert (status.attempt, status.epoch) == (2, NUM_EPOCHS)
    table = read_metrics(run_dir.path)
    assert table.epoch.tolist() == list(range(1, NUM_EPOCHS + 1))
    assert table.column("loss").tolist() == pytest.approx([3 / e for e in table.epoch.tolist()])
    first = read_ranks(run_dir, 1)
    assert first == [f"node {r} rank {r} of 2 begins after epoch 0" for r in (0, 1)]
    again = read_ranks(run_dir, 2)
    assert [line.rpartition(" ")[0] for line in again] == [
        f"node {r} rank {r} of 2 begins after epoch" for r in (0, 1)
    ]
    assert int(again[0].rpartition(" ")[2]) >= 2
