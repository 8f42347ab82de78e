"""A launch says which experiment has its configurations, exactly, and nothing else."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from hpcexp.launch.existing import Existing, find_existing
from hpcexp.launch.plan import make_plan
from hpcexp.store.experiment import Plan, create_experiment, hash_config, read_plan, write_plan
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.status import State, read_status, write_status
from hpcexp.template import load_template
from tests.store.conftest import PROVENANCE


def plan(directory: Path, **template: object) -> Plan:
    path = directory / "t.yaml"
    path.write_text(json.dumps({"workload": "sps", "grid": {"rnn_width": [4, 6]}, **template}))
    return make_plan(load_template(path))


def launch(directory: Path, plan: Plan) -> ExperimentDir:
    return create_experiment(directory / "experiments", plan, sources=[], provenance=PROVENANCE)


def find(directory: Path, plan: Plan) -> Existing:
    found = find_existing(plan, directory / "experiments")
    assert found is not None
    return found


def test_all_groups_are_found_with_the_runs_that_finished(tmp_path: Path) -> None:
    experiment = launch(tmp_path, plan(tmp_path, rand_inits=2))
    run_dir = experiment.run("rnn_width=4_rand_1")
    write_status(run_dir, read_status(run_dir).replace(state=State.COMPLETED))
    found = find(tmp_path, plan(tmp_path, name="again", rand_inits=5))
    assert found == Existing(experiment.name, 2, 2, num_runs=4, num_finished=1, seed=None)
    assert found.describe() == (
        f"all 2 groups were launched before: {experiment.name} (1 of its 4 runs finished); "
        f"more initialisations: hpcexp extend {experiment.name} --rand-inits NUMBER"
    )


def test_defaults_that_are_written_out_and_names_of_groups_make_no_difference(
    tmp_path: Path,
) -> None:
    launch(tmp_path, plan(tmp_path))
    config = plan(tmp_path).configs["rnn_width=4"]
    spelled = plan(tmp_path, grid={}, params={"rnn_width": 4, "lr": config["lr"]})
    found = find(tmp_path, spelled)
    assert (found.num_equal, found.num_groups, found.num_runs) == (1, 1, 1)
    assert found.describe().startswith("this configuration was launched before: ")


def test_one_value_that_differs_is_another_configuration(tmp_path: Path) -> None:
    launch(tmp_path, plan(tmp_path))
    other = plan(tmp_path, params={"lr": 0.0011})
    assert find_existing(other, tmp_path / "experiments") is None
    assert find_existing(other, tmp_path / "nowhere") is None


def test_some_groups_and_another_seed_are_told(tmp_path: Path) -> None:
    launch(tmp_path, plan(tmp_path, seed=3))
    found = find(tmp_path, plan(tmp_path, grid={"rnn_width": [6, 8, 10]}))
    assert found.describe().startswith("1 of the 3 groups was launched before with seed 3: ")


def test_the_experiment_with_most_of_the_groups_is_told(tmp_path: Path) -> None:
    all_of_them = launch(tmp_path, plan(tmp_path, name="all"))
    launch(tmp_path, plan(tmp_path, name="one", grid={"rnn_width": [4]}))
    assert find(tmp_path, plan(tmp_path)).name == all_of_them.name


def test_an_extended_plan_keeps_the_hashes_of_the_groups_it_does_not_name(tmp_path: Path) -> None:
    experiment = launch(tmp_path, plan(tmp_path))
    before = read_plan(experiment)
    longer = {"rnn_width=4": {"max_epoch": 9}}
    write_plan(experiment, dataclasses.replace(before, configs=longer))
    after = read_plan(experiment).config_hashes
    assert after["rnn_width=6"] == before.config_hashes["rnn_width=6"]
    assert after["rnn_width=4"] == hash_config("sps", longer["rnn_width=4"])


@pytest.mark.parametrize("text", ["", "{", "null"])
def test_a_damaged_experiment_is_passed_over(tmp_path: Path, text: str) -> None:
    whole = launch(tmp_path, plan(tmp_path))
    damaged = launch(tmp_path, plan(tmp_path, name="damaged"))
    damaged.plan_path.write_text(text + " ".join(read_plan(whole).config_hashes.values()))
    assert find(tmp_path, plan(tmp_path)).name == whole.name


def test_hashes_are_of_values_and_not_of_their_order() -> None:
    assert hash_config("sps", {"a": 1, "b": {"c": 2, "d": 3}}) == hash_config(
        "sps", {"b": {"d": 3, "c": 2}, "a": 1}
    )
    assert hash_config("sps", {"a": 1}) != hash_config("unmix", {"a": 1})
