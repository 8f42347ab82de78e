from __future__ import annotations

import pytest

from tests.template.conftest import Faults, Load

GRID = "workload: sps\ngrid: {batch_size: [16, 32], lr: [0.1, 0.2]}\n"


def test_all_pairs_without_a_margin_is_the_family_unless_said(load: Load) -> None:
    comparison = load(GRID).comparison
    assert (comparison.family, comparison.margin, comparison.paired) == ("all_pairs", None, True)
    assert load(GRID + "comparison: null\n").comparison == comparison


def test_a_baseline_is_a_group(load: Load) -> None:
    text = "comparison: {family: baseline, baseline: 'batch_size=16,lr=0.1', margin: 0.05}\n"
    assert load(GRID + text).comparison.margin == 0.05


def test_a_baseline_is_a_named_group_that_the_grid_multiplies(load: Load) -> None:
    text = GRID + "groups: {plain: {}, wide: {rnn_width: 64}}\n"
    comparison = "comparison: {family: baseline, baseline: plain}\n"
    assert load(text + comparison).comparison.baseline == "plain"


def test_the_only_axis_need_not_be_named(load: Load) -> None:
    text = "workload: sps\ngrid: {batch_size: [16, 32]}\ncomparison: {family: axis}\n"
    assert load(text).comparison.axis is None


@pytest.mark.parametrize(
    ("comparison", "message"),
    [
        ("{family: baseline}", "comparison: family baseline needs the name of a group"),
        ("{baseline: base}", "baseline belongs to another family; write family: baseline"),
        ("{family: axis, axis: batchsize}", "comparison.axis: no such axis: batchsize; did you"),
        ("{family: axis}", "comparison.family: there are 2 axes; write axis: NAME"),
        ("{family: baseline, baseline: 'batch_size=16'}", "comparison.baseline: no such group"),
        ("{margin: 0}", "comparison.margin: 0 is out of range"),
        ("{famly: axis}", "comparison.famly: no such key of comparison; did you mean family?"),
        ("all_pairs", "comparison: must be a mapping"),
    ],
)
def test_what_cannot_be_compared_is_told_with_its_line(
    comparison: str, message: str, faults: Faults
) -> None:
    (fault,) = faults(GRID + f"comparison: {comparison}\n")
    assert fault.startswith("t.yaml:3 ")
    assert message in fault


def test_a_child_inherits_the_family_and_a_profile_may_remove_it(load: Load) -> None:
    text = GRID + (
        "comparison: {family: axis, axis: lr}\n"
        "profiles: {smoke: {grid: {lr: null}, comparison: null}}\n"
    )
    assert load(text).comparison.axis == "lr"
    assert load(text, profile="smoke").comparison.family == "all_pairs"
