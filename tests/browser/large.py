"""A thousand runs in seconds: twenty courses of training, dealt out."""

from __future__ import annotations

from pathlib import Path

from hpcexp.store.experiment import create_experiment
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.status import RunStatus, State, write_status
from tests.analysis.builder import MSE, PROVENANCE, Fate, make_plan, make_rows, write_rows

NUM_EPOCHS = 100
NUM_COURSES = 20


def build_large(experiments_dir: Path, *, num_runs: int = 1000) -> ExperimentDir:
    """Ten groups of equally many runs; the last course diverges."""
    plan = make_plan({"batch_size": [2**i for i in range(10)]}, rand_inits=num_runs // 10)
    experiment = create_experiment(experiments_dir, plan, sources=[], provenance=PROVENANCE)
    fates = [Fate(mse=0.05 * (i + 1), loss=0.01 * (i + 1)) for i in range(NUM_COURSES)]
    fates[-1] = Fate(state=State.DIVERGED, epoch=30, reason="loss is NaN")
    courses = [
        make_rows(fate, num_epochs=NUM_EPOCHS, last=fate.epoch or NUM_EPOCHS, seed=seed)
        for seed, fate in enumerate(fates)
    ]
    for number, run in enumerate(plan.runs):
        course = (number * 7 + number // 100) % NUM_COURSES
        fate = fates[course]
        write_rows(experiment.run(run.name), courses[course])
        status = RunStatus(
            state=fate.state,
            attempt=1,
            epoch=fate.epoch or NUM_EPOCHS,
            num_epochs=NUM_EPOCHS,
            reason=fate.reason,
            metrics={MSE: fate.mse},
        )
        write_status(experiment.run(run.name), status)
    return experiment
