"""`zip`, `groups`, `exclude` and `derive`: what they make, and the faults that they may have."""

from __future__ import annotations

from typing import Any

import pytest

from hpcexp.template import Template
from tests.template.conftest import Faults, Load, Write

HEAD = "workload: sps\n"


def list_names(template: Template) -> list[str]:
    return [group.name for group in template.groups()]


def list_values(template: Template, *names: str) -> list[tuple[Any, ...]]:
    """Hyperparameters of each group, by dotted name."""
    found = []
    for group in template.groups():
        values = []
        for name in names:
            value: Any = template.config_for(group)
            for part in name.split("."):
                value = value[part]
            values.append(value)
        found.append(tuple(values))
    return found


# zip


def test_the_axes_of_a_zip_move_together(load: Load) -> None:
    template = load(
        HEAD + "zip: {max_epoch: [4000, 9000], scheduled_sampling.duration: [40, 90]}\n"
    )
    assert list_values(template, "max_epoch", "scheduled_sampling.duration") == [
        (4000, 40),
        (9000, 90),
    ]
    assert list_names(template)[0] == "max_epoch=4000,scheduled_sampling.duration=40"


def test_a_value_may_stand_twice_in_an_axis_of_a_zip(load: Load) -> None:
    template = load(HEAD + "zip: {rnn_dropout: [0.0, 0.5, 0.5], rnn_width: [16, 24, 32]}\n")
    assert list_values(template, "rnn_dropout", "rnn_width") == [(0, 16), (0.5, 24), (0.5, 32)]


def test_zips_multiply_with_each_other_and_with_the_grid(load: Load) -> None:
    template = load(
        HEAD
        + "zip: [{lr: [0.1, 0.2], rnn_width: [1, 2]}, {max_epoch: [5, 6], batch_size: [7, 8]}]\n"
        + "grid: {latent_dim: [3, 4]}\nrand_inits: 3\n"
    )
    assert list_values(template, "latent_dim", "lr", "rnn_width", "max_epoch", "batch_size")[
        :3
    ] == [
        (3, 0.1, 1, 5, 7),
        (3, 0.1, 1, 6, 8),
        (3, 0.2, 2, 5, 7),
    ]
    assert template.num_runs == 2 * 2 * 2 * 3


# groups


def test_named_groups_are_comparisons_that_are_no_grid(load: Load) -> None:
    template = load(
        HEAD
        + "params: {batch_size: 8, loss_weights: {kld: 0.5}}\n"
        + "groups: {xj: {batch_size: 32, loss_weights: {predict: {z: 0.1}}}, dan: {}}\n"
    )
    assert list_names(template) == ["xj", "dan"]
    names = ("batch_size", "loss_weights.kld", "loss_weights.predict.z")
    assert list_values(template, *names) == [(32, 0.5, 0.1), (8, 0.5, 3.84e-3)]


def test_named_groups_multiply_with_the_grid(load: Load) -> None:
    template = load(HEAD + "groups: {a: {lr: 0.1}, b: {}}\ngrid: {rnn_width: [4, 8]}\n")
    assert list_names(template) == [
        "a,rnn_width=4",
        "a,rnn_width=8",
        "b,rnn_width=4",
        "b,rnn_width=8",
    ]
    assert template.groups()[0].values == {"group": "a", "rnn_width": 4}


def test_an_axis_wins_over_what_a_named_group_says(load: Load) -> None:
    template = load(HEAD + "groups: {a: {rnn_width: 5}}\ngrid: {rnn_width: [4, 8]}\n")
    assert list_values(template, "rnn_width") == [(4,), (8,)]


def test_a_named_group_may_change_the_kind_of_a_section(load: Load) -> None:
    template = load(
        HEAD
        + "params: {dataset: {kind: bounce, max_speed: 1.0, resolution: 16}}\n"
        + "groups: {one: {}, two: {dataset: {kind: two_body}}}\n"
    )
    kinds = list_values(template, "dataset.kind", "dataset.resolution")
    assert kinds == [("bounce", 16), ("two_body", 32)]


# exclude


def test_combinations_are_left_out(load: Load) -> None:
    template = load(
        HEAD
        + "grid: {lr: [0.1, 0.2], rnn_width: [4, 8]}\ngroups: {a: {}, b: {}}\n"
        + "exclude: [{lr: 0.1, rnn_width: 8}, {group: b, rnn_width: 4.0}]\n"
    )
    assert list_names(template) == [
        "a,lr=0.1,rnn_width=4",
        "a,lr=0.2,rnn_width=4",
        "a,lr=0.2,rnn_width=8",
        "b,lr=0.2,rnn_width=8",
    ]
    assert template.num_runs == 4


# derive


def test_a_hyperparameter_is_computed_from_others_in_each_group(load: Load) -> None:
    template = load(
        HEAD
        + "grid: {batch_size: [16, 32]}\n"
        + "derive:\n"
        + "  scheduled_sampling.duration: max_epoch\n"
        + "  max_epoch: 32000 * batch_size // train_set_size\n"
    )
    assert list_values(template, "max_epoch", "scheduled_sampling.duration") == [
        (4000, 4000),
        (8000, 8000),
    ]
    assert list_names(template) == ["batch_size=16", "batch_size=32"]


def test_what_is_derived_wins_over_params_and_named_groups(load: Load) -> None:
    template = load(
        HEAD
        + "params: {max_epoch: 7}\ngroups: {a: {max_epoch: 8}, b: {lr: 0.5}}\n"
        + "derive: {max_epoch: int(lr * 1000)}\n"
    )
    assert list_values(template, "max_epoch") == [(1,), (500,)]


def test_derived_values_may_mend_what_would_not_fit_without_them(load: Load) -> None:
    """A batch of 128 does not fit 64 sequences; the derived one does."""
    template = load(
        HEAD
        + "params: {batch_size: 128}\ngrid: {train_set_size: [64, 256]}\n"
        + "derive: {batch_size: 'min(128, train_set_size)'}\n"
    )
    assert list_values(template, "batch_size") == [(64,), (128,)]


# Inheritance


BASE = (
    HEAD
    + "zip: {lr: [0.1, 0.2], rnn_width: [4, 8]}\n"
    + "groups: {a: {}, b: {}}\n"
    + "exclude: [{group: a, lr: 0.1}]\n"
    + "derive: {max_epoch: 10 * batch_size, eval_every: max_epoch // 10}\n"
)


def test_a_child_inherits_replaces_and_removes(write: Write, load: Load) -> None:
    write(BASE, "base.yaml")
    assert len(load("extends: base.yaml\n").groups()) == 3
    changed = load("extends: base.yaml\ngroups: {c: {}}\nexclude: null\n")
    assert [g.values["group"] for g in changed.groups()] == ["c", "c"]
    bare = load("extends: base.yaml\nzip: null\ngroups: null\nexclude: null\n")
    assert list_names(bare) == ["base"]
    derived = load("extends: base.yaml\nderive: {max_epoch: null, eval_every: 3}\n")
    assert derived.derive == {"eval_every": "3"}


def test_a_profile_may_bring_its_own(load: Load) -> None:
    text = BASE + (
        "profiles:\n  smoke:\n    groups: {small: {batch_size: 2}}\n    zip: null\n"
        "    exclude: null\n    derive: {eval_every: null}\n"
    )
    template = load(text, profile="smoke")
    assert list_values(template, "max_epoch", "eval_every") == [(20, 1)]


# Faults


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "zip: {lr: [0.1, 0.2], rnn_width: [4, 8, 16]}",
            "zip.rnn_width: has 3 values, lr of line 2 has 2; axes that move together are of "
            "equal length",
        ),
        ("zip: {lr: [0.1, 0]}", "zip.lr: 0 is out of range; must be a number greater than 0"),
        ("zip: {lrr: [0.1]}", "zip.lrr: no such hyperparameter of workload sps; did you mean lr?"),
        ("zip: {lr: [0.1, 0.1]}", "zip: gives the same combination of values twice; keep one"),
        (
            "zip: 3",
            "zip: must be a mapping of axes that move together, such as {max_epoch: [4000, "
            "9000], lr: [0.001, 0.0005]}, or a list of such mappings",
        ),
        (
            "zip: {lr: [0.1]}\ngrid: {lr: [0.2]}",
            "zip.lr: lr is an axis already of line 3; keep one of the two",
        ),
        (
            "groups: {a: {rnn_width: x}}",
            "groups.a.rnn_width: x is text; must be a whole number of at least 1 (group a)",
        ),
        (
            "groups: {a: {rnn_widht: 4}}",
            "groups.a.rnn_widht: no such hyperparameter of workload sps; did you mean rnn_width? "
            "(group a)",
        ),
        (
            "groups: {a/b: {}}",
            "groups.a/b: a/b cannot name a directory; must be 1 to 64 of the letters a-z, A-Z, "
            "digits, _ . + -, not starting with . + or -",
        ),
        (
            "groups: {a: 3}",
            "groups.a: must be a mapping of hyperparameters, as under params; {} changes nothing",
        ),
        (
            "groups: [a, b]",
            "groups: must be a mapping of names to hyperparameters: {small: {rnn_width: 16}}",
        ),
        (
            "groups: {a: {batch_size: 999}, b: {}}",
            "groups.a.batch_size: batch_size (999) is larger than train_set_size (128): there "
            "would be no full batch (group a)",
        ),
        (
            "grid: {lr: [0.1, 0.2]}\nexclude: [{lr: 0.3}]",
            'exclude: {"lr": 0.3} matches no combination: nothing would be excluded',
        ),
        (
            "grid: {lr: [0.1, 0.2]}\nexclude: [{rl: 0.3}]",
            "exclude.rl: no such axis; there are: lr",
        ),
        ("grid: {lr: [0.1]}\nexclude: [{lr: 0.1}]", "exclude: leaves no group at all"),
        (
            "exclude: {lr: 0.1}",
            "exclude: must be a list of combinations, such as [{batch_size: 128, rnn_width: 16}]",
        ),
        (
            "derive: {max_epoch: 3 * batch_sise}",
            "derive.max_epoch: batch_sise: no such hyperparameter of workload sps; did you mean "
            "batch_size?",
        ),
        (
            "derive: {max_epoh: 3}",
            "derive.max_epoh: no such hyperparameter of workload sps; did you mean max_epoch?",
        ),
        (
            "derive: {max_epoch: 100 / batch_size}",
            "derive.max_epoch: 100 / batch_size: 6.25 is not a whole number; must be a whole "
            "number of at least 1; write // instead of /, or int(...) (group base)",
        ),
        (
            "derive: {max_epoch: 1 // (batch_size - 16)}",
            "derive.max_epoch: 1 // (batch_size - 16): a division by zero (group base)",
        ),
        (
            "derive: {lr: 1 - batch_size}",
            "derive.lr: -15 is out of range; must be a number greater than 0 (group base)",
        ),
        (
            "derive: {max_epoch: eval_every + 1, eval_every: max_epoch - 1}",
            "derive.max_epoch: a circle: max_epoch -> eval_every -> max_epoch",
        ),
        (
            "grid: {lr: [0.1]}\nderive: {lr: 0.2}",
            "derive.lr: lr is an axis as well; a hyperparameter is either given or derived",
        ),
        (
            "derive: {lr: [0.2]}",
            "derive.lr: [0.2] is no expression, such as 32000 * batch_size // 128",
        ),
    ],
)
def test_a_fault_is_told_with_its_place(text: str, expected: str, faults: Faults) -> None:
    (fault,) = faults(HEAD + text + "\n")
    place, _, message = fault.partition(" ")
    assert place.startswith("t.yaml:")
    assert message == expected


def test_an_override_of_what_is_derived_has_no_effect(faults: Faults) -> None:
    (fault,) = faults(BASE, overrides=["params.max_epoch=3"])
    assert fault.endswith(
        "--set params.max_epoch: has no effect: max_epoch is given by zip or derive; change or "
        "remove it there"
    )
