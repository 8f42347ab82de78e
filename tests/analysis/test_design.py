"""Each caveat, on plans that have it and on plans that do not."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from hpcexp.analysis.design import Caveat, find_caveats
from hpcexp.analysis.families import make_family
from hpcexp.analysis.groups import make_group_axis
from hpcexp.launch.plan import make_plan
from hpcexp.store.experiment import PlannedGroup
from hpcexp.template import load_template

BASE = "workload: sps\nrand_inits: 6\n"


def find(
    directory: Path, text: str, *, num_runs: int | None = None, running: int = 0
) -> dict[str, Caveat]:
    """The caveats of a template, as if it had been launched."""
    path = directory / "t.yaml"
    path.write_text(BASE + text)
    plan = make_plan(load_template(path))
    family = make_family(plan.comparison, plan.groups, make_group_axis(plan.groups))
    found = find_caveats(
        plan,
        plan.configs,
        family,
        num_runs={g.name: num_runs or plan.rand_inits for g in plan.groups},
        unfinished={"running": running},
    )
    return {caveat.kind: caveat for caveat in found}


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("grid: {rnn_width: [16, 32]}", []),
        ("grid: {rnn_width: [16, 32], lr: [0.1, 0.2]}", []),
        ("grid: {max_epoch: [100, 200]}", []),
        ("groups: {a: {lr: 0.1}, b: {lr: 0.2}}", []),
        ("grid: {batch_size: [16, 32]}\nparams: {max_step: 100}", []),
        ("grid: {batch_size: [16, 32]}", ["unequal_updates"]),
        ("grid: {train_set_size: [64, 128]}", ["unequal_updates"]),
        ("groups: {a: {lr: 0.1}, b: {lr: 0.2, rnn_width: 64}}", ["more_than_one_variable"]),
        ("zip: {lr: [0.1, 0.2], rnn_width: [16, 32]}", ["more_than_one_variable"]),
        ("grid: {rnn_width: [16, 32]}\nderive: {rnn_depth: rnn_width // 16}",
         ["more_than_one_variable"]),
        ("grid: {symmetry: [{rules: []}, {identity_probability: 0.5}]}", []),
        ("params: {scheduled_sampling: {duration: 2.0}}", ["unended_schedule"]),
        ("params: {scheduled_sampling: {kind: inverse_sigmoid, unit: epochs}, max_epoch: 4000}",
         ["unended_schedule"]),
        ("params: {loss_weights: {kld: {end: 1.0, duration: 1.5}}}", ["unended_schedule"]),
        ("params: {loss_weights: {kld: {end: 1.0, duration: 0.5}}}", []),
        ("grid: {dataset.kind: [bounce, one_dim]}", []),
    ],
)  # fmt: skip
def test_a_design_has_the_caveats_that_it_should(
    text: str, kinds: Sequence[str], tmp_path: Path
) -> None:
    assert list(find(tmp_path, f"{text}\n")) == kinds


def test_the_number_of_updates_and_what_to_do_about_it_are_said(tmp_path: Path) -> None:
    text = "grid: {batch_size: [16, 128]}\nparams: {max_epoch: 4000, train_set_size: 128}\n"
    message = find(tmp_path, text)["unequal_updates"].message
    assert "(4 000 to 32 000)" in message
    assert "does not show that batch_size is the cause" in message
    assert "params.max_step" in message


def test_a_caveat_concerns_the_groups_that_differ_in_it(tmp_path: Path) -> None:
    text = "grid: {batch_size: [16, 32], lr: [0.1, 0.2]}\n"
    caveat = find(tmp_path, text)["unequal_updates"]
    assert caveat.concerns("batch_size=16,lr=0.1", "batch_size=32,lr=0.1")
    assert not caveat.concerns("batch_size=16,lr=0.1", "batch_size=16,lr=0.2")


def test_what_else_was_varied_is_named(tmp_path: Path) -> None:
    text = (
        "groups:\n"
        "  one: {symmetry: {K: 1}, loss_weights: {predict: {image: 2.0, z: 0.1}}}\n"
        "  two: {symmetry: {K: 2}, loss_weights: {predict: {image: 1.0, z: 0.2}}}\n"
    )
    message = find(tmp_path, text)["more_than_one_variable"].message
    assert "symmetry.K, loss_weights.predict.image and loss_weights.predict.z" in message


@pytest.mark.parametrize(
    ("num_runs", "groups", "needed"), [(4, 2, None), (3, 2, 4), (4, 4, 5), (5, 4, None)]
)
def test_too_few_runs_are_told_with_how_many_it_takes(
    num_runs: int, groups: int, needed: int | None, tmp_path: Path
) -> None:
    text = f"grid: {{rnn_width: {list(range(10, 10 + groups))}}}\n"
    caveat = find(tmp_path, text, num_runs=num_runs).get("too_few_runs")
    if needed is None:
        assert caveat is None
    else:
        assert caveat is not None
        assert f"; {needed} runs per group are the least" in caveat.message


def test_runs_that_have_not_ended_are_told(tmp_path: Path) -> None:
    assert "unfinished_runs" not in find(tmp_path, "")
    message = find(tmp_path, "", running=1)["unfinished_runs"].message
    assert message.startswith("1 run has not ended (1 running)")


def find_generic(configs: dict[str, dict[str, Any]], variable: str, tmp_path: Path) -> set[str]:
    """Of results from elsewhere, whose workload nobody knows."""
    path = tmp_path / "t.yaml"
    path.write_text(BASE)
    groups = tuple(PlannedGroup(name, {variable: c[variable]}) for name, c in configs.items())
    plan = dataclasses.replace(make_plan(load_template(path)), workload="imported", groups=groups)
    family = make_family({}, groups, make_group_axis(groups))
    num_runs = dict.fromkeys(configs, 6)
    return {c.kind for c in find_caveats(plan, configs, family, num_runs=num_runs, unfinished={})}


def test_a_training_set_that_was_pooled_across_groups_is_told(tmp_path: Path) -> None:
    configs = {str(n): {"train_set_size": n, "train_set_pool": 256} for n in (64, 256)}
    assert find_generic(configs, "train_set_size", tmp_path) == {"pooled_training_set"}


def test_results_from_elsewhere_are_judged_by_what_they_tell(tmp_path: Path) -> None:
    configs = {
        str(n): {"batch_size": n, "train_set_size": 128, "max_epoch": 10, "lr": 1 / n}
        for n in (16, 32)
    }
    found = find_generic(configs, "batch_size", tmp_path)
    assert found == {"unequal_updates", "more_than_one_variable"}
    del configs["16"]["max_epoch"]
    assert "unequal_updates" not in find_generic(configs, "batch_size", tmp_path)


def test_a_laboratory_s_own_workload_is_judged_without_running_its_code(tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    path.write_text(BASE + "grid: {batch_size: [16, 32]}\n")
    plan = dataclasses.replace(make_plan(load_template(path)), workload="not_there.at_all:Thing")
    family = make_family(plan.comparison, plan.groups, make_group_axis(plan.groups))
    runs = {group.name: 6 for group in plan.groups}
    (caveat,) = find_caveats(plan, plan.configs, family, num_runs=runs, unfinished={})
    assert caveat.kind == "unequal_updates"
