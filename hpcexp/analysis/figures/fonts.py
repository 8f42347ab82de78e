"""Fonts for text in any script: matplotlib's own knows neither Chinese nor Japanese letters."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache

import matplotlib as mpl
from matplotlib.font_manager import findfont, findSystemFonts, fontManager, get_font

from hpcexp.analysis.figures.lean_font import OWN_FAMILY, provide_lean_family

_LAST_RESORT = "Last Resort"  # has every letter, and draws a box for it
_USUAL_WEIGHTS = (400, "normal", "regular", "book")


@contextmanager
def using_fonts_for(text: str) -> Iterator[None]:
    """Within, figures are drawn and saved in fonts that have the letters of a text.

    What no font of this system has becomes a box, without a warning for each letter.
    """
    from hpcexp.analysis.figures.page import measure

    _, *others = choose_families(text)
    settings = mpl.rc_context({"font.family": [provide_lean_family(), *others]})
    with settings, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        measure.cache_clear()  # widths were measured in other fonts
        try:
            yield
        finally:
            measure.cache_clear()


def choose_families(text: str) -> tuple[str, ...]:
    """Font families that together have the letters of a text, as far as the system has them.

    The first is matplotlib's own; others are added only for letters that it lacks.
    """
    families, _ = _cover(text)
    return (OWN_FAMILY, *families)


def find_uncovered(text: str) -> str:
    """The letters of a text that no font of this system has."""
    _, missing = _cover(text)
    return "".join(sorted(chr(code) for code in missing))


def has_own_letters(text: str) -> bool:
    """Whether matplotlib's own font has all letters of a text."""
    return not _list_missing(text)


def _cover(text: str) -> tuple[list[str], set[int]]:
    """The families that are needed beside the own one, and what is missing even then."""
    families: list[str] = []
    missing = _list_missing(text)
    if missing:
        _find_new_fonts()
    for family, path in _list_fonts() if missing else ():
        covered = missing & _read_letters(path)
        if covered:
            families.append(family)
            missing -= covered
        if not missing:
            break
    return families, missing


def _list_missing(text: str) -> set[int]:
    own = findfont(OWN_FAMILY)
    return {ord(letter) for letter in text if letter.isprintable()} - _read_letters(own)


@cache
def _find_new_fonts() -> None:
    """Fonts that were installed since matplotlib looked for the first time, maybe years ago."""
    known = {font.fname for font in fontManager.ttflist}
    for path in findSystemFonts():
        if path not in known:
            with suppress(OSError, RuntimeError):  # a font that cannot be read
                fontManager.addfont(path)


def _list_fonts() -> list[tuple[str, str]]:
    """Upright fonts by family, usual weights before others."""
    upright = [
        font
        for font in fontManager.ttflist
        if font.style == "normal" and _LAST_RESORT not in font.name
    ]
    upright.sort(key=lambda font: font.weight not in _USUAL_WEIGHTS)
    fonts: dict[str, str] = {}
    for font in upright:
        fonts.setdefault(font.name, font.fname)
    return list(fonts.items())


@cache
def _read_letters(path: str) -> frozenset[int]:
    try:
        return frozenset(get_font(path).get_charmap())
    except (OSError, RuntimeError):  # a font that cannot be opened
        return frozenset()
