"""Ten thousand runs, and fifty thousand: how long commands take, and what the scheduler is asked.

    python benchmarks/scale.py [--num-runs 10000 50000] [--smoke]

Commands are timed as processes of their own, from a cold start, with stand-ins for Slurm's
commands that answer at once. The experiment is then run to its end on the simulated cluster
(MaxArraySize 1001, MaxSubmitJobs 100, 40 calls and 4 more a second), whose clock is virtual.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from hpcexp.launch.observe import observe
from hpcexp.store.find import list_experiments
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.status import State
from hpcexp.store.submissions import read_submissions
from tests.simulated_cluster.laboratory import Laboratory
from tests.simulated_cluster.worker import Work

TEMPLATE = """\
workload: sps
question: does it scale?
grid:
  lr: [0.001, 0.002, 0.003, 0.004, 0.005, 0.006, 0.007, 0.008, 0.009, 0.01]
  rnn_width: [8, 12, 16, 20, 24, 28, 32, 36, 40, 44]
rand_inits: {rand_inits}
"""
STAND_INS = {
    "sbatch": "echo 4711",
    "squeue": 'for a; do case "$a" in --name=*) name=${a#--name=};; esac; done\n'
    'i=0; while [ $i -lt 1000 ]; do echo "4711_$i|$name|PENDING|Priority|"; i=$((i+1)); done',
    "scontrol": 'echo "MaxArraySize = 1001"',
    "sacct": "true",
    "sacctmgr": "true",
    "scancel": "true",
    "srun": "true",
}


class Shell:
    """Types commands on a login node whose Slurm answers at once."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.calls_path = directory, directory / "calls"
        folder = directory / "bin"
        folder.mkdir()
        for name, body in STAND_INS.items():
            script = folder / name
            script.write_text(f"#!/bin/sh\necho {name} >> {self.calls_path}\n{body}\n")
            script.chmod(0o755)
        self.env = os.environ | {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}

    def __call__(self, *arguments: str) -> tuple[float, int]:
        """Seconds that a command took, and its calls of the scheduler."""
        self.calls_path.write_text("")
        begun = time.monotonic()
        subprocess.run(
            [sys.executable, "-m", "hpcexp", *arguments],
            cwd=self.directory,
            env=self.env,
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        return time.monotonic() - begun, len(self.calls_path.read_text().split())


def measure_commands(directory: Path, num_runs: int) -> None:
    """Dry run, launch, and status while everything waits."""
    (directory / "scale.yaml").write_text(TEMPLATE.format(rand_inits=num_runs // 100))
    shell = Shell(directory)
    show("dry run", *shell("launch", "scale.yaml", "--slurm", "--dry-run"))
    show("launch", *shell("launch", "scale.yaml", "--slurm"))
    show("status, all waiting", *shell("status", "latest"))
    show("overview, all waiting", *shell("status"))
    experiment = list_experiments(directory / "experiments")[0]
    files = [path for path in experiment.path.rglob("*") if path.is_file()]
    print(f"| files of the experiment | {len(files) / num_runs:.2f} a run | |")


def run_to_the_end(directory: Path, num_runs: int) -> None:
    """The whole experiment on the simulated cluster, then status of what has ended."""
    laboratory = Laboratory(
        directory,
        work_of=lambda _: Work(num_steps=10, seconds_per_step=30.0),
        num_nodes=25,
        max_array_size=1001,
        max_submit_jobs=100,
        bucket=(40, 4.0),
    )
    begun = time.monotonic()
    with laboratory.open():
        experiment = laboratory.prepare(num_groups=100, rand_inits=num_runs // 100, timeout="12h")
        virtual = laboratory.cluster.clock.now
        laboratory.launch(experiment)
        laboratory.cluster.run()
        virtual_hours = (laboratory.cluster.clock.now - virtual) / 3600
        observation = observe(experiment)
    completed = observation.count(State.COMPLETED)
    seconds = time.monotonic() - begun
    ends = Counter(laboratory.worker.num_ends.values())
    calls = ", ".join(f"{n} {name}" for name, n in laboratory.slurm.num_calls.items())
    print(f"| simulated: completed of {num_runs} | {completed} in {virtual_hours:.0f} h | |")
    print(f"| simulated: runs that ended once | {ends[1]} | |")
    print(f"| simulated: calls of the scheduler | {calls} | |")
    print(f"| simulated: longest wait for a call | {laboratory.slurm.longest_wait_s:.1f} s | |")
    print(f"| simulated: submissions | {len(read_submissions(experiment))} | |")
    print(f"| simulated: took | {seconds:.0f} s | |")
    measure_status(directory, experiment, num_runs)


def measure_status(directory: Path, experiment: ExperimentDir, num_runs: int) -> None:
    """From the summary, and without one, from every run's own file."""
    shell = Shell(directory)
    with_summary, calls = shell("status", str(experiment.path))
    show("status, all completed", with_summary, calls)
    experiment.summary_path.unlink()
    without, calls = shell("status", str(experiment.path))
    show(f"the same from {num_runs} files", without, calls)
    most = max(
        sum(file.is_file() for file in experiment.run(name).path.iterdir())
        for name in list(observe(experiment).statuses)[:100]
    )
    print(f"| most files of a run besides checkpoints and logs | {most} | |")


def show(what: str, seconds: float, num_calls: int) -> None:
    """A line of the table."""
    print(f"| {what} | {seconds:.2f} s | {num_calls} |", flush=True)


def main() -> None:
    """Measure each number of runs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num-runs", type=int, nargs="+", default=[10_000, 50_000])
    parser.add_argument("--smoke", action="store_true", help="100 runs, to see that it runs.")
    arguments = parser.parse_args()
    for num_runs in [100] if arguments.smoke else arguments.num_runs:
        print(f"\n| {num_runs} runs | took | calls of the scheduler |\n|---|--:|--:|")
        with tempfile.TemporaryDirectory() as directory:
            measure_commands(Path(directory), num_runs)
        with tempfile.TemporaryDirectory() as directory:
            run_to_the_end(Path(directory), num_runs)


if __name__ == "__main__":
    main()
