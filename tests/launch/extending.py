"""Small experiments to be extended, of templates that are given as Python values."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hpcexp.launch.plan import make_plan
from hpcexp.store.experiment import create_experiment, read_plan
from hpcexp.store.layout import ExperimentDir
from hpcexp.template import load_template
from tests.store.conftest import PROVENANCE
from tests.train.conftest import TINY

# Every default but the schedule, which reads the length of the whole run.
STEADY: dict[str, Any] = {**TINY, "scheduled_sampling": {"unit": "epochs", "duration": 3.0}}


def make(directory: Path, *, params: dict[str, Any] | None = None, **keys: Any) -> ExperimentDir:
    """An experiment whose runs wait: two widths with two initialisations, or what `keys` say."""
    grid = {"rnn_width": [4, 6]}
    shared = {"params": {**STEADY, **(params or {})}, "grid": grid, "rand_inits": 2}
    return plan_template(directory, {"name": "tiny", "workload": "sps", **shared, **keys})


def plan_template(directory: Path, template: dict[str, Any]) -> ExperimentDir:
    """An experiment of a template, whose runs wait."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "tiny.yaml"
    path.write_text(json.dumps(template))  # JSON is YAML
    plan = make_plan(load_template(path))
    return create_experiment(directory / "experiments", plan, sources=[], provenance=PROVENANCE)


def list_inits(experiment: ExperimentDir) -> dict[str, list[int]]:
    """The initialisations of each group."""
    plan = read_plan(experiment)
    return {
        group.name: [run.rand_init for run in plan.runs if run.group == group.name]
        for group in plan.groups
    }
