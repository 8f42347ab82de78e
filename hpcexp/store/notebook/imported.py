"""Notebooks that were kept as text: a copy beside the experiments, and what it says of each."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from hpcexp.errors import HpcexpError, UsageError
from hpcexp.store.files import read_record, write_json
from hpcexp.store.layout import NotebookDir, notebook_dir
from hpcexp.store.notebook.laboratory import Block, Line, parse_notebook
from hpcexp.store.notebook.names import read_name
from hpcexp.store.notebook.notes import Note, find_author
from hpcexp.store.notebook.tags import find_tags

MAX_BYTES = 50_000_000


@dataclass(frozen=True)
class ImportedNotebook:
    """The text of an imported notebook, as it was; `lines` are with their ends.

    `year` is that of its first date where the text does not say it. `imported` is when,
    `importer` by whom, `origin` from which file.
    """

    name: str
    origin: str
    imported: str
    importer: str
    lines: tuple[str, ...]
    year: int | None = None

    def parse(self) -> tuple[Block, ...]:
        """Its blocks; raises UsageError as `parse_notebook` does."""
        return parse_notebook("".join(self.lines), path=self.origin, year=self.year)


@dataclass(frozen=True)
class Change:
    """What an import changed: how many lines there are, came, and went."""

    notebook: ImportedNotebook
    num_new: int
    num_gone: int


def import_notebook(
    path: Path, *, experiments_dir: Path, name: str | None = None, year: int | None = None
) -> Change:
    """Keep a copy of a notebook; an older copy of the same file is replaced.

    What it says of experiments is looked up whenever they are shown, so that one that is
    launched or copied here later finds its remarks.
    Raises UsageError, and keeps nothing, for a file that cannot be read as a notebook, or a
    name that stands for another file.
    """
    text = _read_text(path)
    chosen = _check_name(name or path.stem, is_given=name is not None)
    notebook = ImportedNotebook(
        name=chosen,
        origin=str(path.resolve()),
        imported=datetime.now().astimezone().isoformat(timespec="seconds"),
        importer=find_author(),
        lines=tuple(line for line in re.split(r"(?<=\n)", text) if line),
        year=year,
    )
    parse_notebook(text, path=str(path), year=year)
    place = notebook_dir(experiments_dir)
    before = _read_old(place, notebook)
    _write(place, notebook)
    new = Counter(notebook.lines) - Counter(before)
    gone = Counter(before) - Counter(notebook.lines)
    return Change(notebook, num_new=new.total(), num_gone=gone.total())


def read_imported(experiments_dir: Path) -> tuple[list[ImportedNotebook], list[str]]:
    """The notebooks that were imported, by name, and what is wrong with those left out."""
    notebooks, problems = [], []
    for path in sorted(notebook_dir(experiments_dir).imported_dir.glob("*.json")):
        if path.name.startswith("."):  # being written
            continue
        try:
            record = read_record(path, ImportedNotebook)
            notebook = dataclasses.replace(record, lines=tuple(record.lines))
            notebook.parse()
            notebooks.append(notebook)
        except (HpcexpError, TypeError) as error:
            problems.append(str(error) if str(path) in str(error) else f"{path}: {error}")
    return notebooks, problems


def find_remarks(notebook: ImportedNotebook) -> dict[str, list[Note]]:
    """What a notebook says of each experiment that it names, in its order.

    The lines indented below a name are about it. Names that follow each other without a
    remark between share the one below the last.
    """
    remarks: dict[str, list[Note]] = {}
    for block in notebook.parse():
        for names, lines in _split_remarks(block.lines):
            for name in names:
                remarks.setdefault(name, []).append(_make_note(notebook, block, lines))
    return remarks


def dedent(lines: Sequence[Line]) -> list[str]:
    """Lines without the indentation that all of them have, and without blank ones at the ends."""
    shown = [line for line in lines if not line.is_blank]
    least = min((line.indent for line in shown), default=0)
    return [" " * (line.indent - least) + line.text for line in shown]


def _split_remarks(lines: Sequence[Line]) -> Iterator[tuple[list[str], list[Line]]]:
    waiting: list[str] = []
    for place, line in enumerate(lines):
        name = read_name(line.text)
        if name is None:
            if not line.is_blank:
                waiting = []
            continue
        below = list(_take_below(lines[place + 1 :], line.indent))
        if below:
            yield [*waiting, name], below
            waiting = []
        else:
            waiting.append(name)


def _take_below(lines: Sequence[Line], indent: int) -> Iterator[Line]:
    for line in lines:
        if line.is_blank:
            continue
        if line.indent <= indent:
            return
        yield line


def _make_note(notebook: ImportedNotebook, block: Block, lines: Sequence[Line]) -> Note:
    text = dedent(lines)
    return Note(
        created=block.sort_day.isoformat() if block.sort_day else "",
        author="",
        text="\n".join(text),
        tags=find_tags(text),
        source=f"{notebook.name}, line {lines[0].number}",
    )


def _read_text(path: Path) -> str:
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise UsageError(f"{path}: {size} bytes; a notebook has {MAX_BYTES} at most")
        content = path.read_bytes()
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UsageError(
            f"{path}: line {line} is not UTF-8; convert the file first, for example with "
            f"'iconv -f GB18030 -t UTF-8' or with your editor"
        ) from error
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from error
    if not text.strip():
        raise UsageError(f"{path}: is empty; a notebook has blocks such as '12/13 {{ ... }}'")
    return text


def _check_name(name: str, *, is_given: bool) -> str:
    if not re.fullmatch(r"\w[\w.@ -]*", name):
        how = "--name" if is_given else "the file's name; give another one with --name"
        raise UsageError(f"{name!r} cannot name a notebook: letters, digits, '_.-' only ({how})")
    return name


def _read_old(place: NotebookDir, notebook: ImportedNotebook) -> tuple[str, ...]:
    path = place.imported_path(notebook.name)
    if not path.exists():
        return ()
    old = read_record(path, ImportedNotebook)
    if old.origin != notebook.origin:
        raise UsageError(
            f"a notebook named {notebook.name!r} was imported from {old.origin}; "
            f"give this one another name with --name, or remove {path}"
        )
    return tuple(old.lines)


def _write(place: NotebookDir, notebook: ImportedNotebook) -> None:
    path = place.imported_path(notebook.name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, dataclasses.asdict(notebook))
    except OSError as error:
        raise HpcexpError(f"{path}: cannot be written ({error.strerror})") from error
