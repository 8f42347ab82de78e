"""From N runs to a summary and a boxplot: hpcexp beside one CSV per run and plain pandas.

    python benchmarks/aggregate.py               # 200 runs; about 1 GB of disk, a few minutes
    python benchmarks/aggregate.py --runs 1000
    python benchmarks/aggregate.py --smoke       # seconds: does it still run?

Both ways read the same numbers, warm (the best of the repeats counts): two splits of every
epoch with 12 metrics. The peer is the usual script: `pandas.read_csv` for each run, `concat`,
the last validation by `groupby`, the median by group. Before a time counts, the medians of
both must agree. Drawing is timed on hpcexp's side only: the peer would use the same library. Last,
the same look again, of results that have not changed.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from hpcexp.analysis import Results, load
from hpcexp.analysis.drawn import draw_figures
from hpcexp.analysis.figures import FIGURES
from hpcexp.analysis.figures.media import SCREEN
from hpcexp.analysis.rows_cache import keep_rows
from hpcexp.analysis.summary import summarise
from hpcexp.grid import expand_groups, expand_runs
from hpcexp.store.experiment import Plan, PlannedGroup, PlannedRun, create_experiment
from hpcexp.store.layout import ExperimentDir, RunDir
from hpcexp.store.metrics import MAX_BLOCK_ROWS, SPLITS, MetricsRow, MetricsWriter, read_metrics
from hpcexp.store.provenance import collect_provenance
from hpcexp.store.status import RunStatus, State, write_status
from hpcexp.workloads import load_primary_metric

PRIMARY = "linear_projection_mse"
METRICS = (
    *("loss", "loss.self_recon", "loss.predict.image", "loss.predict.z", "loss.kld"),
    *("grad_norm", "schedule.teacher_forcing", PRIMARY),
    *(f"{PRIMARY}.{part}" for part in ("x", "y", "height")),
    "extra",
)
LOOKED_AT = ("boxplots", "metric_curves")
NUM_GROUPS = 10
NUM_DISTINCT = 10  # runs whose numbers are drawn; the others are copies

_T = TypeVar("_T")


@dataclass(frozen=True)
class Size:
    """How much there is to read."""

    num_runs: int
    num_epochs: int
    num_repeats: int

    @property
    def num_rows(self) -> int:
        """Rows of all runs: both splits of every epoch, and validation before training."""
        return self.num_runs * (2 * self.num_epochs + 1)


def main() -> None:
    """Make the runs, read and draw them, print the table."""
    size = _parse_arguments()
    with tempfile.TemporaryDirectory(prefix="aggregate-") as directory:
        experiment = make_experiment(Path(directory), size)
        print(f"{size.num_runs} runs x {size.num_epochs} epochs: {size.num_rows:,} rows")
        (results, medians), read_s = time_best(lambda: aggregate(experiment), size.num_repeats)
        drawn = {
            " and ".join(names): time_best(partial(draw, results, names), 1)
            for names in (LOOKED_AT, *((name,) for name in FIGURES if name not in LOOKED_AT))
        }
        peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # KiB on Linux
        keep_rows(results)
        again, again_s = time_best(lambda: look_again(experiment), size.num_repeats)
        np.testing.assert_array_equal(again, medians)
        theirs, peer_s = time_best(lambda: aggregate_csv(experiment), min(2, size.num_repeats))
        np.testing.assert_allclose(medians, theirs, rtol=1e-5)
        print("\n| read and summarise | seconds | times as fast |\n|---|--:|--:|")
        print(f"| one CSV per run, pandas | {peer_s:.2f} | 1.0 |")
        print(f"| hpcexp.analysis | {read_s:.2f} | {peer_s / read_s:.1f} |")
        print("\n| draw and save | seconds | files |\n|---|--:|--:|")
        for name, (num_files, draw_s) in drawn.items():
            print(f"| {name} | {draw_s:.2f} | {num_files} |")
        total_s = read_s + drawn[" and ".join(LOOKED_AT)][1]
        print(f"\nread, boxplots and curves: {total_s:.1f} s, {peak_gb:.1f} GB at most;")
        print(f"the same again, from what was kept: {again_s:.2f} s")


def aggregate(experiment: ExperimentDir) -> tuple[Results, list[float]]:
    """hpcexp: frames and the median of each group."""
    results = load(experiment)
    assert len(results.metrics)  # all rows, in a frame
    return results, [group.final.median for group in summarise(results).groups]


def look_again(experiment: ExperimentDir) -> list[float]:
    """The medians and the same figures of results that have not changed."""
    results = load(experiment)
    assert results.rows.is_kept
    draw_figures(results, LOOKED_AT, medium=SCREEN)
    return [group.final.median for group in summarise(results).groups]


def aggregate_csv(experiment: ExperimentDir) -> list[float]:
    """The peer: every CSV, one frame, last validation of each run, median of each group."""
    frames = []
    for path in sorted(experiment.runs_dir.glob("*/metrics.csv")):
        group, _, _ = path.parent.name.rpartition("_rand_")
        frames.append(pd.read_csv(path).assign(run=path.parent.name, group=group))
    frame = pd.concat(frames, ignore_index=True)
    last = frame[frame["split"] == "validate"].groupby("run").last()
    medians = last.groupby("group")[PRIMARY].median()
    return [float(medians[f"lr={value}"]) for value in _list_values()]


def draw(results: Results, names: Sequence[str]) -> int:
    """Draw and write figure functions' drawings."""
    return len(draw_figures(results, names, medium=SCREEN))


def time_best(function: Callable[[], _T], num_repeats: int) -> tuple[_T, float]:
    """What a function returns, and its best time in seconds."""
    times = []
    for _ in range(num_repeats):
        start = time.perf_counter()
        result = function()
        times.append(time.perf_counter() - start)
    return result, min(times)


def make_experiment(directory: Path, size: Size) -> ExperimentDir:
    """An experiment of finished runs, each with its metrics in both formats."""
    groups = expand_groups({"lr": _list_values()})
    planned = expand_runs(groups, rand_inits=size.num_runs // NUM_GROUPS)
    plan = Plan(
        name="aggregate",
        question="how fast?",
        workload="sps",
        seed=0,
        rand_inits=size.num_runs // NUM_GROUPS,
        params={},
        grid={"lr": _list_values()},
        groups=tuple(PlannedGroup(g.name, g.values) for g in groups),
        runs=tuple(PlannedRun(r.name, r.group.name, r.rand_init) for r in planned),
        resources={},
        primary_metric=asdict(load_primary_metric("sps")),
        configs={g.name: {} for g in groups},
    )
    experiment = create_experiment(directory, plan, sources=[], provenance=collect_provenance())
    run_dirs = [experiment.run(run.name) for run in plan.runs]
    for number, run_dir in enumerate(run_dirs):
        if number < NUM_DISTINCT:
            write_run(run_dir, seed=number, num_epochs=size.num_epochs)
        else:
            copy_run(run_dirs[number % NUM_DISTINCT], run_dir)
        epochs = size.num_epochs
        write_status(run_dir, RunStatus(state=State.COMPLETED, epoch=epochs, num_epochs=epochs))
    return experiment


def write_run(run_dir: RunDir, *, seed: int, num_epochs: int) -> None:
    """Metrics that a writer appends, and the same as CSV."""
    random = np.random.default_rng(seed)
    keys = [(0, "validate")] + [(e, s) for e in range(1, num_epochs + 1) for s in SPLITS]
    values = random.lognormal(mean=-2, size=(len(keys), len(METRICS)))
    rows = [
        MetricsRow(epoch, epoch, split, 0.0, dict(zip(METRICS, row, strict=True)))
        for (epoch, split), row in zip(keys, values.tolist(), strict=True)
    ]
    with MetricsWriter.start(
        run_dir.path, attempt=1, columns=METRICS, resume_step=None, flush_rows=MAX_BLOCK_ROWS
    ) as writer:
        for first in range(0, len(rows), MAX_BLOCK_ROWS):
            writer.append(rows[first : first + MAX_BLOCK_ROWS])
    write_csv(run_dir)


def write_csv(run_dir: RunDir) -> None:
    """What a script that logs to CSV would have written: float32 in full."""
    table = read_metrics(run_dir.path)
    columns: dict[str, Any] = {
        "epoch": table.epoch,
        "step": table.step,
        "split": np.array(SPLITS)[table.split],
        **{name: table.column(name) for name in table.columns},
    }
    pd.DataFrame(columns).to_csv(run_dir.path / "metrics.csv", index=False)


def copy_run(source: RunDir, target: RunDir) -> None:
    """The same numbers again, in files of their own."""
    for path in source.path.glob("metrics.*"):
        shutil.copyfile(path, target.path / path.name)


def _list_values() -> list[float]:
    return [float(f"{1e-4 * 2**i:g}") for i in range(NUM_GROUPS)]


def _parse_arguments(arguments: Sequence[str] | None = None) -> Size:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=200, help="a multiple of 10")
    parser.add_argument("--epochs", type=int, default=4000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--smoke", action="store_true", help="tiny, in seconds")
    given = parser.parse_args(arguments)
    if given.smoke:
        return Size(num_runs=20, num_epochs=50, num_repeats=1)
    if given.runs < NUM_GROUPS or given.runs % NUM_GROUPS:
        parser.error(f"--runs {given.runs}: must be a multiple of {NUM_GROUPS}")
    return Size(given.runs, given.epochs, given.repeats)


if __name__ == "__main__":
    main()
