"""Writing an export whole or not at all."""

from __future__ import annotations

import dataclasses
import shutil
import uuid
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from hpcexp.analysis.export import EXPORTERS
from hpcexp.analysis.frames import Results
from hpcexp.errors import HpcexpError, UsageError
from hpcexp.store.files import write_json
from hpcexp.store.layout import REMOVED_PREFIX, UNFINISHED_PREFIX

MARK = "hpcexp_export.json"
"""In every directory that an export has made, so that no other one is replaced."""


@dataclass(frozen=True)
class Mark:
    """What a directory is an export of, and when it was written."""

    experiment: str
    kind: str
    written: str


def check_kind(kind: str) -> None:
    """Raise UsageError for a kind that there is not."""
    if kind not in EXPORTERS:
        raise UsageError(f"--to {kind}: no such kind; there are {', '.join(EXPORTERS)}")


def write_export(results: Results, kind: str, *, directory: Path | None = None) -> Path:
    """Write one kind into `directory/kind`, or into the experiment; an older export is replaced.

    Raises UsageError for an unknown kind, a package that is not installed, or a directory of
    something else, HpcexpError where it cannot be written.
    """
    check_kind(kind)
    target = results.experiment.export_dir(kind) if directory is None else directory / kind
    if target.exists() and not (target / MARK).exists():
        raise UsageError(f"{target} is there, and no export of hpcexp: it is not replaced")
    aside = target.with_name(f"{UNFINISHED_PREFIX}{kind}_{uuid.uuid4().hex[:8]}")
    try:
        aside.mkdir(parents=True)
        EXPORTERS[kind](results, aside)
        now = datetime.now().astimezone().isoformat(timespec="seconds")
        mark = Mark(results.experiment.name, kind, now)
        write_json(aside / MARK, dataclasses.asdict(mark))
        _swap(aside, target)
    except OSError as error:
        raise HpcexpError(
            f"{target}: cannot be written ({error.strerror or error}); choose another place with "
            "--output"
        ) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return target


def _swap(aside: Path, target: Path) -> None:
    """Put a directory in its place; the old one is moved away first, since none is overwritten."""
    removed = target.with_name(f"{REMOVED_PREFIX}{target.name}_{uuid.uuid4().hex[:8]}")
    if target.exists():
        target.rename(removed)
    aside.rename(target)
    shutil.rmtree(removed, ignore_errors=True)
