"""Durations: units or Slurm's clock, never a bare number."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcexp.template.durations import explain_duration, parse_duration_s


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("12h30m", 45000),
        ("90m", 5400),
        ("2d", 172800),
        ("45s", 45),
        ("1d2h3m4s", 93784),
        ("12:30:00", 45000),
        ("2-00:00:00", 172800),
        ("48:00:00", 172800),
    ],
)
def test_units_and_slurm_s_clock_are_read(text: str, seconds: int) -> None:
    assert parse_duration_s(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "12", "1.5h", "h", "30m12h", "12:30", "12:60:00", "-1h", "1 h", "2 days", "1H"]
)
def test_anything_else_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(ValueError, match="write"):
        parse_duration_s(text)


@pytest.mark.parametrize("text", ["0s", "00:00:00", "366d"])
def test_zero_and_more_than_a_year_are_out_of_range(text: str) -> None:
    with pytest.raises(ValueError, match="out of range"):
        parse_duration_s(text)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (45000, '45000 is not a duration: it has no unit; write 12h30m (or "12:30:00")'),
        ("12:30", "write 12h30m or 12m30s"),
        (True, "true is not a duration; write"),
        (None, "null is not a duration; write"),
    ],
)
def test_the_refusal_says_what_is_missing(value: Any, message: str) -> None:
    assert message in explain_duration(value)


@given(st.integers(0, 20), st.integers(0, 23), st.integers(0, 59), st.integers(1, 59))
def test_both_spellings_of_a_time_agree(days: int, hours: int, minutes: int, seconds: int) -> None:
    with_units = parse_duration_s(f"{days}d{hours}h{minutes}m{seconds}s")
    clock = parse_duration_s(f"{days}-{hours:02}:{minutes:02}:{seconds:02}")
    assert with_units == clock
