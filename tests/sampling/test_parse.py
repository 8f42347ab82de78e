from __future__ import annotations

from typing import Any

import pytest

from hpcexp.sampling import parse_space

LR: dict[str, Any] = {"lr": {"log_uniform": [1e-5, 1e-2]}}


def find_flaws(**described: Any) -> list[tuple[tuple[str | int, ...], str]]:
    space, flaws = parse_space({"count": 4, "axes": LR, **described})
    assert (space is None) == bool(flaws)
    return [(flaw.names, flaw.message) for flaw in flaws]


def test_defaults() -> None:
    space, flaws = parse_space({"count": 32, "axes": LR})
    assert space is not None
    assert not flaws
    assert (space.count, space.method, space.seed, space.num_drawn) == (32, "sobol", 0, 32)


def test_a_search_that_learns_begins_with_samples_that_do_not_depend_on_results() -> None:
    space, _ = parse_space({"count": 32, "method": "tpe", "axes": LR})
    assert space is not None
    assert (space.is_adaptive, space.num_drawn, space.at_once) == (True, 8, 4)


@pytest.mark.parametrize(
    ("described", "place", "words"),
    [
        ({"count": 0}, ("count",), "0 is not a whole number from 1"),
        ({"count": True}, ("count",), "true is not a whole number"),
        ({"methd": "sobol"}, ("methd",), "did you mean method?"),
        ({"method": "sobel"}, ("method",), "did you mean sobol?"),
        ({"start": 4}, ("start",), "write method: tpe, or no start"),
        ({"seed": -1}, ("seed",), "-1 is not a whole number from 0"),
        ({"axes": {}}, ("axes",), "must name what is sampled"),
        ({"axes": {"lr": 3}}, ("axes", "lr"), "3 is no distribution; write lr: {uniform:"),
        ({"axes": {"lr": {"unifrm": [0, 1]}}}, ("axes", "lr"), "did you mean uniform?"),
        ({"axes": {"lr": {}}}, ("axes", "lr"), "needs one distribution, has none"),
        (
            {"axes": {"lr": {"uniform": [0, 1], "normal": [0, 1]}}},
            ("axes", "lr"),
            "has uniform and normal",
        ),
    ],
)
def test_a_flaw_says_where_what_and_what_to_write(
    described: dict[str, Any], place: tuple[str, ...], words: str
) -> None:
    [(names, message)] = find_flaws(**described)
    assert names == place
    assert words in message


@pytest.mark.parametrize(
    ("distribution", "words"),
    [
        ({"uniform": [1, 0]}, "the first end must be the lower one"),
        ({"uniform": [0]}, "must be two ends"),
        ({"uniform": ["a", 1]}, "a is not a finite number"),
        ({"uniform": [0, float("inf")]}, "is not a finite number"),
        ({"log_uniform": [0, 1]}, "0 has no logarithm"),
        ({"integer": [0.5, 3]}, "0.5 is not a whole number"),
        ({"normal": [0, 0]}, "must be above 0"),
        ({"choice": []}, "must be a list of values"),
        ({"choice": [1, 2, 1.0]}, "1.0 is given twice"),
    ],
)
def test_arguments_that_make_no_distribution_are_refused(
    distribution: dict[str, Any], words: str
) -> None:
    [(names, message)] = find_flaws(axes={"x": distribution})
    assert names == ("axes", "x", next(iter(distribution)))
    assert words in message


def test_all_flaws_are_told_at_once() -> None:
    flaws = find_flaws(count=-1, method="x", axes={"a": {"uniform": [1, 0]}, "b": 1})
    assert len(flaws) == 4


def test_conditions_in_a_circle_are_refused() -> None:
    axes = {
        "a": {"choice": [1, 2], "only_if": {"b": 1}},
        "b": {"choice": [1, 2], "only_if": {"a": 1}},
    }
    [(names, message)] = find_flaws(axes=axes)
    assert (names, message) == (("axes", "a", "only_if"), "a circle: a -> b -> a")


def test_sobol_has_direction_numbers_for_so_many_axes() -> None:
    axes = {f"x{i}": {"uniform": [0, 1]} for i in range(33)}
    [(_, message)] = find_flaws(axes=axes)
    assert message == "33 axes; sobol has 32: write method: random"
    assert not find_flaws(axes=axes, method="random")
