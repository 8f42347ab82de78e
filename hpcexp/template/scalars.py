"""Unquoted scalars as YAML 1.2 (core schema) reads them.

PyYAML reads YAML 1.1, where `1e-3` is text, `off` is false, `010` is eight and `12:30:00`
is 45000. Here `1e-3` is a number, `off`, `12:30:00` and `2022-12-13` stay text, and `010`,
on which the two versions disagree silently, is refused.
Source: YAML 1.2.2, chapter 10.3.
"""

from __future__ import annotations

import re

from hpcexp.template.nodes import Scalar

_WORDS: dict[str, Scalar] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_LEADING_ZERO = re.compile(r"([-+]?)0+([0-9]+)")
_OCTAL = re.compile(r"0o[0-7]+")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_MAX_DIGITS = 100


class ScalarError(ValueError):
    """A scalar that is refused; the message says what to write."""


def resolve_plain(text: str) -> Scalar:
    """The value of an unquoted scalar.

    Raises ScalarError for a whole number with a leading zero, and for one with more than
    a hundred digits.
    """
    if text in _WORDS:
        return _WORDS[text]
    if _LEADING_ZERO.fullmatch(text):
        raise ScalarError(_explain_leading_zero(text))
    if _INTEGER.fullmatch(text) or _OCTAL.fullmatch(text) or _HEXADECIMAL.fullmatch(text):
        return _parse_integer(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _NOT_FINITE.fullmatch(text):
        return float(text.replace(".", ""))
    return text


def _parse_integer(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        raise ScalarError(f"{text[:20]}... has {len(text)} digits; quote it if it is text")
    return int(text, 8) if text.startswith("0o") else int(text, 16 if "0x" in text else 10)


def _explain_leading_zero(text: str) -> str:
    match = _LEADING_ZERO.fullmatch(text)
    assert match is not None
    sign, digits = match.groups()
    decimal = f"{sign.strip('+')}{digits.lstrip('0') or '0'}"
    if set(text) & {"8", "9"}:
        return f'{text} is text in YAML 1.1 and {decimal} in YAML 1.2; write {decimal} or "{text}"'
    octal = int(f"{sign}{digits}", 8)
    return (
        f"{text} is {octal} in YAML 1.1 (octal) and {decimal} in YAML 1.2; "
        f"write {decimal} or {octal if sign == '-' else '0o' + digits}"
    )
