"""How the training of a run ended. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["completed", "stopped", "diverged", "interrupted"]


@dataclass(frozen=True)
class FitResult:
    """How a run ended; `reason` is in words, empty for a completed run."""

    outcome: Outcome
    step: int
    epoch: int
    reason: str = ""
