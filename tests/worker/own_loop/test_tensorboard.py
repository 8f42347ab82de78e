"""Event files are read as they grow, and resumed as lines are."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from hpcexp.store.metrics import read_metrics
from hpcexp.store.status import State
from hpcexp.worker.own_loop.reports import Report
from hpcexp.worker.own_loop.tensorboard import EventFiles, split_tag
from tests.worker.conftest import train_here
from tests.worker.own_loop.conftest import MakeRun

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torch.utils.tensorboard import SummaryWriter


@pytest.mark.parametrize(
    ("tag", "split", "name"),
    [
        ("train/loss", "train", "loss"),
        ("Loss/validation", "validate", "Loss"),
        ("val_loss", "validate", "loss"),
        ("train_loss/a", "train", "loss.a"),
        ("error rate", "validate", "error.rate"),
        ("valuable", "validate", "valuable"),
        ("epoch", "validate", "tensorboard.epoch"),
    ],
)
def test_a_tag_names_split_and_metric(tag: str, split: str, name: str) -> None:
    assert split_tag(tag) == (split, name)


def test_the_scalars_of_a_step_are_one_report_once_the_next_step_has_come(tmp_path: Path) -> None:
    files = EventFiles(tmp_path)
    with SummaryWriter(tmp_path) as writer:
        writer.add_scalar("val/loss", 0.5, 1)
        writer.add_scalar("val/error", 0.25, 1)
        writer.flush()
        assert files.read(has_ended=False) == []
        writer.add_scalar("val/loss", 0.125, 2)
        writer.flush()
        assert files.read(has_ended=False) == [
            Report(None, 1, "validate", {"loss": 0.5, "error": 0.25})
        ]
    assert files.read(has_ended=True) == [Report(None, 2, "validate", {"loss": 0.125})]


def test_files_of_earlier_attempts_are_told_apart(tmp_path: Path) -> None:
    with SummaryWriter(tmp_path) as writer:
        writer.add_scalar("val/loss", 0.5, 1)
    files = EventFiles(tmp_path)
    assert files.read_earlier() == [Report(None, 1, "validate", {"loss": 0.5})]
    assert files.read_earlier() == []
    assert files.read(has_ended=True) == []


def test_a_run_that_writes_event_files_has_their_rows(make_run: MakeRun, tmp_path: Path) -> None:
    (tmp_path / "write.py").write_text(
        "import sys\n"
        "from torch.utils.tensorboard import SummaryWriter\n"
        "with SummaryWriter(sys.argv[1]) as writer:\n"
        "    for step in (1, 2, 3):\n"
        "        writer.add_scalar('val/loss', 1 / 2**step, step)\n"
    )
    run_dir = make_run("{python} write.py {tensorboard_dir}", tensorboard=True)
    assert train_here(run_dir).state == State.COMPLETED
    table = read_metrics(run_dir.path)
    assert [table.row(i).values["loss"] for i in range(len(table))] == [0.5, 0.25, 0.125]
