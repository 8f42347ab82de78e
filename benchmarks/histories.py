"""Random histories on the simulated cluster: how many states were told that were not true.

    python benchmarks/histories.py [--first 0] [--num-histories 10000] [--jobs 4] [--smoke]

Each history is an experiment of four runs under faults at random times; the truth is the
simulator's own. `--first` is the first seed, to play them in pieces; `--seed` plays a single one.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.simulated_cluster.history import History


def play(seed: int) -> tuple[int, list[str], Counter[str]]:
    """One history: its seed, the wrong states, and what happened on its cluster."""
    with tempfile.TemporaryDirectory() as directory:
        history = History(seed, Path(directory))
        wrong = [str(wrong) for wrong in history.play()]
        return seed, wrong, history.cluster.num_events


def main() -> int:
    """Play and count; 0 where nothing was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--num-histories", type=int, default=10_000)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--seed", type=int)
    parser.add_argument("--smoke", action="store_true", help="A handful, to see that it runs.")
    arguments = parser.parse_args()
    if arguments.smoke:
        arguments.num_histories, arguments.jobs = 4, 1
    seeds: Sequence[int] = range(arguments.first, arguments.first + arguments.num_histories)
    if arguments.seed is not None:
        seeds = [arguments.seed]
    begun, num_wrong, num_played = time.monotonic(), 0, 0
    happened: Counter[str] = Counter()
    with multiprocessing.get_context("spawn").Pool(arguments.jobs) as pool:
        for seed, wrong, events in pool.imap_unordered(play, seeds, chunksize=10):
            num_played += 1
            num_wrong += len(wrong)
            happened += events
            for text in wrong:
                print(f"seed {seed}: {text}", flush=True)
            if num_played % 1000 == 0:
                print(f"{num_played} histories, {num_wrong} wrong states", flush=True)
    print(f"{num_played} histories in {time.monotonic() - begun:.0f} s, {num_wrong} wrong states\n")
    print("| what happened to jobs | times |\n|---|--:|")
    for name, count in happened.most_common():
        print(f"| {name} | {count} |")
    return 1 if num_wrong else 0


if __name__ == "__main__":
    sys.exit(main())
