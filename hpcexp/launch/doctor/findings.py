"""What a check found, how bad that is, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any


class Level(StrEnum):
    """WARN: hpcexp works, with less or more slowly. ERROR: it will not, or not safely."""

    PASSED = "PASSED"
    WARN = "WARN"
    ERROR = "ERROR"


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's: what was found, and unless it passed, what to do.

    `details` are further lines. `facts` are compared between the login node and a compute node.
    """

    check: str
    level: Level
    found: str
    todo: str = ""
    details: tuple[str, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Report:
    """What checks found; `not_checked` needed something that is broken."""

    findings: tuple[Finding, ...] = ()
    not_checked: tuple[str, ...] = ()

    def get(self, check: str) -> Finding | None:
        """The finding of that name."""
        return next((finding for finding in self.findings if finding.check == check), None)

    @property
    def has_errors(self) -> bool:
        """Whether anything will not work."""
        return any(finding.level == Level.ERROR for finding in self.findings)


def passed(
    check: str, found: str, *, details: Iterable[str] = (), facts: Mapping[str, str] | None = None
) -> Finding:
    """A finding that needs nobody."""
    return Finding(check, Level.PASSED, found, details=tuple(details), facts=facts or {})


def warn(
    check: str,
    found: str,
    *,
    todo: str,
    details: Iterable[str] = (),
    facts: Mapping[str, str] | None = None,
) -> Finding:
    """A finding that costs something."""
    return Finding(check, Level.WARN, found, todo, tuple(details), facts or {})


def error(check: str, found: str, *, todo: str, details: Iterable[str] = ()) -> Finding:
    """A finding that stops hpcexp, or makes it unsafe."""
    return Finding(check, Level.ERROR, found, todo, tuple(details))


def report_to_json(report: Report) -> dict[str, Any]:
    """A report as JSON has it."""
    return {
        "findings": [asdict(finding) for finding in report.findings],
        "not_checked": list(report.not_checked),
    }


def report_from_json(values: Mapping[str, Any]) -> Report:
    """The report that became this JSON.

    Raises KeyError, TypeError or ValueError for anything else.
    """
    return Report(
        tuple(finding_from_json(value) for value in values["findings"]),
        tuple(values["not_checked"]),
    )


def finding_from_json(value: Mapping[str, Any]) -> Finding:
    """The finding that became this JSON."""
    return Finding(**{**value, "level": Level(value["level"]), "details": tuple(value["details"])})


def count_levels(findings: Sequence[Finding]) -> dict[Level, int]:
    """How many findings there are of each level."""
    return {level: sum(f.level == level for f in findings) for level in Level}
