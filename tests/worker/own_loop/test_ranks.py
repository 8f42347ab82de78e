"""A run of several processes: one run, whose rank 0 speaks for all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hpcexp.errors import TemplateError
from hpcexp.store.metrics import read_metrics
from hpcexp.store.status import State
from hpcexp.template import load_template
from hpcexp.worker.own_loop.ranks import Ranks, find_cause, wrap_words
from tests.worker.conftest import train_here
from tests.worker.own_loop.conftest import make_own_run

SCRIPT = """
import json, os, sys, time
import torch
import torch.distributed as dist
from hpcexp.client import run

dist.init_process_group("gloo")
saved = run.checkpoint_dir / "state.json"
epoch = json.loads(saved.read_text()) if saved.exists() else 0
print(f"rank {run.rank} of {run.world_size} begins after epoch {epoch}", flush=True)
while epoch < run.max_epoch:
    epoch += 1
    total = torch.tensor([float(run.rank + 1)])
    dist.all_reduce(total)
    run.report(epoch=epoch, loss=total.item() / epoch)
    if run.rank == 0:
        (run.checkpoint_dir / "aside").write_text(json.dumps(epoch))
        (run.checkpoint_dir / "aside").replace(saved)
    time.sleep(float(sys.argv[1]))
    if run.should_stop():
        break
dist.destroy_process_group()
"""


def test_two_ranks_are_one_run_with_a_log_for_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text(SCRIPT)
    params = {"command": "{python} train.py 0", "launcher": "torchrun", "max_epoch": 2}
    resources = {"processes_per_node": 2}
    run_dir = make_own_run(tmp_path, workload="command", params=params, resources=resources)
    assert train_here(run_dir).state == State.COMPLETED
    table = read_metrics(run_dir.path)
    assert [table.row(i).values["loss"] for i in range(len(table))] == [3.0, 1.5]
    logs = [p.read_text() for p in run_dir.ranks_log_dir(1).rglob("stdout.log")]
    assert sorted(log.splitlines()[0] for log in logs) == [
        "rank 0 of 2 begins after epoch 0",
        "rank 1 of 2 begins after epoch 0",
    ]
    assert "rank 0 of 2" in run_dir.log_path(1).read_text()
    assert "rank 1 of 2" not in run_dir.log_path(1).read_text()


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ({"workload": "sps"}, "workload sps is one process per run; only a training of your own"),
        (
            {"workload": "command", "params": {"command": "a.sh"}},
            "workload command is one process per run; write launcher: torchrun under params",
        ),
    ],
)
def test_a_training_that_does_not_declare_it_is_refused(
    tmp_path: Path, template: dict[str, object], message: str
) -> None:
    path = tmp_path / "t.yaml"
    path.write_text(json.dumps({**template, "resources": {"nodes": 2}}))
    with pytest.raises(TemplateError) as caught:
        load_template(path)
    (problem,) = caught.value.problems
    assert problem.where == "resources.nodes"
    assert problem.message.startswith(message)


def test_several_nodes_are_refused_where_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    params = {"command": "{python} train.py", "launcher": "torchrun"}
    run_dir = make_own_run(tmp_path, workload="command", params=params, resources={"nodes": 2})
    status = train_here(run_dir)
    assert status.state == State.FAILED
    assert status.reason.startswith("resources.nodes is 2, and here is 1: launch it on Slurm")


def test_what_has_no_interpreter_is_started_as_it_is(tmp_path: Path) -> None:
    words = wrap_words(["./train.sh", "1"], Ranks(1, 2), log_dir=tmp_path)
    assert words[-3:] == ["--no-python", "./train.sh", "1"]


def test_the_cause_is_what_a_rank_raised(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "stderr.log").write_text("Traceback:\n  x\nValueError: too wide\nbye\n")
    lines = ["torch.distributed.elastic.multiprocessing.errors.ChildFailedError:", "====="]
    assert find_cause(tmp_path, lines) == "ValueError: too wide"
    assert find_cause(tmp_path / "1" / "none", ["[default0]:KeyError: 'x'"]) == "KeyError: 'x'"
