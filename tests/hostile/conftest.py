"""Real experiments and real processes in hostile surroundings."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

import pytest

from hpcexp.store.find import list_experiments
from hpcexp.store.layout import ExperimentDir
from tests.warm.process import WarmPopen
from tests.worker.conftest import (
    list_runs,
    long_reference,
    one_quiet_thread,
    reference,
    workers,
)

__all__ = ["long_reference", "one_quiet_thread", "reference", "workers"]

PROJECT_DIR = Path(__file__).parents[2]
DEADLINE_S = 120.0

TEMPLATE = """\
name: tiny
workload: sps
params:
  dataset: {resolution: 8, num_frames: 6, ball_radius: 1.0}
  vae_channels: [2]
  rnn_min_context: 3
  batch_size: 2
  train_set_size: 8
  validate_set_size: 4
  max_step: 8
rand_inits: 2
resources: {cpus: 1, mem_gb: 1, timeout: 10m}
"""


@dataclass(frozen=True)
class Said:
    """What a command said, and how it ended."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def text(self) -> str:
        return self.stdout + self.stderr

    def check_error(self, *, exit_code: int, words: str) -> None:
        """An error in words, of few lines, and no traceback."""
        assert self.exit_code == exit_code, self
        assert words in self.stderr, self
        assert "Traceback" not in self.text, self
        assert len(self.stderr.strip().splitlines()) <= 3, self


@dataclass(frozen=True)
class Terminal:
    """Somebody who types `hpcexp ...` in a directory."""

    directory: Path
    prefix: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)

    def start(
        self, *arguments: str | Path, stdout: int | IO[Any] = subprocess.PIPE, **options: Any
    ) -> subprocess.Popen[str]:
        environment = {k: v for k, v in os.environ.items() if k != "HPCEXP_EXPERIMENTS_DIR"}
        return WarmPopen(
            [*self.prefix, sys.executable, "-m", "hpcexp", *map(str, arguments)],
            cwd=self.directory,
            env={**environment, "PYTHONPATH": str(PROJECT_DIR), **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=options.pop("stderr", subprocess.PIPE),
            text=True,
            errors="replace",
            **options,
        )

    def type(self, *arguments: str | Path, **options: Any) -> Said:
        process = self.start(*arguments, **options)
        stdout, stderr = process.communicate(timeout=DEADLINE_S)
        return Said(process.returncode, stdout or "", stderr or "")

    def train(self, *arguments: str | Path) -> ExperimentDir:
        """Launch and train here; the new experiment."""
        said = self.type("launch", "tiny.yaml", "--inline", *arguments)
        assert said.exit_code == 0, said
        return self.experiments[0]

    @property
    def experiments(self) -> list[ExperimentDir]:
        return list_experiments(self.directory / "experiments")


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    (tmp_path / "tiny.yaml").write_text(TEMPLATE)
    return Terminal(tmp_path)


@pytest.fixture
def user(terminal: Terminal) -> Terminal:
    """A user whom permissions hold for: root is one without its powers."""
    if os.geteuid() != 0:
        return terminal
    if shutil.which("setpriv") is None:
        pytest.skip("there is no setpriv to give up root's powers with")
    give_up = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")
    return replace(terminal, prefix=give_up)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, shared_data_cache: Path) -> ExperimentDir:
    """An experiment of two completed runs, to be copied."""
    directory = tmp_path_factory.mktemp("trained")
    (directory / "tiny.yaml").write_text(TEMPLATE)
    return Terminal(directory).train()


def copy_experiment(trained: ExperimentDir, terminal: Terminal) -> ExperimentDir:
    """Put an experiment where a terminal finds it as the newest."""
    target = terminal.directory / "experiments" / trained.name
    # Its code would fill the small disks of these tests.
    shutil.copytree(trained.path, target, ignore=lambda _, names: {"code"} & {*names})
    return ExperimentDir(target)


def make_unfinished(experiment: ExperimentDir) -> None:
    """As if its runs had been stopped before their first step."""
    for run in list_runs(experiment):
        status = json.loads(run.status_path.read_text())
        status |= {"state": "interrupted", "reason": "interrupted (Ctrl-C)"}
        run.status_path.write_text(json.dumps(status))
    experiment.summary_path.unlink()
