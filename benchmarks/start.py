"""What has to start before anything happens: commands, dry runs, workers.

    python benchmarks/start.py [--num-runs 10000] [--peer-runs 200] [--rounds 5] [--smoke]

Every command is a process of its own, from a cold start of Python, and commands take turns. The
peers, where they are installed, are given the same number of runs: `dora grid --dry_run`, and
Hydra's multirun of a function that does nothing, which composes the configuration of every run
(Hydra has no dry run). A worker's first step is timed to the end of runs of a single step:
evaluations, records and a checkpoint are in it.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.harness.configurations import build_workload
from benchmarks.harness.experiments import make_experiment
from benchmarks.harness.tables import describe_machine, print_table
from benchmarks.harness.turns import Clock, Turn, take_turns, timed
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.status import RunStatus, State, write_status
from hpcexp.store.submissions import make_submission, write_submission

NUM_FINISHED = 10
NUM_BUNDLED = 5
TEMPLATE = """\
workload: sps
question: how soon?
grid:
  lr: [0.001, 0.002, 0.003, 0.004, 0.005, 0.006, 0.007, 0.008, 0.009, 0.01]
rand_inits: {rand_inits}
"""
HYDRA_APP = """\
import hydra

@hydra.main(version_base=None, config_path=".", config_name="config")
def main(config): pass

main()
"""
HYDRA_CONFIG = """\
defaults: [_self_, {override hydra/job_logging: disabled}, {override hydra/hydra_logging: disabled}]
hydra: {output_subdir: null, sweep: {dir: out, subdir: "${hydra.job.num}"}}
lr: 0.1
seed: 0
"""
DORA_TRAIN = """\
import argparse
from dora import argparse_main

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("--seed", type=int, default=0)

@argparse_main(dir="./outputs", parser=parser)
def main(): pass

if __name__ == "__main__":
    main()
"""
DORA_GRID = """\
from dora import Explorer

@Explorer
def explorer(launcher):
    for number in range(1, 11):
        for seed in range({rand_inits}):
            launcher.bind({{"lr": number / 1000, "seed": seed}})()
"""


class Shell:
    """Types commands in a directory, whose output nobody reads, and times them by a clock."""

    def __init__(self, directory: Path, clock: Clock) -> None:
        self.directory, self.clock = directory, clock
        path = [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
        self.env = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, path))}

    def __call__(self, *arguments: str) -> None:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.directory,
            env=self.env,
            capture_output=True,
            text=True,
        )
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(arguments)} failed:\n{done.stderr}")

    def time(self, *arguments: str) -> Turn:
        """A command of Python, to be timed."""
        return timed(lambda: self(*arguments), clock=self.clock)


def measure_commands(shell: Shell, *, num_runs: int, rounds: int) -> None:
    """--help, status and a dry run."""
    directory = shell.directory
    config = build_workload("tiny").config
    for _ in range(NUM_FINISHED):
        finish(make_experiment(directory / "experiments", config=config))
    (directory / "large.yaml").write_text(TEMPLATE.format(rand_inits=num_runs // 10))
    variants = {
        "python -c pass": shell.time("-c", "pass"),
        "hpcexp --help": shell.time("-m", "hpcexp", "--help"),
        f"hpcexp status, {NUM_FINISHED} finished experiments": shell.time("-m", "hpcexp", "status"),
        f"dry run of {num_runs:,} runs": shell.time(
            "-m", "hpcexp", "launch", "large.yaml", "--local", "--dry-run"
        ),
    }
    show("command", variants, rounds=rounds)


def finish(experiment: ExperimentDir) -> None:
    """Every run is completed."""
    for path in experiment.runs_dir.iterdir():
        status = RunStatus(state=State.COMPLETED, epoch=6, num_epochs=6)
        write_status(experiment.run(path.name), status)


def measure_peers(shell: Shell, *, num_runs: int, rounds: int) -> None:
    """Dry runs of the same number of runs."""
    directory, rand_inits = shell.directory, num_runs // 10
    (directory / "peer.yaml").write_text(TEMPLATE.format(rand_inits=rand_inits))
    variants = {
        "hpcexp, dry run": shell.time("-m", "hpcexp", "launch", "peer.yaml", "--local", "--dry-run")
    }
    if is_installed("dora"):
        make_dora(directory, rand_inits)
        grid = ("-m", "dora", "-P", "pkg", "grid", "scale", "--dry_run", "--no_monitoring")
        variants["Dora, dry run"] = shell.time(*grid)
    if is_installed("hydra"):
        (directory / "app.py").write_text(HYDRA_APP)
        (directory / "config.yaml").write_text(HYDRA_CONFIG)
        sweep = ("lr=range(1,11)", f"seed=range({rand_inits})")
        variants["Hydra, multirun of nothing"] = shell.time("app.py", "-m", *sweep)
    if len(variants) == 1:
        print("\nDora and Hydra: not installed (pip install dora-search hydra-core)")
        return
    show(f"{num_runs} runs", variants, rounds=rounds)


def is_installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def make_dora(directory: Path, rand_inits: int) -> None:
    """A package with a training script and a grid."""
    grids = directory / "pkg" / "grids"
    grids.mkdir(parents=True)
    for path in (grids.parent, grids):
        (path / "__init__.py").touch()
    (grids.parent / "train.py").write_text(DORA_TRAIN)
    (grids / "scale.py").write_text(DORA_GRID.format(rand_inits=rand_inits))


def measure_workers(shell: Shell, *, name: str, num_bundled: int, rounds: int) -> None:
    """From the start of a worker to the end of runs of one step."""

    def work(num_runs: int) -> Turn:
        def take_turn() -> float:
            target = prepare_bundle(shell.directory, name, num_runs)
            return shell.time("-m", "hpcexp.worker", *target)()

        return take_turn

    variants = {
        "python -c 'import torch'": shell.time("-c", "import torch"),
        "worker, a run of one step": work(1),
        f"worker, {num_bundled} such runs in its bundle": work(num_bundled),
    }
    show("worker", variants, rounds=rounds)


def prepare_bundle(directory: Path, name: str, num_runs: int) -> tuple[str, str, str]:
    """What a worker is told: an experiment, a submission, and which of its bundles."""
    config = build_workload(name, max_step=1, validate_set_size=8).config
    experiment = make_experiment(directory, config=config, rand_inits=num_runs)
    names = sorted(path.name for path in experiment.runs_dir.iterdir())
    submission = make_submission(experiment, number=0, executor="local", bundles=[names])
    write_submission(experiment, submission)
    return str(experiment.path), submission.id, "0"


def read_children_clock() -> float:
    """Processor seconds of all commands that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def show(what: str, variants: Mapping[str, Turn], *, rounds: int) -> None:
    """The table of commands that took turns."""
    seconds = take_turns(variants, rounds=rounds, warm_up=1 if rounds > 1 else 0)
    first = next(iter(seconds))
    base = statistics.median(seconds[first])
    rows = [
        (name, f"{(median := statistics.median(times)):.2f}", f"{min(times):.2f}",
         f"{median / base:.1f}")
        for name, times in seconds.items()
    ]  # fmt: skip
    print_table((what, "seconds, median", "least", f"of {first}"), rows)


def main() -> None:
    """Commands, peers, workers."""
    parser = argparse.ArgumentParser(description=textwrap.shorten(__doc__ or "", 80))
    parser.add_argument("--num-runs", type=int, default=10_000, help="of the dry run")
    parser.add_argument("--peer-runs", type=int, default=200, help="of the peers' dry runs")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cpu-time", action="store_true", help="processor time: a busy machine")
    parser.add_argument("--smoke", action="store_true", help="a tiny size, to see that it runs")
    given = parser.parse_args()
    print(describe_machine() + (", processor time" if given.cpu_time else ""))
    clock = read_children_clock if given.cpu_time else time.perf_counter
    if given.smoke:
        given.num_runs, given.rounds = 20, 1
    rounds = given.rounds
    with tempfile.TemporaryDirectory() as directory:
        measure_commands(Shell(Path(directory), clock), num_runs=given.num_runs, rounds=rounds)
    if not given.smoke:
        with tempfile.TemporaryDirectory() as directory:
            measure_peers(
                Shell(Path(directory), clock), num_runs=given.peer_runs, rounds=min(rounds, 2)
            )
    name, num_bundled = ("tiny", 2) if given.smoke else ("quickstart", NUM_BUNDLED)
    with tempfile.TemporaryDirectory() as directory:
        measure_workers(
            Shell(Path(directory), clock), name=name, num_bundled=num_bundled, rounds=rounds
        )


if __name__ == "__main__":
    main()
