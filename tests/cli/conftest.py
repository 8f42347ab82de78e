"""The command line as a user types it, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from hpcexp.store.find import list_experiments
from hpcexp.store.layout import ExperimentDir
from tests.warm.process import WarmPopen

TEMPLATE = """\
name: tiny
question: does a wider RNN predict better?
workload: sps
params:
  dataset: {resolution: 8, num_frames: 6, ball_radius: 1.0}
  vae_channels: [2]
  rnn_min_context: 3
  batch_size: 2
  train_set_size: 8
  validate_set_size: 4
  max_step: 6
grid:
  rnn_width: [4, 6]
rand_inits: 2
resources: {cpus: 1, mem_gb: 1, timeout: 10m}
profiles:
  long: {params: {max_step: 1600, eval_every: 40}}
"""


@dataclass(frozen=True)
class CommandLine:
    """Types `hpcexp ...` in a directory of its own."""

    directory: Path

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        environment = {k: v for k, v in os.environ.items() if k != "HPCEXP_EXPERIMENTS_DIR"}
        return WarmPopen(
            [sys.executable, "-m", "hpcexp", *arguments],
            cwd=self.directory,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *arguments: str, exit_code: int = 0) -> str:
        process = self.start(*arguments)
        stdout, stderr = process.communicate(timeout=120)
        assert process.returncode == exit_code, f"{process.returncode}\n{stdout}\n{stderr}"
        return stdout + stderr

    @property
    def experiments(self) -> list[ExperimentDir]:
        return list_experiments(self.directory / "experiments")

    def write(self, name: str, text: str) -> str:
        (self.directory / name).write_text(text)
        return name


@pytest.fixture
def hpcexp(tmp_path: Path) -> CommandLine:
    (tmp_path / "tiny.yaml").write_text(TEMPLATE)
    return CommandLine(tmp_path)
