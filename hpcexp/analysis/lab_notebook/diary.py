"""The notebook in the order of days: launches, notes, and blocks of imported notebooks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from pathlib import Path

from hpcexp.analysis.lab_notebook.cards import Card, make_card
from hpcexp.errors import HpcexpError
from hpcexp.store.catalogue import Query, search
from hpcexp.store.notebook.gather import Writings, read_writings
from hpcexp.store.notebook.imported import ImportedNotebook
from hpcexp.store.notebook.laboratory import TAB_WIDTH, Block, Line
from hpcexp.store.notebook.names import read_name
from hpcexp.store.notebook.notes import Note
from hpcexp.store.notebook.tags import is_tag_line


@dataclass(frozen=True)
class DiaryLine:
    """A line of a block: how deep it stands (0 at the margin), and the experiment it names."""

    text: str
    depth: int
    experiment: str | None


@dataclass(frozen=True)
class DiaryBlock:
    """A block of an imported notebook; `source` says where it begins."""

    heading: str
    source: str
    lines: tuple[DiaryLine, ...]


@dataclass(frozen=True)
class LaterNote:
    """A note that was written on another day than that of its experiment's launch."""

    experiment: str
    note: Note


@dataclass(frozen=True)
class Day:
    """A day of the notebook; `day` is None for what has no date."""

    day: date | None
    cards: tuple[Card, ...]
    blocks: tuple[DiaryBlock, ...]
    notes: tuple[LaterNote, ...]


@dataclass(frozen=True)
class Diary:
    """All days, the first one first, what has no date at the end; and what is unreadable."""

    days: tuple[Day, ...]
    problems: tuple[str, ...]

    @property
    def cards(self) -> tuple[Card, ...]:
        """All experiments that are here."""
        return tuple(card for day in self.days for card in day.cards)


def read_diary(
    experiments_dir: Path, *, since: date | None = None, until: date | None = None
) -> Diary:
    """Everything that happened and was written in a directory of experiments in some time."""
    found = search(experiments_dir, Query())
    writings = read_writings(experiments_dir)
    cards, problems = [], list(found.problems)
    for entry in reversed(found.entries):  # the oldest first
        try:
            cards.append(make_card(entry))
        except HpcexpError as error:
            problems.append(str(error))
    dated: list[tuple[date | None, Card | DiaryBlock | LaterNote]] = [
        *((card.launched, card) for card in cards),
        *((note.note.day, note) for note in _find_later_notes(cards)),
        *_date_blocks(writings),
    ]
    kept = [(day, item) for day, item in dated if _is_within(day, since=since, until=until)]
    kept.sort(key=lambda pair: pair[0] or date.max)
    days = groupby(kept, key=lambda pair: pair[0])
    return Diary(
        tuple(_make_day(day, [item for _, item in pairs]) for day, pairs in days),
        tuple(dict.fromkeys(problems)),
    )


def _is_within(day: date | None, *, since: date | None, until: date | None) -> bool:
    if day is None:
        return since is None and until is None
    return (since or day) <= day <= (until or day)


def _make_day(day: date | None, items: Sequence[Card | DiaryBlock | LaterNote]) -> Day:
    return Day(
        day,
        cards=tuple(item for item in items if isinstance(item, Card)),
        blocks=tuple(item for item in items if isinstance(item, DiaryBlock)),
        notes=tuple(item for item in items if isinstance(item, LaterNote)),
    )


def _find_later_notes(cards: Iterable[Card]) -> Iterator[LaterNote]:
    """A remark of an imported notebook stands in its block."""
    for card in cards:
        for note in card.notes:
            if not note.source and note.day != card.launched:
                yield LaterNote(card.name, note)


def _date_blocks(writings: Writings) -> Iterator[tuple[date | None, DiaryBlock]]:
    for notebook in writings.notebooks:
        for block in notebook.parse():
            if block.opening or any(not line.is_blank for line in block.lines):
                yield block.sort_day, make_block(notebook, block)


def make_block(notebook: ImportedNotebook, block: Block) -> DiaryBlock:
    """A block with the depths of its lines; blank lines are left out."""
    lines = [line for line in block.lines if not line.is_blank]
    number = block.all_lines[0].number
    return DiaryBlock(block.heading, f"{notebook.name}, line {number}", tuple(_nest(lines)))


def _nest(lines: Sequence[Line]) -> Iterator[DiaryLine]:
    depths = find_depths([line.indent for line in lines])
    for line, depth in zip(lines, depths, strict=True):
        yield DiaryLine(line.text, depth, read_name(line.text))


def nest_text(text: str) -> tuple[DiaryLine, ...]:
    """The lines of a note with their depths, without blank ones and those of tags alone."""
    said = [line for line in text.splitlines() if line.strip() and not is_tag_line(line)]
    lines = [line.expandtabs(TAB_WIDTH) for line in said]
    depths = find_depths([len(line) - len(line.lstrip()) for line in lines])
    return tuple(
        DiaryLine(line.strip(), depth, None) for line, depth in zip(lines, depths, strict=True)
    )


def find_depths(indents: Sequence[int]) -> list[int]:
    """How deep each line stands, one step at most below the one before, however wide steps are."""
    depths, open_indents = [], list[int]()
    for indent in indents:
        while open_indents and open_indents[-1] >= indent:
            open_indents.pop()
        depths.append(len(open_indents))
        open_indents.append(indent)
    return depths
