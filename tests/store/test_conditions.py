"""Conditions on hyperparameters, as they are typed after --where."""

from __future__ import annotations

from typing import Any

import pytest

from hpcexp.errors import UsageError
from hpcexp.store.conditions import MISSING, list_names, look_up, parse_condition


@pytest.mark.parametrize(
    ("text", "value", "holds"),
    [
        ("rnn_width=32", 32, True),
        ("rnn_width == 32", 32.0, True),
        ("rnn_width=32", 16, False),
        ("lr=1e-3", 0.001, True),
        ("lr=.5", 0.5, True),
        ("lr<=1e-3", 0.001, True),
        ("lr<0.001", 0.001, False),
        ("lr>0", 0.001, True),
        ("lr!=0", 0.001, True),
        ("lr>0", "adam", False),
        ("on=true", True, True),
        ("on=1", True, False),
        ("on=true", 1, False),
        ("on=false", False, True),
        ("clip=null", None, True),
        ("name=adam", "adam", True),
        ("name=0", "0", False),
        ("channels=[8, 16]", (8, 16), True),
        ("channels=[8, 16]", [8, 16, 32], False),
        ("rule=a=b", "a=b", True),
    ],
)
def test_a_condition_holds_where_the_value_meets_it(text: str, value: Any, holds: bool) -> None:
    assert parse_condition(text).holds(value) is holds


@pytest.mark.parametrize("text", ["", "lr", "lr=", "=3", "lr in 3"])
def test_what_is_no_condition_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is no condition: write NAME=VALUE"):
        parse_condition(text)


def test_only_numbers_are_compared_by_size() -> None:
    with pytest.raises(UsageError, match="< compares numbers, and 'adam' is none"):
        parse_condition("optimizer<adam")


def test_dotted_names_are_looked_up_in_nested_hyperparameters() -> None:
    params = {"loss_weights": {"predict": {"z": 0.5}}, "lr": None}
    assert look_up(params, "loss_weights.predict.z") == 0.5
    assert look_up(params, "lr") is None
    assert look_up(params, "lr.z") is MISSING
    assert list_names(params)[:2] == ["loss_weights", "loss_weights.predict"]
