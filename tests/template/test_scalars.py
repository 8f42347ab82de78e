"""Unquoted scalars: YAML 1.2, not PyYAML's YAML 1.1."""

from __future__ import annotations

import contextlib
import math

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hpcexp.template.scalars import ScalarError, resolve_plain


@pytest.mark.parametrize("text", ["1e-3", "1E3", "+2e+2", "1.5", ".5", "1.", "-0.0", "6.02e23"])
def test_a_number_with_point_or_exponent_is_a_float(text: str) -> None:
    value = resolve_plain(text)
    assert isinstance(value, float)
    assert value == float(text)


@pytest.mark.parametrize(
    ("text", "value"), [("0", 0), ("-7", -7), ("+7", 7), ("0o10", 8), ("0x1F", 31)]
)
def test_a_whole_number_is_an_int(text: str, value: int) -> None:
    assert resolve_plain(text) == value


@pytest.mark.parametrize(
    "text",
    ["on", "off", "yes", "No", "y", "12:30:00", "2022-12-13", "1_000", "0b11", "1e", "e5", "1.2.3"],
)
def test_what_only_yaml_1_1_reads_as_something_else_stays_text(text: str) -> None:
    assert resolve_plain(text) == text


@pytest.mark.parametrize("text", ["1e-3", "off", "010", "12:30:00", "2022-12-13"])
def test_pyyaml_alone_still_falls_into_the_trap(text: str) -> None:
    """If PyYAML learns YAML 1.2 one day, our own resolver can go."""
    expected = "010" if text == "010" else resolve_plain(text)
    assert yaml.safe_load(text) != expected or type(yaml.safe_load(text)) is not type(expected)


@pytest.mark.parametrize("text", ["true", "True", "TRUE", "false", "False", "FALSE"])
def test_true_and_false_are_booleans(text: str) -> None:
    assert resolve_plain(text) is (text.lower() == "true")


@pytest.mark.parametrize("text", ["", "~", "null", "Null", "NULL"])
def test_nothing_and_null_are_none(text: str) -> None:
    assert resolve_plain(text) is None


def test_infinity_and_not_a_number_are_floats() -> None:
    assert resolve_plain("-.inf") == -math.inf
    nan = resolve_plain(".nan")
    assert isinstance(nan, float)
    assert math.isnan(nan)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("010", "010 is 8 in YAML 1.1 (octal) and 10 in YAML 1.2; write 10 or 0o10"),
        ("-010", "-010 is -8 in YAML 1.1 (octal) and -10 in YAML 1.2; write -10 or -8"),
        ("089", '089 is text in YAML 1.1 and 89 in YAML 1.2; write 89 or "089"'),
    ],
)
def test_a_leading_zero_is_refused_with_both_readings(text: str, message: str) -> None:
    with pytest.raises(ScalarError) as caught:
        resolve_plain(text)
    assert str(caught.value) == message


def test_a_number_too_long_to_be_meant_is_refused() -> None:
    with pytest.raises(ScalarError, match="has 5000 digits"):
        resolve_plain("1" * 5000)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_float_that_python_prints_is_read_back(value: float) -> None:
    assert resolve_plain(repr(value)) == value


@given(st.text())
def test_any_text_is_a_scalar_or_a_clear_refusal(text: str) -> None:
    with contextlib.suppress(ScalarError):
        value = resolve_plain(text)
        assert value is None or isinstance(value, str | int | float)
