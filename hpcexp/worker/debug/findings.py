"""What a check found, and what that usually means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class CheckFailedError(Exception):
    """The check failed; the text says what was found."""


class NothingToCheckError(Exception):
    """There is nothing to check, for the reason that is given."""


class Level(StrEnum):
    """How a check ended; skipped where there is nothing to check."""

    PASSED = "PASSED"
    FAILED = "FAILED"
    SKIPPED = "SKIPPED"


@dataclass(frozen=True)
class Finding:
    """One check: what was found, and, of a failure, what it usually means."""

    level: Level
    check: str
    found: str
    means: str = ""


@dataclass(frozen=True)
class Examination:
    """All checks of one group, in their order; `layers` are rows of statistics, if asked for."""

    group: str
    findings: Sequence[Finding]
    layers: Sequence[Mapping[str, Any]] = ()

    @property
    def has_failures(self) -> bool:
        """Whether any check failed."""
        return any(finding.level is Level.FAILED for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "group": self.group,
            "has_failures": self.has_failures,
            "checks": [
                {"level": f.level.value, "check": f.check, "found": f.found, "means": f.means}
                for f in self.findings
            ],
            "layers": list(self.layers),
        }
