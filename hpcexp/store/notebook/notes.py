"""Notes on an experiment: one file each, so that two people at once lose nothing."""

from __future__ import annotations

import dataclasses
import difflib
import getpass
import os
import subprocess
import unicodedata
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from hpcexp.errors import HpcexpError, UsageError
from hpcexp.store.experiment import Plan
from hpcexp.store.files import read_record, write_json
from hpcexp.store.layout import TIMESTAMP, ExperimentDir
from hpcexp.store.notebook.tags import check_tag, find_tags

GIT_TIMEOUT_S = 5


@dataclass(frozen=True)
class Note:
    """What somebody wrote about an experiment.

    `created` is a time with its time zone, or, of an imported remark, a day (`2022-12-14`;
    empty where none is known). `run` is the run or the group that it is about, None for the
    whole experiment. `next` says what to do about it. `source` is the imported notebook and
    the line, such as `laboratory, line 707`; empty for a note that was written here.
    """

    created: str
    author: str
    text: str
    tags: tuple[str, ...] = ()
    run: str | None = None
    next: str = ""
    source: str = ""

    @property
    def day(self) -> date | None:
        """The day on which it was written, by the writer's clock."""
        return date.fromisoformat(self.created[:10]) if self.created else None


@dataclass(frozen=True)
class Notes:
    """The notes on an experiment, oldest first; `problems` names those that cannot be read."""

    notes: tuple[Note, ...]
    problems: tuple[str, ...] = ()


def make_note(
    text: str, *, tags: Sequence[str] = (), run: str | None = None, next_step: str = ""
) -> Note:
    """A note of this moment, by this person; lines of `#words` in the text are tags too.

    Raises UsageError for an empty text or a tag that is none.
    """
    text, next_step = _clean(text), _clean(next_step)
    if not text and not next_step:
        raise UsageError("an empty note: nothing was written")
    all_tags = (*(check_tag(tag) for tag in tags), *find_tags(text.splitlines()))
    return Note(
        created=datetime.now().astimezone().isoformat(timespec="seconds"),
        author=find_author(),
        text=text,
        tags=tuple(dict.fromkeys(all_tags)),
        run=run,
        next=next_step,
    )


def check_run(plan: Plan, name: str, *, experiment_name: str) -> None:
    """Raise UsageError where a plan has no run or group of that name."""
    known = [*(group.name for group in plan.groups), *(run.name for run in plan.runs)]
    if name not in known:
        near = difflib.get_close_matches(name, known, n=2) or known[:2]
        raise UsageError(
            f"{experiment_name} has no run or group {name!r}; did you mean {' or '.join(near)}?"
        )


def add_note(experiment: ExperimentDir, note: Note) -> None:
    """Keep a note beside all others.

    Raises HpcexpError where the directory cannot be written.
    """
    stem = f"{datetime.now().strftime(TIMESTAMP)}_{uuid.uuid4().hex[:8]}"
    try:
        experiment.notes_dir.mkdir(exist_ok=True)
        write_json(experiment.note_path(stem), dataclasses.asdict(note))
    except OSError as error:
        raise HpcexpError(
            f"{experiment.notes_dir}: the note cannot be written ({error.strerror})"
        ) from error


def read_notes(experiment: ExperimentDir) -> Notes:
    """All notes on an experiment, oldest first; a damaged one does not hide the others."""
    notes, problems = [], []
    for path in sorted(experiment.notes_dir.glob("*.json")):
        if path.name.startswith("."):  # being written
            continue
        try:
            notes.append(_read_note(path))
        except (HpcexpError, TypeError, ValueError) as error:
            text = str(error)
            problems.append(text if str(path) in text else f"{path}: damaged ({text})")
    return Notes(tuple(notes), tuple(problems))


def _read_note(path: Path) -> Note:
    note = read_record(path, Note)
    datetime.fromisoformat(note.created)  # or it cannot be put in order
    return dataclasses.replace(note, tags=tuple(note.tags))


def find_author() -> str:
    """Who writes: as git knows the person, else the user's name on this machine."""
    author = os.environ.get("GIT_AUTHOR_NAME", "") or _ask_git()
    if author:
        return _clean(author)
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container whose uid has no name
        return str(os.getuid())


def _ask_git() -> str:
    try:
        done = subprocess.run(
            ["git", "config", "user.name"],
            capture_output=True,
            timeout=GIT_TIMEOUT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.decode(errors="replace").strip()


def _clean(text: str) -> str:
    """Valid text: arguments may hold bytes of another encoding, and control characters.

    A control character would steer the terminal of everybody who reads the note.
    """
    valid = text.encode(errors="surrogateescape").decode(errors="replace")
    kept = (c for c in valid if c in "\n\t" or unicodedata.category(c) != "Cc")
    return "\n".join(line.rstrip() for line in "".join(kept).split("\n")).strip("\n")
