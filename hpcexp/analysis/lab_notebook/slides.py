"""The experiments that are to be talked about in a meeting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from hpcexp.analysis.lab_notebook.cards import Card, make_absent_card, make_card
from hpcexp.errors import HpcexpError
from hpcexp.store.catalogue import Query, search
from hpcexp.store.notebook.gather import read_writings
from hpcexp.store.notebook.notes import Note
from hpcexp.store.notebook.tags import MEETING


@dataclass(frozen=True)
class Slide:
    """An experiment with what was written about it: first the tagged notes, then the others."""

    card: Card
    tagged: tuple[Note, ...]
    others: tuple[Note, ...]

    @property
    def title(self) -> str:
        """The question, or the name where none was asked."""
        return self.card.question or self.card.short_name

    @property
    def day(self) -> date | None:
        """The day of the first tagged note."""
        return next((note.day for note in self.tagged if note.day), None)


@dataclass(frozen=True)
class Slides:
    """Slides in the order in which experiments were launched; and what is unreadable."""

    tag: str
    since: date | None
    slides: tuple[Slide, ...]
    problems: tuple[str, ...]

    @property
    def subtitle(self) -> str:
        """How many experiments, since when."""
        count = "1 experiment" if len(self.slides) == 1 else f"{len(self.slides)} experiments"
        return count if self.since is None else f"{count} since {self.since}"


def choose_slides(
    experiments_dir: Path, *, since: date | None = None, tag: str = MEETING
) -> Slides:
    """The experiments with a note so tagged that was written since a day.

    Those that an imported notebook tags and that are not here are shown with its words alone.
    """
    found = search(experiments_dir, Query(tags=(tag,)))
    slides: list[Slide] = []
    problems = list(found.problems)
    for entry in found.entries:
        try:
            slides += _make_slide(make_card(entry), since=since, tag=tag)
        except HpcexpError as error:
            problems.append(str(error))
    here = {entry.experiment.name for entry in search(experiments_dir, Query()).entries}
    for name, notes in read_writings(experiments_dir).remarks.items():
        if name not in here:
            slides += _make_slide(make_absent_card(name, notes), since=since, tag=tag)
    slides.sort(key=lambda slide: slide.card.name)
    return Slides(tag, since, tuple(slides), tuple(dict.fromkeys(problems)))


def _make_slide(card: Card, *, since: date | None, tag: str) -> Sequence[Slide]:
    tagged = tuple(note for note in card.notes if tag in note.tags and _is_new(note, since))
    if not tagged:
        return []
    return [Slide(card, tagged, tuple(note for note in card.notes if note not in tagged))]


def _is_new(note: Note, since: date | None) -> bool:
    return since is None or (note.day is not None and note.day >= since)
