"""How long a launch takes is told by runs of the same shape, or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hpcexp.launch.estimate import Estimate, estimate_times
from hpcexp.launch.plan import make_plan
from hpcexp.store.experiment import Plan, create_experiment
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.status import State, read_status, write_status
from hpcexp.template import load_template
from tests.store.conftest import PROVENANCE


def plan(directory: Path, **template: object) -> Plan:
    """Two groups of two shapes: 8 steps an epoch."""
    path = directory / "t.yaml"
    base = {"workload": "sps", "params": {"max_epoch": 100}, "grid": {"rnn_width": [4, 6]}}
    path.write_text(json.dumps({**base, **template}))
    return make_plan(load_template(path))


def train(directory: Path, plan: Plan, paces: dict[str, float], *, step: int = 100) -> str:
    """An earlier experiment, some of whose runs took so many seconds a step; its name."""
    experiment = create_experiment(
        directory / "experiments", plan, sources=[], provenance=PROVENANCE
    )
    for name, pace in paces.items():
        note(experiment, name, step=step, seconds=pace * step)
    return experiment.name


def note(experiment: ExperimentDir, name: str, *, step: int, seconds: float) -> None:
    run_dir = experiment.run(name)
    status = read_status(run_dir).replace(state=State.FAILED, step=step, trained_s=seconds)
    write_status(run_dir, status)


def estimate(directory: Path, plan: Plan) -> Estimate | None:
    return estimate_times(plan, directory / "experiments")


def test_the_range_is_that_of_earlier_runs_of_the_shape_in_steps_of_this_launch(
    tmp_path: Path,
) -> None:
    before = plan(tmp_path, rand_inits=2, params={"lr": 0.1, "max_epoch": 7})
    paces = {"rnn_width=4_rand_0": 0.5, "rnn_width=4_rand_1": 1.0, "rnn_width=6_rand_0": 2.0}
    name = train(tmp_path, before, paces)
    found = estimate(tmp_path, plan(tmp_path, name="next", rand_inits=3))
    assert found == Estimate(
        seconds={"rnn_width=4": (400, 800), "rnn_width=6": (1600, 1600)},
        num_runs=3,
        sources=(name,),
        num_hours=(3 * 2000 / 3600, 3 * 2400 / 3600),
    )


def test_a_group_of_another_shape_is_not_guessed(tmp_path: Path) -> None:
    train(tmp_path, plan(tmp_path), {"rnn_width=4_rand_0": 0.5})
    found = estimate(tmp_path, plan(tmp_path, params={"max_epoch": 100}))
    assert found is not None
    assert list(found.seconds) == ["rnn_width=4"]
    assert estimate(tmp_path, plan(tmp_path, params={"batch_size": 32})) is None


@pytest.mark.parametrize("resources", [{"gpus": 1}, {"packing": "lanes"}])
def test_jobs_of_another_kind_tell_nothing(tmp_path: Path, resources: dict[str, object]) -> None:
    train(tmp_path, plan(tmp_path, resources=resources), {"rnn_width=4_rand_0": 0.5})
    assert estimate(tmp_path, plan(tmp_path)) is None


def test_where_nothing_trained_for_long_nothing_is_known(tmp_path: Path) -> None:
    assert estimate(tmp_path, plan(tmp_path)) is None
    train(tmp_path, plan(tmp_path), {"rnn_width=4_rand_0": 0.5}, step=1)
    assert estimate(tmp_path, plan(tmp_path)) is None


def test_runs_that_share_a_job_have_no_sum(tmp_path: Path) -> None:
    resources = {"packing": "lanes", "runs_per_job": 4}
    train(tmp_path, plan(tmp_path, resources=resources), {"rnn_width=4_rand_0": 0.5})
    found = estimate(tmp_path, plan(tmp_path, resources=resources))
    assert found is not None
    assert found.num_hours is None


def test_damaged_experiments_are_passed_over(tmp_path: Path) -> None:
    name = train(tmp_path, plan(tmp_path), {"rnn_width=4_rand_0": 0.5})
    (tmp_path / "experiments" / name / "plan.json").write_text("{")
    assert estimate(tmp_path, plan(tmp_path)) is None
