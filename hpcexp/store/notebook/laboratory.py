"""The laboratory's notebook: a text of blocks, one for a day, with indented remarks.

    2022/12/13 {
        2022_m12_d12@14_31_16_xj_batch_size
            #present_in_meeting
            smaller is better
                or is it the number of updates?
    }
    todo {
        try K = 4
    }

A heading is a date (`12/13`, or `2022/12/13` where the year begins), a month (`8`), or words;
words may follow a date (`12/2 meeting`). A block ends with a `}` on a line of its own. Braces
within a line mean nothing; a line that ends with `{` begins a part that ends likewise.

Every line is kept as it is: the lines of all blocks, joined, are the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date

from hpcexp.errors import Problem, UsageError
from hpcexp.store.notebook.names import find_launch_day

TAB_WIDTH = 4
MAX_PROBLEMS_SHOWN = 20

_DATED = re.compile(r"(?:(?P<year>\d{4})[/-])?(?P<month>\d{1,2})[/-](?P<day>\d{1,2})(?!\d)")
_LEAP_YEAR = 2000  # in which any day may be, while no year is known
_MONTH = re.compile(r"1[0-2]|[1-9]")


@dataclass(frozen=True)
class Line:
    """A line with its end, and its number from 1."""

    number: int
    raw: str

    @property
    def text(self) -> str:
        """What it says."""
        return self.raw.strip()

    @property
    def indent(self) -> int:
        """Columns before what it says."""
        body = self.raw.expandtabs(TAB_WIDTH)
        return len(body) - len(body.lstrip())

    @property
    def is_blank(self) -> bool:
        """Whether it says nothing."""
        return not self.text


@dataclass(frozen=True)
class Block:
    """A day of the notebook, or anything else between braces.

    `heading` is without the brace; empty for lines outside of any block. `day` is that of the
    heading, `sort_day` that or the one of the block before (or, at the beginning, after) it;
    None where there is none. `opening` and `closing` are the lines with the braces.
    """

    heading: str
    day: date | None
    sort_day: date | None
    opening: Line | None
    lines: tuple[Line, ...]
    closing: Line | None

    @property
    def all_lines(self) -> tuple[Line, ...]:
        """With those of the braces."""
        ends = ((self.opening,) if self.opening else (), (self.closing,) if self.closing else ())
        return (*ends[0], *self.lines, *ends[1])


def parse_notebook(text: str, *, path: str, year: int | None = None) -> tuple[Block, ...]:
    """The blocks of a notebook; `year` is that of the first date if the text does not say it.

    Raises UsageError, with all problems and their lines, where braces do not match, or a date
    is none or has no year.
    """
    lines = [Line(i, raw) for i, raw in enumerate(_split_lines(text), start=1)]
    problems: list[Problem] = []
    blocks = list(_split_blocks(lines, path, problems))
    blocks = _date_blocks(blocks, path, year, problems)
    if problems:
        raise UsageError(_describe(path, problems))
    return tuple(blocks)


def render_text(blocks: Sequence[Block]) -> str:
    """The text that the blocks were read from."""
    return "".join(line.raw for block in blocks for line in block.all_lines)


def _split_lines(text: str) -> list[str]:
    """At line feeds only: `str.splitlines` would also split at a form feed within a line."""
    return [line for line in re.split(r"(?<=\n)", text) if line]


def _split_blocks(lines: Sequence[Line], path: str, problems: list[Problem]) -> Iterator[Block]:
    opening: Line | None = None
    depth = 0
    inside: list[Line] = []
    for line in lines:
        opens, closes = line.text.endswith("{"), line.text.startswith("}")
        if opening is None:
            if closes:
                problems.append(Problem(path, line.number, "", "'}' ends no block"))
            if opens and not closes:
                yield from _make_loose(inside)
                opening, depth, inside = line, 1, []
            else:
                inside.append(line)
            continue
        if opens and depth and _is_dated(line) and not line.indent:
            problems.append(_unclosed(path, opening, before=line))
            opening, depth, inside = line, 1, []
            continue
        depth += int(opens) - int(closes)
        if depth:
            inside.append(line)
            continue
        yield Block(opening.text[:-1].strip(), None, None, opening, tuple(inside), line)
        opening, inside = None, []
    if opening is not None:
        problems.append(_unclosed(path, opening, before=None))
    yield from _make_loose(inside)


def _make_loose(lines: Sequence[Line]) -> Iterator[Block]:
    """What stands between blocks."""
    if lines:
        yield Block("", None, None, None, tuple(lines), None)


def _is_dated(line: Line) -> bool:
    return _DATED.match(line.text) is not None


def _unclosed(path: str, opening: Line, *, before: Line | None) -> Problem:
    where = "the end" if before is None else f"line {before.number} ({before.text!r})"
    message = f"{opening.text!r} is not closed before {where}: write '}}' on a line of its own"
    return Problem(path, opening.number, "", message)


def _describe(path: str, problems: Sequence[Problem]) -> str:
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    shown = [f"  {problem.describe(width=12)}" for problem in problems[:MAX_PROBLEMS_SHOWN]]
    if len(problems) > len(shown):
        shown.append(f"  ... and {len(problems) - len(shown)} more")
    return "\n".join([f"{path}: {count}, nothing was imported", *shown])


# ------------------------------------------------------------------------------------- dates


@dataclass(frozen=True)
class _Heading:
    """The date of a heading as far as it says; day 0 of a month alone."""

    year: int | None
    month: int
    day: int


def _date_blocks(
    blocks: Sequence[Block], path: str, year: int | None, problems: list[Problem]
) -> list[Block]:
    found = [_read_heading(block.heading) for block in blocks]
    years = _find_years(blocks, found, year)
    dated = []
    for block, heading, its_year in zip(blocks, found, years, strict=True):
        day = None
        if heading is not None:
            try:
                day = date(its_year or _LEAP_YEAR, heading.month, heading.day or 1)
            except ValueError:
                problems.append(_no_date(path, block))
        dated.append(replace(block, day=day))
    undated = [b for b, h, y in zip(blocks, found, years, strict=True) if h and not y]
    if undated and not problems:
        problems.append(_no_year(path, undated[0]))
    return _fill_sort_days(dated)


def _read_heading(heading: str) -> _Heading | None:
    if match := _DATED.match(heading):
        year = int(match["year"]) if match["year"] else None
        return _Heading(year, int(match["month"]), int(match["day"]))
    return _Heading(None, int(heading), 0) if _MONTH.fullmatch(heading) else None


def _find_years(
    blocks: Sequence[Block], headings: Sequence[_Heading | None], year: int | None
) -> list[int | None]:
    """The year of each date: as said last, counted on where months begin anew."""
    passed = _count_new_years(headings)
    said = [(i, h.year - passed[i]) for i, h in enumerate(headings) if h and h.year]
    first = next((i for i, h in enumerate(headings) if h), 0)
    if year is not None:
        said = [(first, year - passed[first]), *said]
    elif not said:
        said = _infer_year(blocks, headings, passed)
    years: list[int | None] = []
    for i, heading in enumerate(headings):
        before = [base for place, base in said if place <= i] or [base for _, base in said[:1]]
        years.append(before[-1] + passed[i] if heading and before else None)
    return years


def _count_new_years(headings: Sequence[_Heading | None]) -> list[int]:
    """How often December had turned into January before each block (backwards: less often).

    A date that is a little out of order is no new year.
    """
    counts, count, month = [], 0, None
    for heading in headings:
        if heading is not None:
            if month is not None and abs(heading.month - month) > 6:
                count += 1 if heading.month < month else -1
            month = heading.month
        counts.append(count)
    return counts


def _infer_year(
    blocks: Sequence[Block], headings: Sequence[_Heading | None], passed: Sequence[int]
) -> list[tuple[int, int]]:
    """From the first experiment under a date: remarks are written after its launch."""
    for i, (block, heading) in enumerate(zip(blocks, headings, strict=True)):
        days = [find_launch_day(line.text) for line in block.lines]
        launched = next((day for day in days if day is not None), None)
        if heading is not None and launched is not None:
            is_next = (heading.month, heading.day) < (launched.month, launched.day)
            return [(0, launched.year + is_next - passed[i])]
    return []


def _no_date(path: str, block: Block) -> Problem:
    message = f"{block.heading!r} is no date: write month/day, or year/month/day"
    return Problem(path, block.opening.number if block.opening else None, "", message)


def _no_year(path: str, block: Block) -> Problem:
    message = f"no year is known of {block.heading!r}: write 2022/{block.heading}, or give --year"
    return Problem(path, block.opening.number if block.opening else None, "", message)


def _fill_sort_days(blocks: Sequence[Block]) -> list[Block]:
    last = next((block.day for block in blocks if block.day), None)
    filled = []
    for block in blocks:
        last = block.day or last
        filled.append(replace(block, sort_day=last))
    return filled
