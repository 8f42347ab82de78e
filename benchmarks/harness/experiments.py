"""Experiments on disk for the benchmarks of commands and workers."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hpcexp.grid import expand_groups, expand_runs
from hpcexp.store.experiment import Plan, PlannedGroup, PlannedRun, create_experiment
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.provenance import collect_provenance
from hpcexp.train.config import TrainConfig
from hpcexp.train.fit import Training
from hpcexp.worker.interruption import Interruption
from hpcexp.worker.run import attempt_run
from hpcexp.workloads import load_primary_metric


def make_experiment(
    directory: Path,
    *,
    config: TrainConfig | None = None,
    lrs: Sequence[float] = (0.001,),
    rand_inits: int = 1,
) -> ExperimentDir:
    """An experiment of `sps`, one group for each learning rate, whose runs all are pending."""
    params: Mapping[str, Any] = {} if config is None else config.model_dump(mode="json")
    groups = expand_groups({"lr": list(lrs)})
    plan = Plan(
        name="bench",
        question="how fast?",
        workload="sps",
        seed=0,
        rand_inits=rand_inits,
        params={},
        grid={"lr": list(lrs)},
        groups=tuple(PlannedGroup(g.name, g.values) for g in groups),
        runs=tuple(
            PlannedRun(r.name, r.group.name, r.rand_init)
            for r in expand_runs(groups, rand_inits=rand_inits)
        ),
        resources={},
        primary_metric=asdict(load_primary_metric("sps")),
        configs={g.name: {**params, **g.values} for g in groups},
    )
    return create_experiment(directory, plan, sources=[], provenance=collect_provenance())


@contextmanager
def training_in_directory(
    directory: Path, config: TrainConfig, *, num_threads: int
) -> Generator[Training, None, None]:
    """A run in an experiment of its own, prepared as a worker does it.

    What is done to it within is its training; its directory says nothing of how it ended.
    """
    experiment = make_experiment(directory, config=config, lrs=[config.lr])
    (run_path,) = experiment.runs_dir.iterdir()
    attempted = attempt_run(
        experiment.run(run_path.name), interruption=Interruption(), num_threads=num_threads
    )
    try:
        yield next(attempted)
    finally:
        attempted.close()
