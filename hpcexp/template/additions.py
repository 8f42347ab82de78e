"""What `hpcexp extend` is told on the command line: groups to add, and a longer budget."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel

from hpcexp.errors import Problem, TemplateError
from hpcexp.template.check import join_names
from hpcexp.template.faults import explain_unknown, find_faults
from hpcexp.template.fields import find_variants
from hpcexp.template.nodes import Origin, to_plain
from hpcexp.template.read import UnreadableError, parse_value

BUDGET = ("max_epoch", "max_step")
LABEL = "command line"

_T = TypeVar("_T")
_OPENING, _CLOSING, _QUOTES = "[{(", "]})", "\"'"


@dataclass(frozen=True)
class NewGroup:
    """One `--add-group`: `names` are its parts without a value, `values` go by dotted name."""

    text: str
    names: tuple[str, ...]
    values: Mapping[str, Any]

    @property
    def where(self) -> str:
        """What an error calls it."""
        return f"--add-group {self.text}"


def parse_new_groups(texts: Sequence[str], *, config_class: type[BaseModel]) -> list[NewGroup]:
    """Groups from texts such as `rnn_width=64,lr=1e-3`, or `NAME,lr=1e-3`.

    Values are read as in a template; whether they are allowed is seen with the whole group.
    Raises TemplateError, with all faults.
    """
    return _parse_all(texts, lambda text: _parse_new_group(text, config_class))


def parse_budget(settings: Sequence[str]) -> dict[str, Any]:
    """The hyperparameters to raise, from texts such as `max_epoch=9000`.

    Raises TemplateError, with all faults.
    """
    parsed = _parse_all(settings, _parse_setting)
    names = [name for name, _ in parsed]
    twice = [name for name in BUDGET if names.count(name) > 1]
    if twice:
        raise TemplateError(
            [
                Problem(LABEL, None, f"--set {name}", "is given twice; give it once")
                for name in twice
            ]
        )
    return dict(parsed)


def describe_faults(config_class: type[BaseModel], data: Mapping[str, Any]) -> list[str]:
    """What a workload refuses in the hyperparameters of a group, in words."""
    faults = find_faults(config_class, data, noun="hyperparameter")
    return [
        f"{join_names(fault.names)}: {fault.message}" if fault.names else fault.message
        for fault in faults
    ]


def _parse_all(texts: Sequence[str], parse: Callable[[str], _T]) -> list[_T]:
    parsed: list[_T] = []
    problems: list[Problem] = []
    for text in texts:
        try:
            parsed.append(parse(text))
        except UnreadableError as error:
            problems.append(error.problem)
    if problems:
        raise TemplateError(problems)
    return parsed


def _parse_setting(text: str) -> tuple[str, Any]:
    name, separator, value = text.partition("=")
    key = name.strip().removeprefix("params.")
    origin = Origin(LABEL, None, f"--set {name.strip()}")
    if key not in BUDGET:
        written = f"{key}={value}" if separator else f"{key}=VALUE"
        raise UnreadableError(
            origin.problem(
                f"only {' and '.join(BUDGET)} of an experiment can be raised: another value of "
                f"anything else is another group: --add-group {written}"
            )
        )
    return key, _parse_value(value if separator else "", key, origin)


def _parse_new_group(text: str, config_class: type[BaseModel]) -> NewGroup:
    origin = Origin(LABEL, None, f"--add-group {text}")
    names: list[str] = []
    values: dict[str, Any] = {}
    for part in _split(text):
        key, separator, value = part.partition("=")
        key = key.strip().removeprefix("params.")
        if not separator:
            names.append(key)
            continue
        if not find_variants(config_class, key.split(".")):
            message = explain_unknown(key, config_class, noun="hyperparameter")
            raise UnreadableError(origin.problem(f"{key}: {message}"))
        overlapping = [name for name in values if f"{name}.".startswith(f"{key}.")]
        overlapping += [name for name in values if f"{key}.".startswith(f"{name}.")]
        if overlapping:
            raise UnreadableError(
                origin.problem(f"{key} and {overlapping[0]} overlap; give one of them")
            )
        values[key] = _parse_value(value, key, origin)
    if not values and not any(names):
        raise UnreadableError(origin.problem("names no group; write KEY=VALUE, such as lr=0.01"))
    return NewGroup(text, tuple(names), values)


def _parse_value(text: str, key: str, origin: Origin) -> Any:
    if not text.strip():
        raise UnreadableError(origin.problem(f"no value; write {key}=VALUE"))
    node, problems = parse_value(text, origin=origin)
    if problems:
        raise UnreadableError(problems[0])
    return to_plain(node)


def _split(text: str) -> Iterator[str]:
    """The parts between commas that are in no bracket and no quotes."""
    depth, quote, begin = 0, "", 0
    for place, character in enumerate(text):
        if quote:
            quote = "" if character == quote else quote
        elif character in _QUOTES:
            quote = character
        elif character in _OPENING + _CLOSING:
            depth += 1 if character in _OPENING else -1
        elif character == "," and depth == 0:
            yield text[begin:place]
            begin = place + 1
    yield text[begin:]
