"""The small job that waits for others of its experiment: what is known of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FollowUpJob:
    """A job that goes on once the arrays `after` have ended.

    Written before it is submitted, without `job_id`. `problem` is why it could not be.
    """

    job_name: str
    after: tuple[str, ...]
    created: float
    job_id: str = ""
    problem: str = ""
