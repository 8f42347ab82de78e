"""An experiment of two tasks on disk, with errors that are known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

from hpcexp.store.experiment import PlannedRun, create_experiment
from hpcexp.store.layout import ExperimentDir, RunDir
from hpcexp.store.metrics import MAX_BLOCK_ROWS, MetricsRow, MetricsWriter
from hpcexp.store.status import RunStatus, State, write_status
from hpcexp.workloads import load_primary_metric
from tests.analysis.builder import PROVENANCE, make_plan

STEPS_PER_EPOCH, ROWS_PER_STEP = 10, 8.0
NUM_EPOCHS = 4
COLUMNS = ("loss", "mean_error", "error.a", "error.b", "rows.a", "rows.b")

ERRORS = {"both": (0.1, 0.3), "in_turn": (0.4, 0.2)}
"""Final errors of initialisation 1, the median; 0 and 2 are 0.01 away."""
SINGLE = {"only_a": (0.2, None), "only_b": (None, 0.3)}


def build_tasks(experiments_dir: Path, *, name: str = "tasks", singles: bool) -> ExperimentDir:
    """Groups `both` and `in_turn` (a for two epochs, then b), or single-task models beside."""
    finals: Mapping[str, tuple[float | None, float | None]] = {
        **ERRORS,
        **(SINGLE if singles else {}),
    }
    plan = make_plan({"strategy": list(finals)}, rand_inits=3, name=name)
    plan = replace(
        plan, workload="multitask", primary_metric=asdict(load_primary_metric("multitask"))
    )
    experiment = create_experiment(experiments_dir, plan, sources=[], provenance=PROVENANCE)
    for run in plan.runs:
        _write_run(experiment.run(run.name), run, finals[run.group.removeprefix("strategy=")])
    return experiment


def _write_run(run_dir: RunDir, run: PlannedRun, final: tuple[float | None, float | None]) -> None:
    rows = []
    for epoch in range(NUM_EPOCHS + 1):
        if epoch:
            rows.append(_make_row(epoch, "train", {"loss": 1.0, **_count_rows(run, epoch, final)}))
        errors = {
            f"error.{task}": error + 0.01 * (run.rand_init - 1) + 0.1 * (NUM_EPOCHS - epoch)
            for task, error in zip("ab", final, strict=True)
            if error is not None
        }
        mean = sum(errors.values()) / len(errors)
        rows.append(_make_row(epoch, "validate", {"loss": 1.0, "mean_error": mean, **errors}))
    with MetricsWriter.start(
        run_dir.path, attempt=1, columns=COLUMNS, resume_step=None, flush_rows=MAX_BLOCK_ROWS
    ) as writer:
        writer.append(rows)
    steps = NUM_EPOCHS * STEPS_PER_EPOCH
    write_status(
        run_dir,
        RunStatus(
            state=State.COMPLETED, attempt=1, epoch=NUM_EPOCHS, num_epochs=NUM_EPOCHS, step=steps,
            num_steps=steps,
        ),
    )  # fmt: skip


def _count_rows(
    run: PlannedRun, epoch: int, final: tuple[float | None, float | None]
) -> dict[str, float]:
    if run.group.endswith("in_turn"):
        shares = (float(epoch <= 2), float(epoch > 2))
    else:
        shares = tuple(float(error is not None) for error in final)  # type: ignore[assignment]
    return {f"rows.{task}": ROWS_PER_STEP * s for task, s in zip("ab", shares, strict=True)}


def _make_row(epoch: int, split: str, values: Mapping[str, float]) -> MetricsRow:
    return MetricsRow(epoch, epoch * STEPS_PER_EPOCH, split, 1.0e9 + epoch, values)
