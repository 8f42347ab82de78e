from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcexp.grid import expand_groups
from hpcexp.sampling import (
    METHODS,
    Axis,
    Space,
    draw_points,
    find_sample_number,
    name_sample,
    parse_space,
)
from hpcexp.sampling.conditions import find_circle, keep_active, order_by_dependence

AXES: dict[str, Any] = {
    "lr": {"log_uniform": [1e-5, 1e-2]},
    "rnn_width": {"integer": [8, 64]},
    "batch_size": {"choice": [16, 32]},
    "shift": {"normal": [0, 1]},
    "dropout": {"uniform": [0, 0.5]},
}
DRAWN = [method for method in METHODS if method != "tpe"]


def make_space(axes: dict[str, Any] | None = None, **others: Any) -> Space:
    space, flaws = parse_space({"count": 16, **others, "axes": axes or AXES})
    assert space is not None, flaws
    return space


def draw(axes: dict[str, Any] | None = None, **others: Any) -> list[dict[str, Any]]:
    points = draw_points(make_space(axes, **others))
    return [values for _, values in points.complete({})]


@pytest.mark.parametrize("method", DRAWN)
def test_samples_repeat_with_their_seed_and_differ_with_another(method: str) -> None:
    assert draw(method=method) == draw(method=method) != draw(method=method, seed=1)


@pytest.mark.parametrize("method", DRAWN)
def test_the_order_of_the_keys_does_not_matter(method: str) -> None:
    assert draw(dict(reversed(AXES.items())), method=method) == draw(method=method)


@pytest.mark.parametrize("method", ["sobol", "random"])
def test_more_samples_continue_the_sequence(method: str) -> None:
    assert draw(method=method, count=128)[:64] == draw(method=method, count=64)


@pytest.mark.parametrize("method", DRAWN)
def test_all_samples_differ_though_axes_have_few_values(method: str) -> None:
    samples = draw({"a": {"integer": [1, 3]}, "b": {"choice": [1, 2]}}, method=method, count=6)
    assert len({tuple(s.values()) for s in samples}) == len(samples)
    assert len(samples) == 6 or method == "latin_hypercube"


def test_there_are_no_more_samples_than_combinations() -> None:
    assert len(draw({"a": {"choice": [1, 2]}, "b": {"choice": [1, 2]}}, count=9)) == 4


def test_a_latin_hypercube_has_one_sample_in_each_part_of_each_axis() -> None:
    axes = {"x": {"uniform": [0, 1]}, "y": {"uniform": [0, 20]}}
    samples = draw(axes, method="latin_hypercube", count=20)
    assert sorted(int(s["x"] * 20) for s in samples) == list(range(20))
    assert sorted(int(s["y"]) for s in samples) == list(range(20))


@pytest.mark.parametrize("method", DRAWN)
def test_values_have_their_distribution(method: str) -> None:
    samples = draw(method=method, count=512)
    logs = [math.log10(s["lr"]) for s in samples]
    assert sum(logs) / 512 == pytest.approx(-3.5, abs=0.15)
    assert {s["batch_size"] for s in samples} == {16, 32}
    assert {s["rnn_width"] for s in samples} >= {8, 64}
    normal = [s["shift"] for s in samples]
    assert sum(normal) / 512 == pytest.approx(0, abs=0.15)
    assert sum(x * x for x in normal) / 512 == pytest.approx(1, abs=0.2)
    assert all(0 <= s["dropout"] <= 0.5 for s in samples)


@given(
    st.sampled_from(["uniform", "log_uniform", "integer"]),
    st.integers(1, 10**6),
    st.integers(1, 10**6),
    st.floats(0, 1, exclude_min=True, exclude_max=True),
)
@settings(max_examples=200)
def test_values_stay_in_their_range_and_are_where_they_were_drawn(
    distribution: str, low: int, width: int, u: float
) -> None:
    axis = Axis("x", distribution, (low, low + width))
    value = axis.take(u)
    assert low <= value <= low + width
    if distribution == "integer":
        assert axis.take(axis.find_place(value)) == value
    else:
        assert axis.find_place(value) == pytest.approx(u, abs=2e-3)


def test_what_is_printed_is_what_is_used() -> None:
    for sample in draw(count=64):
        for value in sample.values():
            assert len(repr(value).lstrip("-0.").replace(".", "").split("e")[0]) <= 4


def test_an_axis_is_there_only_where_its_condition_holds() -> None:
    axes = {
        "optimizer": {"choice": ["adam", "sgd"]},
        "momentum": {"uniform": [0, 1], "only_if": {"optimizer": "sgd"}},
    }
    for sample in draw(axes, count=32):
        assert ("momentum" in sample) == (sample["optimizer"] == "sgd")


def test_a_condition_may_name_an_axis_of_the_grid() -> None:
    axes = {
        "lr": {"uniform": [0.1, 1]},
        "momentum": {"uniform": [0, 1], "only_if": {"optimizer": ["sgd", "nag"]}},
    }
    points = draw_points(make_space(axes, count=2))
    groups = expand_groups({"optimizer": ["adam", "sgd"]}, samples=points)
    assert [group.name for group in groups] == [
        f"optimizer={name},sample_00{k}" for name in ("adam", "sgd") for k in (0, 1)
    ]
    assert ["momentum" in group.values for group in groups] == [False, False, True, True]
    assert [group.values["lr"] for group in groups[:2]] == [g.values["lr"] for g in groups[2:]]


def test_what_depends_on_an_axis_that_is_not_there_is_not_there_either() -> None:
    conditions = {"b": {"a": (1,)}, "c": {"b": (2,)}}
    assert keep_active({"a": 0, "b": 2, "c": 3}, conditions) == {"a": 0}
    assert keep_active({"a": 1, "b": 2, "c": 3}, conditions) == {"a": 1, "b": 2, "c": 3}
    assert keep_active({"a": True, "b": 2}, conditions) == {"a": True}, "true is not 1"


def test_circles_are_found_and_chains_are_ordered() -> None:
    assert find_circle({"a": {"b": (1,)}, "b": {"c": (1,)}, "c": {"a": (1,)}})[0] == "a"
    assert find_circle({"a": {"b": (1,)}, "b": {"c": (1,)}}) == []
    assert order_by_dependence(["a", "b", "c"], {"a": {"b": (1,)}, "b": {"c": (1,)}}) == list("cba")


def test_names_are_short_and_keep_their_number_beside_a_long_grid() -> None:
    points = draw_points(make_space(count=3))
    long = {f"dataset.some_long_name_{i}": ["x" * 40] for i in range(5)}
    groups = expand_groups(long, samples=points)
    assert [find_sample_number(group.name) for group in groups] == [0, 1, 2]
    assert all(len(group.name) <= 138 for group in groups)
    assert [name_sample(7), name_sample(1234)] == ["sample_007", "sample_1234"]
    assert find_sample_number("rnn_width=4") is None
