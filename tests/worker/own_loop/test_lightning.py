"""A Lightning module is enough: it is fitted, reported, interrupted and resumed."""

from __future__ import annotations

import importlib.util
import json
import signal
from pathlib import Path
from typing import Any

import pytest

from hpcexp.errors import TemplateError
from hpcexp.store.layout import RunDir
from hpcexp.store.metrics import read_metrics
from hpcexp.store.status import State, read_status
from hpcexp.template import load_template
from tests.worker.conftest import ask_for, start_worker, train_here
from tests.worker.own_loop.conftest import make_own_run

MODULE = """
import time
import lightning, torch

class Line(lightning.LightningModule):
    def __init__(self, lr: float = 0.1, pause: float = 0.0):
        super().__init__()
        self.lr, self.pause = lr, pause
        self.slope = torch.nn.Parameter(torch.zeros(1))

    def training_step(self, batch, index):
        time.sleep(self.pause)
        loss = ((self.slope - 3) * batch).square().mean()
        self.log("train_loss", loss, on_epoch=True, on_step=False)
        return loss

    def validation_step(self, batch, index):
        self.log("val_loss", ((self.slope - 3) * batch).square().mean())

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.lr)

class Points(lightning.LightningDataModule):
    def __init__(self, batch_size: int = 4):
        super().__init__()
        self.batch_size = batch_size

    def train_dataloader(self):
        return torch.utils.data.DataLoader(torch.linspace(0, 1, 16), batch_size=self.batch_size)

    def val_dataloader(self):
        return torch.utils.data.DataLoader(torch.linspace(0, 1, 8), batch_size=8)
"""

needs_lightning = pytest.mark.skipif(
    importlib.util.find_spec("lightning") is None, reason="Lightning is an optional extra"
)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lit.py").write_text(MODULE)
    return tmp_path


def make_run(project: Path, **params: Any) -> RunDir:
    fixed = {"module": "lit:Line", "data": "lit:Points", "max_epoch": 4}
    return make_own_run(project, workload="lightning", params={**fixed, **params})


def read_losses(run_dir: RunDir) -> dict[str, list[float]]:
    table = read_metrics(run_dir.path)
    rows = [table.row(i) for i in range(len(table))]
    return {
        split: [row.values["loss"] for row in rows if row.split == split]
        for split in ("train", "validate")
    }


@needs_lightning
def test_an_interrupted_module_goes_on_and_reports_every_epoch_once(project: Path) -> None:
    run_dir = make_run(project, lr=0.2, pause=0.2)
    worker = start_worker(run_dir.experiment)
    worker.wait_until(lambda: read_status(run_dir).epoch >= 1, "the first epoch")
    worker.send(signal.SIGUSR2)
    worker.join()
    assert read_status(run_dir).state == State.TIMED_OUT
    ask_for(run_dir)

    status = train_here(run_dir)
    assert (status.state, status.reason, status.attempt) == (State.COMPLETED, "", 2)
    assert (status.epoch, status.step, status.num_steps) == (4, 16, 16)
    losses = read_losses(run_dir)
    assert [len(values) for values in losses.values()] == [4, 4]
    assert losses["validate"] == sorted(losses["validate"], reverse=True)


def test_the_parameters_of_both_classes_are_hyperparameters(project: Path) -> None:
    path = project / "t.yaml"
    params = {"module": "lit:Line", "data": "lit:Points", "max_epoch": 1}
    path.write_text(
        json.dumps({"workload": "lightning", "params": params, "grid": {"batch_size": [2, 4]}})
    )
    template = load_template(path)
    config = template.config_for(template.groups()[0])
    assert (config["lr"], config["batch_size"]) == (0.1, 2)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"bacth_size": 2}, "no such hyperparameter of workload lightning; did you mean batch_"),
        ({"module": "lit:Lin"}, "did you mean Line?"),
        ({"max_epoch": None}, "Lightning needs a budget; write max_epoch or max_step"),
        ({"trainer": {"devices": 2}}, "trainer.devices: set by resources.processes_per_node"),
    ],
)
def test_faults_are_told(project: Path, changed: dict[str, Any], message: str) -> None:
    path = project / "t.yaml"
    params = {"module": "lit:Line", "data": "lit:Points", "max_epoch": 1, **changed}
    path.write_text(json.dumps({"workload": "lightning", "params": params}))
    with pytest.raises(TemplateError) as caught:
        load_template(path)
    assert message in str(caught.value)
