"""The notebook as Markdown."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from hpcexp.analysis.lab_notebook.cards import Card
from hpcexp.analysis.lab_notebook.diary import Diary, DiaryBlock, LaterNote, nest_text
from hpcexp.store.notebook.notes import Note

# An underscore within a word, and most signs in places where they mean nothing, stay readable.
_SPECIAL = re.compile(r"([\\`*\[\]<|$&]|(?<![^\W_])_|_(?![^\W_])|~(?=~)|(?<=~)~)")
_FIRST_SIGN = re.compile(r"^([>#+-]|\d+[.)]|=+$|~(?=~))")
_URL = re.compile(r"(https?://[^\s<>]+)")


def render_markdown(diary: Diary, *, pictures: dict[str, Path], beside: Path) -> str:
    """The notebook; `pictures` are files by experiment, linked as seen from the folder `beside`."""
    lines = ["# Notebook", ""]
    for day in diary.days:
        lines += [f"## {day.day or 'No date'}", ""]
        for card in day.cards:
            picture = pictures.get(card.name)
            link = None if picture is None else Path(os.path.relpath(picture, beside)).as_posix()
            lines += [*_render_card(card, picture=link), ""]
        for note in day.notes:
            lines += [*_render_later(note), ""]
        for block in day.blocks:
            lines += [*_render_block(block, known={card.name for card in diary.cards}), ""]
    for problem in diary.problems:
        lines += [f"> could not be read: {escape(problem)}", ""]
    return "\n".join(lines)


def escape(text: str) -> str:
    """Text that means itself; addresses stay links."""
    parts = _URL.split(text)
    return "".join(f"<{part}>" if i % 2 else _escape_part(part) for i, part in enumerate(parts))


def _escape_part(text: str) -> str:
    escaped = _SPECIAL.sub(r"\\\1", text)
    # At the beginning of a line these would begin a list, a quotation, or a heading.
    return _FIRST_SIGN.sub(lambda match: _escape_sign(match[1]), escaped)


def _escape_sign(sign: str) -> str:
    return f"{sign[:-1]}\\{sign[-1]}" if sign[0].isdigit() else f"\\{sign}"


def _render_card(card: Card, *, picture: str | None) -> Iterator[str]:
    yield f'### <a id="{card.name}"></a>{escape(card.name)}'
    yield ""
    if card.question:
        yield from (f"**{escape(card.question)}**", "")
    yield from (escape(f"{card.setting}: {card.states}"), "")
    if card.verdicts:
        yield from (f"- {escape(verdict)}" for verdict in card.verdicts)
        yield ""
    if card.results:
        yield from _render_results(card)
        yield ""
    if picture is not None:
        address = picture.replace(" ", "%20")
        yield from (f"![{escape(card.metric)} by {escape(card.axis)}]({address})", "")
    for note in card.notes:
        yield from _render_note(note)


def _render_results(card: Card) -> Iterator[str]:
    yield f"| {escape(card.axis)} | n | median {escape(card.metric)} |"
    yield "|---|---:|---:|"
    for result in card.results:
        yield f"| {escape(result.label)} | {result.n} | {result.median} |"
    if card.num_more_groups:
        yield f"| and {card.num_more_groups} more | | |"


def _render_note(note: Note) -> Iterator[str]:
    yield f"- {_describe_writer(note)}"
    for line in nest_text(note.text):
        yield f"{'  ' * (line.depth + 1)}- {escape(line.text)}"
    if note.next:
        yield f"  - **next:** {escape(' '.join(note.next.split()))}"


def _describe_writer(note: Note) -> str:
    tags = [f"\\#{escape(tag)}" for tag in note.tags]
    about = [f"on {escape(note.run)}"] if note.run else []
    when = note.created[:16].replace("T", " ")
    return ", ".join(filter(None, [when, escape(note.author or note.source), *about, *tags]))


def _render_later(later: LaterNote) -> Iterator[str]:
    yield f"On [{escape(later.experiment)}](#{later.experiment}):"
    yield ""
    yield from _render_note(later.note)


def _render_block(block: DiaryBlock, *, known: set[str]) -> Iterator[str]:
    heading = escape(block.heading) if block.heading else "Between blocks"
    yield f"### {heading} ({escape(block.source)})"
    yield ""
    for line in block.lines:
        text = escape(line.text)
        if line.experiment is not None:
            text = (
                f"**[{text}](#{line.experiment})**" if line.experiment in known else f"**{text}**"
            )
        yield f"{'  ' * line.depth}- {text}"
