"""`sample`: the groups that it makes, and its faults with their lines."""

from __future__ import annotations

import pytest

from hpcexp.template import Template
from tests.template.conftest import Faults, Load, Write

SAMPLE = """\
workload: sps
sample:
  count: 8
  axes:
    lr: {log_uniform: [1e-5, 1e-2]}
    rnn_width: {integer: [8, 64]}
    loss_weights.kld: {uniform: [0, 0.1]}
"""


def list_values(template: Template) -> list[dict[str, object]]:
    return [dict(group.values) for group in template.groups()]


def test_each_sample_is_a_group_with_a_short_name(load: Load) -> None:
    template = load(SAMPLE)
    assert [group.name for group in template.groups()] == [f"sample_00{k}" for k in range(8)]
    for group in template.groups():
        config = template.config_for(group)
        assert config["lr"] == group.values["lr"]
        assert config["loss_weights"]["kld"] == group.values["loss_weights.kld"]


def test_every_combination_of_the_grid_meets_every_sample(load: Load) -> None:
    template = load(SAMPLE + "grid: {encoder_batch_norm: [true, false]}\nrand_inits: 3\n")
    assert template.num_runs == 2 * 8 * 3
    groups = template.groups()
    assert groups[0].name == "encoder_batch_norm=true,sample_000"
    assert [g.values["lr"] for g in groups[:8]] == [g.values["lr"] for g in groups[8:]]


def test_more_samples_leave_the_first_unchanged(load: Load) -> None:
    before = list_values(load(SAMPLE))
    assert list_values(load(SAMPLE, overrides=["sample.count=16"]))[:8] == before


def test_an_axis_may_depend_on_another(load: Load) -> None:
    template = load(
        """\
        workload: sps
        sample:
          count: 16
          axes:
            optimizer: {choice: [adam, sgd]}
            lr: {log_uniform: [1e-4, 1e-2]}
            weight_decay: {uniform: [0.01, 0.1], only_if: {optimizer: sgd}}
        """
    )
    for group in template.groups():
        is_sgd = group.values["optimizer"] == "sgd"
        assert ("weight_decay" in group.values) is is_sgd
        assert (template.config_for(group)["weight_decay"] > 0) is is_sgd


def test_an_extending_template_changes_axes_one_by_one(write: Write, load: Load) -> None:
    write(SAMPLE, "parent.yaml")
    template = load(
        "extends: parent.yaml\n"
        "sample: {count: 4, axes: {rnn_width: null, lr: {uniform: [0.1, 0.2]}}}\n"
    )
    assert template.sample == {
        "count": 4,
        "axes": {"lr": {"uniform": [0.1, 0.2]}, "loss_weights.kld": {"uniform": [0, 0.1]}},
    }


def test_a_profile_may_do_without_samples(load: Load) -> None:
    template = load(SAMPLE + "profiles: {smoke: {sample: null}}\n", profile="smoke")
    assert [group.name for group in template.groups()] == ["base"]


def test_the_command_line_changes_an_axis(load: Load) -> None:
    override = "sample.axes.loss_weights.kld={choice: [0, 1]}"
    template = load(SAMPLE, overrides=[override, "sample.seed=3"])
    assert {group.values["loss_weights.kld"] for group in template.groups()} == {0, 1}
    assert template.sample["seed"] == 3


@pytest.mark.parametrize(
    ("axes", "fault"),
    [
        (
            "rnn_widht: {integer: [1, 2]}",
            "t.yaml:5 sample.axes.rnn_widht: no such hyperparameter of workload sps; did you mean "
            "rnn_width?",
        ),
        (
            "lr: {uniform: [0, 1]}",
            "t.yaml:5 sample.axes.lr.uniform: 0 is out of range; must be a number greater than 0",
        ),
        (
            "latent_dim: {uniform: [1, 3]}",
            "t.yaml:5 sample.axes.latent_dim.uniform: 2.025 is not a whole number; must be a whole "
            "number of at least 1; write integer: [...]",
        ),
        (
            "optimizer: {choice: [adam, sgdd]}",
            "t.yaml:5 sample.axes.optimizer.choice: sgdd is not allowed; must be adam, adamw or "
            "sgd; did you mean sgd?",
        ),
        (
            "weight_decay: {uniform: [0, 1], only_if: {optimizr: sgd}}",
            "t.yaml:5 sample.axes.weight_decay.only_if.optimizr: no such axis; a condition names "
            "an axis of sample, grid or zip",
        ),
        (
            "rnn_width: {choice: [16, 32]}",
            "t.yaml:3 sample.count: the axes have 2 different combinations, 4 are asked for; write "
            "a smaller count, or make them a grid",
        ),
        (
            "lr: {normal: [0.001, 0.01]}",
            "t.yaml:5 sample.axes.lr: -0.0063 is out of range; must be a number greater than 0 "
            "(group sample_001 and 1 more)",
        ),
    ],
)
def test_faults_have_their_line(faults: Faults, axes: str, fault: str) -> None:
    found = faults(f"workload: sps\nsample:\n  count: 4\n  axes:\n    {axes}\n")
    assert fault in found


def test_an_axis_is_either_of_the_grid_or_sampled(faults: Faults) -> None:
    assert faults(SAMPLE + "grid: {lr: [0.1]}\n") == [
        "t.yaml:5 sample.axes.lr: overlaps the axis lr of the grid; keep one of the two"
    ]


def test_a_search_that_learns_has_nothing_beside_it(faults: Faults) -> None:
    [fault] = faults(SAMPLE + "  method: tpe\ngrid: {batch_size: [16, 32]}\n")
    assert "sample.method: tpe searches one space, and grid would multiply" in fault


def test_a_search_that_learns_launches_its_first_samples(load: Load) -> None:
    template = load(SAMPLE.replace("8", "64", 1) + "  method: tpe\n  start: 4\n")
    assert list_values(template) == list_values(load(SAMPLE))[:4]


def test_an_override_of_a_sampled_hyperparameter_is_refused(faults: Faults) -> None:
    [fault] = faults(SAMPLE, overrides=["params.lr=0.1"])
    assert "has no effect: lr is given by zip, sample or derive" in fault
