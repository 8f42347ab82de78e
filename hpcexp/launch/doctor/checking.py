"""Runs checks side by side, and always comes to an end.

A check may hang (a file server that is away), raise, or be pointless because of what another
one found. None of that keeps the others from being reported.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from hpcexp.launch.doctor.findings import Finding, Level, Report, error

Subject = TypeVar("Subject")
TIMEOUT_S = 20.0


@dataclass(frozen=True)
class Check(Generic[Subject]):
    """A question about a subject; asked once those that it `needs` found no error."""

    name: str
    look: Callable[[Subject], Finding | Sequence[Finding]]
    needs: tuple[str, ...] = ()
    timeout_s: float = TIMEOUT_S


_Answers = queue.SimpleQueue[tuple[str, tuple[Finding, ...]]]


def run_checks(checks: Sequence[Check[Subject]], subject: Subject) -> Report:
    """Run a table of checks in parallel; the findings come in the table's order."""
    answers: _Answers = queue.SimpleQueue()
    waiting = list(checks)
    deadlines: dict[str, float] = {}
    found: dict[str, tuple[Finding, ...]] = {}
    skipped: list[str] = []
    while waiting or deadlines:
        for check in [c for c in waiting if set(c.needs) <= {*found, *skipped}]:
            waiting.remove(check)
            if any(need in skipped or _has_error(found[need]) for need in check.needs):
                skipped.append(check.name)
            else:
                deadlines[check.name] = time.monotonic() + check.timeout_s
                _start(check, subject, answers)
        if not deadlines:
            continue
        nearest = min(deadlines, key=deadlines.__getitem__)
        try:
            name, findings = answers.get(timeout=max(0.0, deadlines[nearest] - time.monotonic()))
        except queue.Empty:
            name, findings = nearest, (_give_up(nearest, checks),)
        if deadlines.pop(name, None) is not None:  # not given up before
            found[name] = findings
    names = [check.name for check in checks]
    return Report(
        findings=tuple(f for name in names for f in found.get(name, ())),
        not_checked=tuple(name for name in names if name in skipped),
    )


def look_safely(check: Check[Subject], subject: Subject) -> tuple[Finding, ...]:
    """What a check finds; where it breaks, that is what was found."""
    try:
        found = check.look(subject)
    except Exception as problem:
        return (
            error(
                check.name,
                f"could not be checked: {type(problem).__name__}: {problem}",
                todo="if that does not tell you the cause, please report it: hpcexp did not "
                "foresee it",
            ),
        )
    return (found,) if isinstance(found, Finding) else tuple(found)


def _start(check: Check[Subject], subject: Subject, answers: _Answers) -> None:
    def look() -> None:
        answers.put((check.name, look_safely(check, subject)))

    # A daemon, so that one that hangs does not keep this process from ending.
    threading.Thread(target=look, name=check.name, daemon=True).start()


def _give_up(name: str, checks: Sequence[Check[Subject]]) -> Finding:
    timeout_s = next(check.timeout_s for check in checks if check.name == name)
    return error(
        name,
        f"no answer within {timeout_s:.0f} s",
        todo="something that it asks hangs, such as a file server or a daemon that is away: try "
        "again, and if it stays so, tell your cluster's administrators",
    )


def _has_error(findings: Sequence[Finding]) -> bool:
    return any(finding.level == Level.ERROR for finding in findings)
