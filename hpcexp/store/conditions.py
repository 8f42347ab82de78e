"""Conditions on hyperparameters: `rnn_width=32`, `lr<1e-3`, `loss_weights.predict.z!=0`."""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hpcexp.errors import UsageError

_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "!=": operator.ne,
    "<=": operator.le,
    ">=": operator.ge,
    "=": operator.eq,
    "<": operator.lt,
    ">": operator.gt,
}
_CONDITION = re.compile(
    r"\s*(?P<name>[^\s=<>!]+)\s*(?P<sign>!=|<=|>=|==?|<|>)\s*(?P<value>.*)", re.S
)
_CONSTANTS = {"true": True, "false": False, "null": None, "none": None}
MISSING = object()
"""What `look_up` gives where there is no such hyperparameter."""


@dataclass(frozen=True)
class Condition:
    """A hyperparameter by its dotted name, a sign, and a value."""

    name: str
    sign: str
    value: Any

    def holds(self, found: Any) -> bool:
        """Whether a value meets it; one that is no number is neither less nor more."""
        if self.sign in ("=", "!="):
            return _OPERATORS[self.sign](_normalise(found), _normalise(self.value))
        return _is_number(found) and _OPERATORS[self.sign](found, self.value)


def parse_condition(text: str) -> Condition:
    """Read a condition.

    Values are spelled as in a template: numbers, `true`, `null`, lists, else text.
    Raises UsageError for anything else than name, sign and value.
    """
    match = _CONDITION.fullmatch(text)
    if match is None or not match["value"].strip():
        raise UsageError(
            f"--where {text!r} is no condition: write NAME=VALUE, such as rnn_width=32, or with "
            "!=, <, <=, > or >= (in quotes)"
        )
    sign = "=" if match["sign"] == "==" else match["sign"]
    value = parse_value(match["value"].strip())
    if sign not in ("=", "!=") and not _is_number(value):
        raise UsageError(f"--where {text!r}: {sign} compares numbers, and {value!r} is none")
    return Condition(match["name"], sign, value)


def parse_value(text: str) -> Any:
    """A number, a truth value, a list or null where the text spells one, else the text."""
    if text.lower() in _CONSTANTS:
        return _CONSTANTS[text.lower()]
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return _try_float(text)


def look_up(params: Mapping[str, Any], name: str) -> Any:
    """The value of a dotted name in nested hyperparameters, or MISSING."""
    found: Any = params
    for part in name.split("."):
        if not isinstance(found, Mapping) or part not in found:
            return MISSING
        found = found[part]
    return found


def list_names(params: Mapping[str, Any], *, inside: str = "") -> list[str]:
    """Dotted names of all hyperparameters."""
    names = []
    for key, value in params.items():
        names.append(f"{inside}{key}")
        if isinstance(value, Mapping):
            names += list_names(value, inside=f"{inside}{key}.")
    return names


def _try_float(text: str) -> Any:
    """Such as `.5`, which JSON does not know, but not `nan`, which equals nothing."""
    try:
        value = float(text)
    except ValueError:
        return text
    return value if value - value == 0 else text


def _refuse(_constant: str) -> Any:
    raise ValueError


def _normalise(value: Any) -> Any:
    """So that 32 equals 32.0, true does not equal 1, and lists compare by content."""
    if isinstance(value, list | tuple):
        return [_normalise(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _normalise(item) for key, item in value.items()}
    return float(value) if _is_number(value) else (type(value).__name__, value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
