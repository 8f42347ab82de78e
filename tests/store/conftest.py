"""Plans made of a real template, experiments made of plans, and processes of their own."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hpcexp.launch.plan import make_plan
from hpcexp.store.experiment import Plan, create_experiment
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.provenance import Provenance
from hpcexp.template import load_template

TEMPLATE = """\
name: max_epoch
question: does training longer help?
workload: sps
params:
  max_epoch: 6
  vae_channels: [4, 8]
  dataset: {resolution: 8, num_frames: 7}
  rnn_min_context: 3
grid:
  rnn_width: [4, 8]
  loss_weights.kld: [0.0, 1.0e-3]
rand_inits: 2
seed: 11
resources: {cpus: 2, mem_gb: 3, timeout: 1h30m, setup: [echo ready]}
profiles:
  short: {params: {max_epoch: 2}}
"""

PROVENANCE = Provenance(
    command="hpcexp launch t.yaml",
    working_dir=".",
    host="node",
    user="someone",
    created="2022-12-13T16:26:35+00:00",
    time_zone="UTC (UTC+0000)",
    platform="Linux",
    python="3.11",
    python_path="python",
    packages={"torch": "2.11"},
    git=None,
)

DEADLINE_S = 60.0
StartPython = Callable[..., "subprocess.Popen[str]"]


def make_test_plan(directory: Path) -> Plan:
    """The plan of TEMPLATE, with a profile and an override."""
    path = directory / "max_epoch.yaml"
    path.write_text(TEMPLATE)
    return make_plan(load_template(path, profile="short", overrides=["params.batch_size=4"]))


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Look again and again until `condition` holds; fail after a minute."""
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited {DEADLINE_S:.0f} s for: {what}"
        time.sleep(0.005)


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return make_test_plan(tmp_path)


@pytest.fixture
def experiment(experiments_dir: Path, plan: Plan) -> ExperimentDir:
    """A new experiment of eight runs, none of them trained."""
    return create_experiment(experiments_dir, plan, sources=[], provenance=PROVENANCE)


@pytest.fixture
def start_python() -> Iterator[StartPython]:
    """Start a Python process that runs a text with arguments; killed at the end of the test."""
    started: list[subprocess.Popen[str]] = []

    def start(code: str, *arguments: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", code, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()
