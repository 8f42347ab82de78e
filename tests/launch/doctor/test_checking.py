"""Checks run side by side, and the report always comes."""

from __future__ import annotations

import threading
import time

import pytest

from hpcexp.launch.doctor.checking import Check, run_checks
from hpcexp.launch.doctor.findings import (
    Finding,
    Level,
    Report,
    error,
    passed,
    report_from_json,
    report_to_json,
    warn,
)


def pass_(name: str) -> Check[str]:
    return Check(name, lambda subject: passed(name, subject))


def test_findings_come_in_the_order_of_the_table() -> None:
    def look_slowly(_: str) -> Finding:
        time.sleep(0.1)
        return passed("slow", "")

    report = run_checks([Check("slow", look_slowly), pass_("fast")], "subject")
    assert [finding.check for finding in report.findings] == ["slow", "fast"]


def test_a_check_that_raises_is_an_error_and_not_a_traceback() -> None:
    def raise_(_: str) -> Finding:
        raise OSError(5, "Input/output error")

    report = run_checks([Check("broken", raise_), pass_("other")], "fine")
    broken, other = report.findings
    assert broken.level == Level.ERROR
    assert "OSError: [Errno 5] Input/output error" in broken.found
    assert other.found == "fine"


def test_a_check_that_hangs_is_given_up_and_does_not_hold_up_the_others() -> None:
    held = threading.Event()

    def hang(_: str) -> Finding:
        held.wait(60)
        return passed("hanging", "")

    checks = [Check("hanging", hang, timeout_s=0.1), pass_("other")]
    report = run_checks(checks, "fine")
    held.set()
    assert report.findings[0].level == Level.ERROR
    assert "no answer within" in report.findings[0].found
    assert report.findings[1].found == "fine"


def test_what_needs_a_broken_check_is_not_checked_nor_what_needs_that() -> None:
    checks = [
        Check("base", lambda _: error("base", "broken", todo="mend it")),
        Check("above", lambda _: pytest.fail("it was looked at"), ("base",)),
        Check("top", lambda _: pytest.fail("it was looked at"), ("above",)),
        pass_("apart"),
    ]
    report = run_checks(checks, "fine")
    assert [finding.check for finding in report.findings] == ["base", "apart"]
    assert report.not_checked == ("above", "top")
    assert report.has_errors


def test_a_warning_stops_nothing() -> None:
    checks: list[Check[str]] = [
        Check("base", lambda _: warn("base", "slow", todo="wait")),
        Check("above", lambda _: [passed("one", ""), passed("two", "")], ("base",)),
    ]
    report = run_checks(checks, "fine")
    assert [finding.check for finding in report.findings] == ["base", "one", "two"]
    assert not report.has_errors


def test_a_report_survives_json() -> None:
    report = Report((warn("a", "b", todo="c", details=["d"], facts={"e": "f"}),), ("g",))
    assert report_from_json(report_to_json(report)) == report
