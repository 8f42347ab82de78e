"""What was added to an experiment after its launch, as its plan records it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hpcexp.store.files import build_record


@dataclass(frozen=True)
class Extension:
    """One `hpcexp extend`: who, when, and what changed. `number` counts from 1.

    `groups` and `runs` are the names of what was added. `budget` are the hyperparameters that
    were raised (`max_epoch`, `max_step`), `former_budget` what each group had before, and
    `continued` the runs that go on: `step` and `epoch` where each had ended, `num_steps` and
    `num_epochs` where it ends now. `is_applied` is false from when the plan says so until
    every run does.
    """

    number: int
    created: str
    command: str
    user: str
    commit: str | None
    groups: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    budget: Mapping[str, Any] = field(default_factory=dict)
    former_budget: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    continued: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    is_applied: bool = True


def build_extension(values: Any, *, path: Path) -> Extension:
    """An extension from the values that a plan at `path` holds for it.

    Raises HpcexpError where they are none.
    """
    read = build_record(values, Extension, path=path)
    return dataclasses.replace(read, groups=tuple(read.groups), runs=tuple(read.runs))
