"""`sample` of a template as plain data -> a Space, or every flaw of it with its place."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hpcexp.sampling.conditions import find_circle, is_equal
from hpcexp.sampling.sobol import MAX_DIMENSIONS
from hpcexp.sampling.space import ADAPTIVE, DISTRIBUTIONS, METHODS, Axis, Space

KEYS = ("count", "method", "seed", "axes", "start", "at_once")
MAX_COUNT = 100_000
_START, _AT_ONCE = 8, 4


@dataclass(frozen=True)
class Flaw:
    """What is wrong at `names` inside `sample`."""

    names: tuple[str | int, ...]
    message: str


def parse_space(plain: Any) -> tuple[Space | None, list[Flaw]]:
    """The space that the data describe; None where a flaw leaves nothing to sample."""
    if not isinstance(plain, Mapping):
        return None, [Flaw((), "must be a mapping such as {count: 32, axes: {lr: ...}}")]
    flaws = [
        Flaw((key,), f"no such key of sample{_suggest(key, KEYS)}")
        for key in plain
        if key not in KEYS
    ]
    method = plain.get("method", METHODS[0])
    if method not in METHODS:
        flaws.append(Flaw(("method",), f"{_show(method)} is no method{_suggest(method, METHODS)}"))
        method = METHODS[0]
    count = _read_whole(plain, "count", None, 1, flaws)
    seed = _read_whole(plain, "seed", 0, 0, flaws, most=2**63 - 1)
    start, at_once = _read_pace(plain, method, flaws)
    axes = list(_read_axes(plain, flaws))
    flaws += _find_circles(axes)
    if method in ("sobol", *ADAPTIVE) and len(axes) > MAX_DIMENSIONS:
        flaws.append(
            Flaw(("axes",), f"{len(axes)} axes; sobol has {MAX_DIMENSIONS}: write method: random")
        )
    if flaws or count is None or seed is None or start is None or at_once is None:
        return None, flaws
    return Space(tuple(axes), count, str(method), seed, start, at_once), []


def _read_pace(
    plain: Mapping[str, Any], method: Any, flaws: list[Flaw]
) -> tuple[int | None, int | None]:
    """`start` and `at_once`, which only an adaptive method knows."""
    if method in ADAPTIVE:
        start = _read_whole(plain, "start", _START, 1, flaws)
        return start, _read_whole(plain, "at_once", _AT_ONCE, 1, flaws)
    for key in ("start", "at_once"):
        if key in plain:
            message = f"is for a search that learns from results; write method: tpe, or no {key}"
            flaws.append(Flaw((key,), message))
    return 0, 0


def _read_whole(
    plain: Mapping[str, Any],
    key: str,
    default: int | None,
    least: int,
    flaws: list[Flaw],
    *,
    most: int = MAX_COUNT,
) -> int | None:
    value: Any = plain.get(key, default)
    if value is None and key not in plain:
        flaws.append(Flaw((key,), "missing; write the number of samples, such as 32"))
    elif not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        message = f"{_show(value)} is not a whole number from {least} to {most}"
        flaws.append(Flaw((key,), message))
    else:
        return int(value)
    return None


def _read_axes(plain: Mapping[str, Any], flaws: list[Flaw]) -> Iterator[Axis]:
    axes = plain.get("axes")
    if not isinstance(axes, Mapping) or not axes:
        message = "must name what is sampled, such as {lr: {log_uniform: [1e-5, 1e-2]}}"
        flaws.append(Flaw(("axes",), message))
        return
    for name, described in axes.items():
        place: tuple[str | int, ...] = ("axes", name)
        if not isinstance(described, Mapping):
            example = f"{{uniform: {DISTRIBUTIONS['uniform']}}}"
            message = f"{_show(described)} is no distribution; write {name}: {example}"
            flaws.append(Flaw(place, message))
            continue
        kinds = [key for key in described if key != "only_if"]
        if len(kinds) != 1 or kinds[0] not in DISTRIBUTIONS:
            flaws.append(Flaw(place, _explain_distribution(kinds)))
            continue
        arguments = described[kinds[0]]
        problem = _find_argument_flaw(kinds[0], arguments)
        if problem:
            flaws.append(Flaw((*place, kinds[0]), problem))
        conditions = _read_conditions(described.get("only_if", {}), name, flaws)
        if not problem and conditions is not None:
            yield Axis(name, kinds[0], tuple(arguments), conditions)


def _explain_distribution(kinds: list[Any]) -> str:
    forms = ", ".join(f"{name}: {example}" for name, example in DISTRIBUTIONS.items())
    unknown = [kind for kind in kinds if kind not in DISTRIBUTIONS]
    if unknown:
        near = difflib.get_close_matches(str(unknown[0]), list(DISTRIBUTIONS), n=1)
        hint = f"; did you mean {near[0]}?" if near else f"; must be one of {forms}"
        return f"{_show(unknown[0])} is no distribution{hint}"
    found = " and ".join(map(str, kinds)) or "none"
    return f"needs one distribution, has {found}; write one of {forms}"


def _find_argument_flaw(distribution: str, arguments: Any) -> str:
    """What is wrong with the arguments of a distribution; empty where nothing is."""
    example = f"such as {distribution}: {DISTRIBUTIONS[distribution]}"
    if distribution == "choice":
        if not isinstance(arguments, list) or not arguments:
            return f"must be a list of values, {example}"
        for place, value in enumerate(arguments):
            if any(is_equal(value, other) for other in arguments[:place]):
                return f"{_show(value)} is given twice; keep one"
        return ""
    if not isinstance(arguments, list) or len(arguments) != 2:
        words = "a mean and a standard deviation" if distribution == "normal" else "two ends"
        return f"must be {words}, {example}"
    for value in arguments:
        if isinstance(value, bool) or not isinstance(value, int | float) or not _is_finite(value):
            return f"{_show(value)} is not a finite number; must be {example[8:]}"
        if distribution == "integer" and not isinstance(value, int):
            return f"{_show(value)} is not a whole number; {example}"
    return _find_range_flaw(distribution, *arguments)


def _find_range_flaw(distribution: str, first: float, second: float) -> str:
    if distribution == "normal":
        return "" if second > 0 else f"a standard deviation of {_show(second)}; must be above 0"
    if first >= second:
        return f"from {_show(first)} to {_show(second)}: the first end must be the lower one"
    if distribution == "log_uniform" and first <= 0:
        return f"{_show(first)} has no logarithm; the lower end must be above 0, or write uniform"
    return ""


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond what floats can hold
        return False


def _read_conditions(
    written: Any, axis: str, flaws: list[Flaw]
) -> dict[str, tuple[Any, ...]] | None:
    if not isinstance(written, Mapping):
        message = "must be a mapping of names to values, such as {optimizer: sgd}"
        flaws.append(Flaw(("axes", axis, "only_if"), message))
        return None
    return {
        name: tuple(value) if isinstance(value, list) else (value,)
        for name, value in written.items()
    }


def _find_circles(axes: list[Axis]) -> list[Flaw]:
    circle = find_circle({axis.name: axis.only_if for axis in axes})
    if not circle:
        return []
    return [Flaw(("axes", circle[0], "only_if"), f"a circle: {' -> '.join(circle)}")]


def _suggest(text: Any, known: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(str(text), known, n=1)
    return f"; did you mean {near[0]}?" if near else f"; there are {', '.join(known)}"


def _show(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)
