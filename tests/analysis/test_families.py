from __future__ import annotations

from typing import Any

import pytest

from hpcexp.analysis.families import list_varied, make_family
from hpcexp.analysis.groups import make_group_axis
from hpcexp.grid import expand_groups
from hpcexp.store.experiment import PlannedGroup


def plan_groups(grid: dict[str, list[Any]]) -> list[PlannedGroup]:
    return [PlannedGroup(group.name, group.values) for group in expand_groups(grid)]


def pair_labels(comparison: dict[str, Any], grid: dict[str, list[Any]]) -> tuple[list[str], str]:
    groups = plan_groups(grid)
    axis = make_group_axis(groups)
    family = make_family(comparison, groups, axis)
    labels = dict(zip(axis.names, axis.labels, strict=True))
    return [f"{labels[a]}-{labels[b]}" for a, b in family.pairs], family.words


WIDTHS = {"rnn_width": [64, 16, 32]}


def test_all_pairs_are_the_family_of_an_experiment_that_says_nothing() -> None:
    assert pair_labels({}, WIDTHS) == (["16-32", "16-64", "32-64"], "all 3 pairs")


def test_a_baseline_is_compared_with_every_other_group_in_the_order_of_the_table() -> None:
    comparison = {"family": "baseline", "baseline": "rnn_width=32"}
    assert pair_labels(comparison, WIDTHS) == (["16-32", "32-64"], "2 pairs with 32")


def test_a_named_group_that_a_grid_multiplies_is_the_baseline_of_equal_settings() -> None:
    expanded = expand_groups({"size": [60, 600]}, named=("frozen", "scratch", "tuned"))
    groups = [PlannedGroup(group.name, group.values) for group in expanded]
    comparison = {"family": "baseline", "baseline": "scratch"}
    family = make_family(comparison, groups, make_group_axis(groups))
    assert sorted(family.pairs) == [
        ("frozen,size=60", "scratch,size=60"),
        ("frozen,size=600", "scratch,size=600"),
        ("scratch,size=60", "tuned,size=60"),
        ("scratch,size=600", "tuned,size=600"),
    ]
    assert family.words == "4 pairs with scratch of equal settings"


def test_along_an_axis_neighbours_are_compared_that_agree_in_all_else() -> None:
    grid: dict[str, list[Any]] = {"lr": [0.1, 0.2], "rnn_width": [64, 16, 32]}
    pairs, words = pair_labels({"family": "axis", "axis": "rnn_width"}, grid)
    assert pairs == ["0.1, 16-0.1, 32", "0.1, 32-0.1, 64", "0.2, 16-0.2, 32", "0.2, 32-0.2, 64"]
    assert words == "4 pairs of neighbours along rnn_width"


def test_the_only_axis_needs_no_name() -> None:
    assert pair_labels({"family": "axis"}, WIDTHS)[0] == ["16-32", "32-64"]


@pytest.mark.parametrize(
    ("comparison", "problem"),
    [
        ({"family": "baseline", "baseline": "rnn_width=8"}, "the baseline rnn_width=8 is not"),
        ({"family": "axis", "axis": "lr"}, "lr is not among the axes"),
    ],
)
def test_a_group_that_was_not_launched_makes_the_family_all_pairs_and_says_so(
    comparison: dict[str, str], problem: str
) -> None:
    groups = plan_groups(WIDTHS)
    family = make_family(comparison, groups, make_group_axis(groups))
    assert len(family.pairs) == 3
    assert family.problem.startswith(problem)


def test_groups_vary_in_what_their_values_differ_in() -> None:
    groups = plan_groups({"lr": [0.1, 0.2], "batch_size": [1, 1.5]})
    assert list_varied(groups[0], groups[1]) == ("batch_size",)
    assert list_varied(groups[0], groups[3]) == ("lr", "batch_size")
