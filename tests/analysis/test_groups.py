from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from hpcexp.analysis.groups import MAX_LABEL_LENGTH, GroupAxis, make_group_axis, spell_label
from hpcexp.grid import expand_groups
from hpcexp.store.experiment import PlannedGroup


def make_axis(grid: Mapping[str, Sequence[Any]]) -> GroupAxis:
    return make_group_axis([PlannedGroup(g.name, g.values) for g in expand_groups(grid)])


def test_numbers_are_ordered_by_size() -> None:
    axis = make_axis({"lr": [0.01, 1e-5, 0.001]})
    assert axis.labels == ("1e-05", "0.001", "0.01")
    assert axis.names == ("lr=1e-05", "lr=0.001", "lr=0.01")
    assert (axis.title, axis.is_numeric) == ("lr", True)


def test_text_keeps_the_order_of_the_template() -> None:
    axis = make_axis({"optimizer": ["sgd", "adam"]})
    assert axis.labels == ("sgd", "adam")
    assert not axis.is_numeric


def test_truth_values_are_no_numbers() -> None:
    axis = make_axis({"encoder_batch_norm": [True, False]})
    assert axis.labels == ("true", "false")
    assert not axis.is_numeric


def test_of_two_axes_the_first_is_the_outer_one() -> None:
    axis = make_axis({"rnn_width": [32, 16], "optimizer": ["sgd", "adam"]})
    assert axis.labels == ("16, sgd", "16, adam", "32, sgd", "32, adam")
    assert (axis.title, axis.is_numeric) == ("rnn_width, optimizer", False)


def test_an_axis_of_one_value_is_not_shown_beside_one_that_varies() -> None:
    axis = make_axis({"rnn_width": [16, 32], "lr": [0.001]})
    assert axis.labels == ("16", "32")
    assert (axis.title, axis.is_numeric) == ("rnn_width", True)


def test_an_axis_of_one_value_alone_is_shown() -> None:
    assert make_axis({"lr": [0.001]}).labels == ("0.001",)


def test_without_axes_the_group_is_labelled_by_its_name() -> None:
    axis = make_axis({})
    assert (axis.labels, axis.title, axis.is_numeric) == (("base",), "", False)


def test_labels_that_shortening_made_equal_are_told_apart() -> None:
    same_ends = [f"{'a' * 30}{middle}{'b' * 30}" for middle in "xyz"]
    labels = make_axis({"note": same_ends}).labels
    assert len(set(labels)) == 3
    assert all(len(label) <= MAX_LABEL_LENGTH + 4 for label in labels)


@pytest.mark.parametrize(
    ("value", "label"),
    [
        (48, "48"),
        (0.001, "0.001"),
        (None, "null"),
        (True, "true"),
        ("adam", "adam"),
        ([64, 128], "[64, 128]"),
        ({"kind": "trivial", "std": 1.0}, "kind=trivial std=1.0"),
    ],
)
def test_values_are_spelled_as_a_person_would(value: Any, label: str) -> None:
    assert spell_label(value) == label


def test_mappings_are_told_apart_by_their_kinds() -> None:
    axis = make_axis(
        {"scheduled_sampling": [{"kind": "linear", "duration": 4687.0}, {"kind": "constant"}, None]}
    )
    assert axis.labels == ("linear", "constant", "null")


def test_of_mappings_of_one_kind_only_what_differs_is_shown() -> None:
    axis = make_axis({"symmetry": [{"kind": "trivial", "K": 1}, {"kind": "trivial", "K": 2}]})
    assert axis.labels == ("K=1", "K=2")
