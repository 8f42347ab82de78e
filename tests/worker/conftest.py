"""Small real experiments, trained here or by real worker processes."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from filelock import FileLock

from hpcexp.launch.plan import make_plan
from hpcexp.store.checkpoints import list_checkpoints
from hpcexp.store.experiment import create_experiment, read_plan
from hpcexp.store.files import read_json, write_json
from hpcexp.store.layout import ExperimentDir, RunDir
from hpcexp.store.metrics import MetricsTable, read_metrics
from hpcexp.store.status import RunStatus, State, read_status, write_status
from hpcexp.store.submissions import make_submission, write_submission
from hpcexp.template import load_template
from hpcexp.train.checkpoint import read_checkpoint
from hpcexp.worker.attempt import CHECKPOINT_VARIABLE
from hpcexp.worker.interruption import Interruption
from hpcexp.worker.patience import PATIENCE_VARIABLE
from hpcexp.worker.run import train_run
from tests.store.conftest import DEADLINE_S, PROVENANCE, start_python, wait_until
from tests.train.conftest import TINY
from tests.warm.process import WarmPopen

__all__ = ["start_python"]  # a fixture of the store's tests that is used here as well

LONG: dict[str, Any] = {"max_epoch": 40, "eval_every": 4}  # 200 steps: time to be interrupted


def make_experiment(
    directory: Path,
    *,
    grid: Mapping[str, Sequence[Any]] | None = None,
    packing: str = "none",
    workload: str = "sps",
    **params: Any,
) -> ExperimentDir:
    """A new experiment of TINY runs, submitted as one bundle, in which nothing has begun.

    Of another workload than sps, `params` are all there are.
    """
    template = {
        "name": "tiny",
        "workload": workload,
        "params": {**TINY, **params} if workload == "sps" else params,
        "grid": grid or {"rnn_width": [6]},
    }
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "tiny.yaml"
    path.write_text(json.dumps(template))  # JSON is YAML
    plan = make_plan(load_template(path))
    experiment = create_experiment(
        directory / "experiments", plan, sources=[], provenance=PROVENANCE
    )
    names = [run.name for run in plan.runs]
    submission = make_submission(
        experiment,
        number=1,
        executor="local",
        bundles=[names],
        packing=packing,
        runs_per_job=1 if packing == "none" else 3,
    )
    write_submission(experiment, submission)
    return experiment


def make_run(directory: Path, **params: Any) -> RunDir:
    """The only run of a new experiment."""
    return list_runs(make_experiment(directory, **params))[0]


def list_runs(experiment: ExperimentDir) -> list[RunDir]:
    return [experiment.run(run.name) for run in read_plan(experiment).runs]


def train_here(run_dir: RunDir, interruption: Interruption | None = None) -> RunStatus:
    """Train a run in this process; its status afterwards."""
    train_run(run_dir, interruption=interruption or Interruption(), num_threads=1)
    return read_status(run_dir)


def ask_for(run_dir: RunDir) -> None:
    """Make a run that has ended ready to be trained again, as `hpcexp resume` does."""
    write_status(run_dir, read_status(run_dir).replace(state=State.PENDING))


class InterruptAfter(Interruption):
    """Asks to stop after so many steps, as SIGTERM would."""

    def __init__(self, num_steps: int) -> None:
        super().__init__()
        self.num_looks_left = num_steps + 1  # the first look is before the first step

    @property
    def reason(self) -> str | None:
        self.num_looks_left -= 1
        if self.num_looks_left < 0:
            self.request(signal.SIGTERM)
        return super().reason


class Worker:
    """A real worker process; what it prints goes to a file outside of the experiment."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        log_path: Path,
        environment: Mapping[str, str],
        before_exec: Callable[[], None] | None = None,
    ) -> None:
        self.log_path = log_path
        with log_path.open("wb") as log:
            self.process = WarmPopen(
                [sys.executable, *command],
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=Path(__file__).parents[2],
                env={**os.environ, "HPCEXP_THREADS": "1", **environment},
                preexec_fn=before_exec,
            )

    @property
    def log(self) -> str:
        return self.log_path.read_text()

    def wait_until(self, condition: Callable[[], object], what: str) -> None:
        """Wait for something that must happen while the process lives."""
        wait_until(lambda: condition() or self.process.poll() is not None, what)
        assert self.process.poll() is None, f"the worker ended before {what}:\n{self.log}"

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def join(self) -> int:
        """Wait for its end; its exit code."""
        return self.process.wait(DEADLINE_S)


def start_worker(
    experiment: ExperimentDir,
    *,
    checkpoint_every_s: float = 300.0,
    before_exec: Callable[[], None] | None = None,
    log_dir: Path | None = None,
    log_path: Path | None = None,
    **environment: str,
) -> Worker:
    """The command that a launcher starts, for the only bundle."""
    command = ["-m", "hpcexp.worker", str(experiment.path), "submission_001", "0"]
    directory = log_dir or experiment.path.parent
    return Worker(
        command,
        log_path=log_path or directory / f"worker_{os.urandom(3).hex()}.log",
        environment={CHECKPOINT_VARIABLE: str(checkpoint_every_s)} | environment,
        before_exec=before_exec,
    )


def supersede(run_dir: RunDir) -> dict[str, tuple[bytes, int]]:
    """Make another attempt the owner, and take a snapshot of the run at that moment.

    What a writer keeps aside under a hidden name has no part in the run, yet.
    """
    with FileLock(run_dir.lock_path):
        owner = read_json(run_dir.owner_path)
        owner |= {"token": owner["token"] + 1, "id": "another attempt", "host": "another-host"}
        write_json(run_dir.owner_path, owner)
        return take_snapshot(run_dir.path)


def take_snapshot(directory: Path) -> dict[str, tuple[bytes, int]]:
    """Contents and modification times of all files, without those that are hidden."""
    files = [p for p in directory.rglob("*") if p.is_file() and not p.name.startswith(".")]
    return {
        str(p.relative_to(directory)): (p.read_bytes(), p.stat().st_mtime_ns) for p in sorted(files)
    }


def list_hidden(directory: Path) -> list[str]:
    return [p.name for p in directory.rglob(".*") if p.is_file() and p.name != ".lock"]


def newest_step(run_dir: RunDir) -> int:
    """The step of the newest checkpoint, 0 where there is none."""
    paths = list_checkpoints(run_dir)
    return int(paths[0].stem.rpartition("_")[2]) if paths else 0


def assert_equal_runs(run_dir: RunDir, reference: RunDir) -> None:
    """Same metrics but for their times, and same final state, bit for bit."""
    assert_equal_metrics(read_metrics(run_dir.path), read_metrics(reference.path))
    states = [flatten(read_checkpoint(list_checkpoints(r)[0])) for r in (run_dir, reference)]
    assert states[0].keys() == states[1].keys()
    assert len(states[0]) > 10
    for name, value in states[0].items():
        same = torch.equal(value, states[1][name]) if isinstance(value, torch.Tensor) else None
        assert same if same is not None else value == states[1][name], name


def assert_equal_metrics(table: MetricsTable, reference: MetricsTable) -> None:
    assert table.columns == reference.columns
    for name in ("epoch", "step", "split", "values"):
        np.testing.assert_array_equal(getattr(table, name), getattr(reference, name), name)


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        inner = flatten(value, f"{prefix}{name}.") if isinstance(value, dict) else None
        flat |= inner if inner is not None else {f"{prefix}{name}": value}
    return flat


@pytest.fixture(autouse=True)
def one_quiet_thread(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    caplog.set_level(logging.INFO, "hpcexp")
    monkeypatch.delenv(CHECKPOINT_VARIABLE, raising=False)
    monkeypatch.setenv(PATIENCE_VARIABLE, "0")  # a test of patience says how much it has


@pytest.fixture(scope="module")
def workers() -> Iterator[Callable[..., Worker]]:
    """`start_worker`; what still lives at the end of the module is killed."""
    started: list[Worker] = []

    def start(*arguments: Any, **options: Any) -> Worker:
        started.append(start_worker(*arguments, **options))
        return started[-1]

    yield start
    for worker in started:
        worker.process.kill()
        worker.process.wait()


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory, shared_data_cache: Path) -> RunDir:
    """A TINY run that was trained without any interruption."""
    run_dir = make_run(tmp_path_factory.mktemp("reference"))
    torch.set_num_threads(1)
    assert train_here(run_dir).state == "completed"
    return run_dir


@pytest.fixture(scope="session")
def long_reference(tmp_path_factory: pytest.TempPathFactory, shared_data_cache: Path) -> RunDir:
    """A LONG run that was trained without any interruption."""
    run_dir = make_run(tmp_path_factory.mktemp("long_reference"), **LONG)
    torch.set_num_threads(1)
    assert train_here(run_dir).state == "completed"
    return run_dir
