"""An experiment on a real cluster that is harmed for minutes: what was done, what became of it.

    python benchmarks/chaos.py --minutes 20 [--seed 1] [--num-runs 12] [--num-steps 20000]

Needs what the tests of the marker `slurm` need (docs/test-cluster.md). The same experiment is
trained undisturbed on this machine first; every run must complete once, with its numbers.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.chaos.trial import run_trial
from tests.slurm_cluster.cluster import SlurmCluster


def main() -> int:
    """Run a trial and print its table; 0 where nothing was lost, doubled or changed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--num-runs", type=int, default=12)
    parser.add_argument("--num-steps", type=int, default=20_000)
    arguments = parser.parse_args()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as directory, SlurmCluster() as cluster:
        trial = run_trial(
            cluster,
            Path(directory),
            seed=arguments.seed,
            seconds=60 * arguments.minutes,
            num_runs=arguments.num_runs,
            num_steps=arguments.num_steps,
        )
    print(f"{(time.monotonic() - begun) / 60:.0f} minutes, seed {arguments.seed}\n")
    print("| fault | times |\n|---|--:|")
    for name, count in sorted(trial.faults.items()):
        print(f"| {name} | {count} |")
    print("\n| outcome | runs |\n|---|--:|")
    print(f"| launched | {trial.num_runs} |")
    print(f"| attempts | {trial.num_attempts} |")
    print(f"| not completed | {len(trial.not_completed)} |")
    print(f"| completed more than once | {len(trial.completed_twice)} |")
    print(f"| other numbers than the undisturbed run's | {len(trial.different)} |")
    is_bad = trial.not_completed or trial.completed_twice or trial.different
    return 1 if is_bad else 0


if __name__ == "__main__":
    sys.exit(main())
