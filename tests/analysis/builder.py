"""Experiments for tests: whole directories on disk, with plausible metrics of known values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hpcexp.grid import expand_groups, expand_runs
from hpcexp.sampling import draw_described
from hpcexp.store.experiment import Plan, PlannedGroup, PlannedRun, create_experiment
from hpcexp.store.layout import ExperimentDir, RunDir
from hpcexp.store.metrics import MAX_BLOCK_ROWS, MetricsRow, MetricsWriter
from hpcexp.store.provenance import Provenance
from hpcexp.store.status import RunStatus, State, write_status
from hpcexp.workloads import load_primary_metric

TERMS = ("self_recon", "predict.image", "predict.z", "kld")
MSE = "linear_projection_mse"
COLUMNS = (
    "loss",
    *(f"loss.{term}" for term in TERMS),
    "grad_norm",
    "schedule.teacher_forcing",
    MSE,
    *(f"{MSE}.{axis}" for axis in ("x", "y", "height")),
)
UNTRAINED_MSE = 0.98
STEPS_PER_EPOCH = 8

PROVENANCE = Provenance(
    command="hpcexp launch",
    working_dir=".",
    host="node",
    user="someone",
    created="2022-12-13T16:26:35+00:00",
    time_zone="UTC",
    platform="Linux",
    python="3.11",
    python_path="python",
    packages={},
    git=None,
)


@dataclass(frozen=True)
class Fate:
    """How one run of a test ends: its state, its last epoch, and its final values."""

    mse: float = 0.3
    loss: float = 0.05
    state: State = State.COMPLETED
    epoch: int | None = None
    reason: str = ""
    hint: str = ""
    extra: Mapping[str, float] = field(default_factory=dict)
    foretold: Mapping[str, Any] | None = None
    trained_s: float = 0.0


def make_plan(
    grid: Mapping[str, Sequence[Any]],
    *,
    rand_inits: int,
    name: str = "xj_test",
    question: str = "does it matter?",
    sample: Mapping[str, Any] | None = None,
) -> Plan:
    groups = expand_groups(grid, samples=draw_described(sample or {}))
    return Plan(
        name=name,
        question=question,
        workload="sps",
        seed=0,
        rand_inits=rand_inits,
        params={},
        grid=grid,
        sample=sample or {},
        groups=tuple(PlannedGroup(g.name, g.values) for g in groups),
        runs=tuple(
            PlannedRun(r.name, r.group.name, r.rand_init)
            for r in expand_runs(groups, rand_inits=rand_inits)
        ),
        resources={},
        primary_metric=asdict(load_primary_metric("sps")),
        configs={g.name: dict(g.values) for g in groups},
    )


def build_experiment(
    experiments_dir: Path,
    grid: Mapping[str, Sequence[Any]],
    *,
    rand_inits: int = 3,
    num_epochs: int = 20,
    fate: Callable[[PlannedRun], Fate] = lambda run: Fate(),
    question: str = "does it matter?",
    name: str = "xj_test",
    eval_every: int = 1,
    sample: Mapping[str, Any] | None = None,
) -> ExperimentDir:
    """Launch an experiment and let every run meet its fate."""
    plan = make_plan(grid, rand_inits=rand_inits, name=name, question=question, sample=sample)
    experiment = create_experiment(experiments_dir, plan, sources=[], provenance=PROVENANCE)
    for run in plan.runs:
        write_run(
            experiment.run(run.name),
            fate(run),
            num_epochs=num_epochs,
            seed=run.rand_init,
            eval_every=eval_every,
        )
    return experiment


def write_run(
    run_dir: RunDir, fate: Fate, *, num_epochs: int, seed: int = 0, eval_every: int = 1
) -> None:
    """Write the metrics and the status of a run; a pending one has recorded nothing."""
    if fate.state == State.PENDING:
        return
    epoch = num_epochs if fate.epoch is None else fate.epoch
    rows = make_rows(fate, num_epochs=num_epochs, last=epoch, seed=seed, eval_every=eval_every)
    write_rows(run_dir, rows)
    write_status(
        run_dir,
        RunStatus(
            state=fate.state,
            attempt=1,
            epoch=epoch,
            num_epochs=num_epochs,
            step=epoch * STEPS_PER_EPOCH,
            num_steps=num_epochs * STEPS_PER_EPOCH,
            reason=fate.reason,
            hint=fate.hint,
            metrics={"loss": fate.loss, MSE: fate.mse},
            foretold=fate.foretold,
            trained_s=fate.trained_s,
        ),
    )


def write_rows(run_dir: RunDir, rows: Sequence[MetricsRow]) -> None:
    with MetricsWriter.start(
        run_dir.path, attempt=1, columns=COLUMNS, resume_step=None, flush_rows=MAX_BLOCK_ROWS
    ) as writer:
        for block in _split(rows):
            writer.append(block)


def _split(rows: Sequence[MetricsRow]) -> list[Sequence[MetricsRow]]:
    return [rows[i : i + MAX_BLOCK_ROWS] for i in range(0, len(rows), MAX_BLOCK_ROWS)]


def make_rows(
    fate: Fate, *, num_epochs: int, last: int, seed: int, eval_every: int = 1
) -> list[MetricsRow]:
    """Rows that decay, with noise, to exactly the fate's values at epoch `last`."""
    random = np.random.default_rng(seed)
    rows = []
    for epoch in range(last + 1):
        validates = epoch % eval_every == 0 or epoch == last
        if epoch:
            rows.append(_make_row(fate, epoch, "train", num_epochs, last, random))
        if validates:
            rows.append(_make_row(fate, epoch, "validate", num_epochs, last, random))
    return rows


def _make_row(
    fate: Fate, epoch: int, split: str, num_epochs: int, last: int, random: np.random.Generator
) -> MetricsRow:
    decay = _decay(epoch, num_epochs=num_epochs, last=last)
    noise = 1.0 if epoch in (0, last) else float(np.exp(0.15 * random.standard_normal()))
    loss = fate.loss * (40.0**decay) * noise
    values = {"loss": loss, **{f"loss.{t}": loss / 10**i for i, t in enumerate(TERMS, start=1)}}
    if split == "train":
        values |= {"grad_norm": decay, "schedule.teacher_forcing": max(0.0, decay)}
    else:
        mse = fate.mse + (UNTRAINED_MSE - fate.mse) * decay
        mse *= 1.0 if epoch in (0, last) else float(np.exp(0.05 * random.standard_normal()))
        values |= {MSE: mse, **{f"{MSE}.{axis}": mse for axis in ("x", "y", "height")}}
    if epoch == last and split == "validate":
        values |= fate.extra
    return MetricsRow(epoch, epoch * STEPS_PER_EPOCH, split, 1.0e9 + epoch, values)


def _decay(epoch: int, *, num_epochs: int, last: int) -> float:
    """From 1 before training to exactly 0 at the last epoch."""
    if epoch == last:
        return 0.0 if last else 1.0
    return float(np.exp(-5 * epoch / num_epochs))
