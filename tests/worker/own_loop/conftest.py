"""Small real trainings of a user's own, started by the real worker."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hpcexp.launch.plan import make_plan
from hpcexp.store.experiment import create_experiment
from hpcexp.store.layout import RunDir
from hpcexp.store.submissions import make_submission, write_submission
from hpcexp.template import load_template
from tests.store.conftest import PROVENANCE
from tests.worker.conftest import list_runs

SCRIPT = """
import json, sys, time
from hpcexp.client import run

rate, epochs, pause = float(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
saved = run.checkpoint_dir / "weight.json"
epoch, weight = json.loads(saved.read_text()) if saved.exists() else (0, 2.0)
print(f"begins after epoch {epoch}", flush=True)
while epoch < epochs:
    epoch, weight = epoch + 1, weight * (1 - rate)
    run.report(epoch=epoch, split="train", loss=weight)
    run.report(epoch=epoch, loss=weight**2)
    (run.checkpoint_dir / "aside").write_text(json.dumps([epoch, weight]))
    (run.checkpoint_dir / "aside").replace(saved)
    time.sleep(pause)
    if run.should_stop():
        sys.exit()
"""
"""A training with a checkpoint of its own: its numbers are known exactly."""

MakeRun = Callable[..., RunDir]


@pytest.fixture
def make_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeRun:
    """The first run of a template in a directory with `train.py`, in which nothing has begun."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text(SCRIPT)

    def make(
        command: str = "{python} train.py {rate} {max_epoch} {pause}", **settings: Any
    ) -> RunDir:
        params: dict[str, Any] = {"command": command}
        if "{rate}" in command:
            params |= {"rate": 0.5, "pause": 0.0, "max_epoch": 4}
        return make_own_run(tmp_path, workload="command", params={**params, **settings})

    return make


def make_own_run(
    directory: Path,
    *,
    workload: str,
    params: dict[str, Any],
    resources: dict[str, Any] | None = None,
) -> RunDir:
    path = directory / "own.yaml"
    template = {"workload": workload, "params": params, "resources": resources or {}}
    path.write_text(json.dumps(template))  # JSON is YAML
    plan = make_plan(load_template(path))
    provenance = dataclasses.replace(PROVENANCE, working_dir=str(directory))
    experiment = create_experiment(
        directory / "experiments", plan, sources=[], provenance=provenance
    )
    names = [run.name for run in plan.runs]
    submission = make_submission(experiment, number=1, executor="local", bundles=[names])
    write_submission(experiment, submission)
    return list_runs(experiment)[0]
