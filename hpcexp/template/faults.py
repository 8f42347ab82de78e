"""pydantic's errors -> our own short wording: what was found, what is allowed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from hpcexp.template.fields import (
    Schema,
    allows_type,
    describe_allowed,
    describe_fields,
    find_variants,
    list_choices,
    list_fields,
)
from hpcexp.template.names import describe_alternatives, suggest
from hpcexp.template.nodes import join_choices, show
from hpcexp.template.scalars import ScalarError, resolve_plain

CROSS_FIELD_KINDS = frozenset({"value_error", "assertion_error"})

_OLD_BOOLEANS = {
    **dict.fromkeys(("on", "yes", "y"), "true"),
    **dict.fromkeys(("off", "no", "n"), "false"),
}


@dataclass(frozen=True)
class Fault:
    """One error of a model: the place in the data, pydantic's error type, our message."""

    names: tuple[str | int, ...]
    kind: str
    message: str


def find_faults(model: type[BaseModel], data: Any, *, noun: str) -> list[Fault]:
    """What a pydantic model refuses in the data; empty where it accepts them.

    `noun` says what an unknown name would have been: `no such {noun}`.
    """
    try:
        model.model_validate(data)
    except ValidationError as error:
        return translate_errors(error, model=model, data=data, noun=noun)
    return []


def translate_errors(
    error: ValidationError, *, model: type[BaseModel], data: Any, noun: str
) -> list[Fault]:
    """The faults behind a ValidationError, one for each place: a union reports several."""
    faults: dict[tuple[str | int, ...], Fault] = {}
    for details in error.errors(include_url=False):
        names = _strip_location(details, data)
        if names not in faults or faults[names].kind.endswith("_type"):
            message = _explain(details, names, model, noun)
            faults[names] = Fault(names=names, kind=details["type"], message=message)
    return list(faults.values())


def explain_unknown(name: str, model: type[BaseModel], *, noun: str) -> str:
    """Why a dotted name is refused: `no such {noun}; did you mean ...?`."""
    section = name.rpartition(".")[0]
    known = list_fields(model)
    near = suggest(name, known, meanings=describe_fields(model))
    if near:
        return f"no such {noun}; did you mean {join_choices(near)}?"
    siblings = [other for other in known if other.rpartition(".")[0] == section]
    return f"no such {noun}{describe_alternatives(name, siblings or list(known))}"


def _strip_location(details: ErrorDetails, data: Any) -> tuple[str | int, ...]:
    """pydantic's location without the parts, such as a union's tag, that are not in the data."""
    names: list[str | int] = []
    for part in details["loc"]:
        if _has(data, part):
            data = data[part]
            names.append(part)
    if details["type"] == "missing":
        names.append(details["loc"][-1])
    return tuple(names)


def _has(data: Any, part: str | int) -> bool:
    if isinstance(data, list):
        return isinstance(part, int) and part < len(data)
    return isinstance(data, Mapping) and part in data


def _explain(
    details: ErrorDetails, names: Sequence[str | int], model: type[BaseModel], noun: str
) -> str:
    kind = details["type"]
    if kind == "extra_forbidden":
        dotted = ".".join(name for name in names if isinstance(name, str))
        return explain_unknown(dotted, model, noun=noun)
    variants = find_variants(model, names)
    if kind.endswith("_type"):
        return _explain_type(details["input"], variants)
    explain = _EXPLANATIONS.get(kind, _explain_otherwise)
    return explain(details, variants)


def _explain_type(value: Any, variants: Sequence[Schema]) -> str:
    found = f"{show(value)} is {_name_type(value)}"
    allowed = describe_allowed(variants) or "of another type"
    if isinstance(value, float) and allows_type(variants, "integer"):
        hint = f"; write {int(value)}" if value.is_integer() else ""
        return f"{show(value)} is not a whole number; must be {allowed}{hint}"
    return f"{found}; must be {allowed}{_hint_type(value, variants)}"


def _hint_type(value: Any, variants: Sequence[Schema]) -> str:
    if isinstance(value, str):
        return _hint_text(value, variants)
    if isinstance(value, list):
        return ""
    if allows_type(variants, "array") and not isinstance(value, dict) and value is not None:
        return f"; write [{show(value)}]"
    if allows_type(variants, "string") and isinstance(value, int | float):
        text = str(value).lower() if isinstance(value, bool) else str(value)
        return f'; write "{text}"'
    return ""


def _hint_text(text: str, variants: Sequence[Schema]) -> str:
    """What a text was probably meant to be: `off`, `"16"` in quotes, or `1_000`."""
    if allows_type(variants, "boolean") and text.lower() in _OLD_BOOLEANS:
        return f" (did you mean {_OLD_BOOLEANS[text.lower()]}?)"
    try:
        value = resolve_plain(text.replace("_", "") if text[:1].isdigit() else text)
    except ScalarError:
        return ""
    is_scalar = value is not None and not isinstance(value, str)
    if is_scalar and not allows_type(variants, "array"):
        return f"; write {show(value)} without quotes or underscores"
    return f"; write [{show(text)}]" if allows_type(variants, "array") else ""


def _name_type(value: Any) -> str:
    names: dict[type, str] = {
        bool: "a boolean",
        int: "a whole number",
        float: "a number",
        str: "text",
        list: "a list",
        dict: "a mapping",
    }
    return names.get(type(value), "no value")


def _explain_choice(details: ErrorDetails, variants: Sequence[Schema]) -> str:
    value, choices = details["input"], list_choices(variants)
    texts = [choice for choice in choices if isinstance(choice, str)]
    near = suggest(value, texts) if isinstance(value, str) else []
    hint = f"; did you mean {join_choices(near)}?" if near else ""
    allowed = describe_allowed(variants) or details["msg"]
    return f"{show(value)} is not allowed; must be {allowed}{hint}"


def _explain_range(details: ErrorDetails, variants: Sequence[Schema]) -> str:
    bounds = describe_allowed(variants) or details["msg"]
    return f"{show(details['input'])} is out of range; must be {bounds}"


def _explain_finite(details: ErrorDetails, variants: Sequence[Schema]) -> str:
    return f"{show(details['input'])} is not finite; must be {describe_allowed(variants)}"


def _explain_length(details: ErrorDetails, _variants: Sequence[Schema]) -> str:
    context = details["ctx"]
    bound = (
        f"at least {context['min_length']}"
        if "min_length" in context
        else f"at most {context['max_length']}"
    )
    unit = "characters" if isinstance(details["input"], str) else "items"
    return f"{show(details['input'])} is of the wrong length; must have {bound} {unit}"


def _explain_missing(_details: ErrorDetails, variants: Sequence[Schema]) -> str:
    return f"missing; must be {describe_allowed(variants) or 'given'}"


def _explain_own(details: ErrorDetails, _variants: Sequence[Schema]) -> str:
    return str(details["ctx"]["error"])


def _explain_tag(details: ErrorDetails, variants: Sequence[Schema]) -> str:
    context = details["ctx"]
    name = context["discriminator"].strip("'")
    expected = context.get("expected_tags") or join_choices(
        str(choice)
        for variant in variants
        for choice in list_choices([variant.get("properties", {}).get(name, {})])
    )
    found = f"{context['tag']} is not allowed" if "tag" in context else "missing"
    return f"{name}: {found}; must be one of {expected.replace(chr(39), '')}"


def _explain_otherwise(details: ErrorDetails, _variants: Sequence[Schema]) -> str:
    message = details["msg"]
    return f"{show(details['input'])}: {message[:1].lower()}{message[1:]}"


_EXPLANATIONS: dict[str, Callable[[ErrorDetails, Sequence[Schema]], str]] = {
    "literal_error": _explain_choice,
    "enum": _explain_choice,
    "greater_than": _explain_range,
    "greater_than_equal": _explain_range,
    "less_than": _explain_range,
    "less_than_equal": _explain_range,
    "finite_number": _explain_finite,
    "too_short": _explain_length,
    "too_long": _explain_length,
    "string_too_short": _explain_length,
    "string_too_long": _explain_length,
    "missing": _explain_missing,
    "value_error": _explain_own,
    "assertion_error": _explain_own,
    "union_tag_invalid": _explain_tag,
    "union_tag_not_found": _explain_tag,
}
