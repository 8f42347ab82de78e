"""matplotlib's own font without what only a typesetter reads: a PDF takes a third of the time.

Each PDF embeds the letters that it shows, and to find which ligatures they need all tables of the
whole font are decoded, every time. Without them letters and distances are the same, and there are
no ligatures.
"""

from __future__ import annotations

import hashlib
import io
from functools import cache
from pathlib import Path

import matplotlib as mpl
from fontTools.ttLib import TTFont, TTLibError
from matplotlib.font_manager import findfont, fontManager

from hpcexp.store.files import write_bytes

OWN_FAMILY = "DejaVu Sans"
LEAN_FAMILY = "hpcexp Sans"  # its licence asks for another name where it is changed
_TYPESETTING = ("GSUB", "GPOS", "GDEF", "MATH", "FFTM")  # distances are in `kern` as well
_FAMILY_NAMES = (1, 16)  # entries of the name table


@cache
def provide_lean_family() -> str:
    """The family of the lean copy, made once for each version of the font in matplotlib's cache.

    Where it cannot be made, that of matplotlib's own font.
    """
    try:
        source = Path(findfont(OWN_FAMILY))
        content = source.read_bytes()
        digest = hashlib.sha256(content).hexdigest()[:16]
        path = Path(mpl.get_cachedir()) / f"hpcexp-sans-{digest}.ttf"
        if not path.exists():
            write_bytes(path, make_lean(content))
        fontManager.addfont(path)
    except (OSError, RuntimeError, TTLibError):
        return OWN_FAMILY
    return LEAN_FAMILY


def make_lean(content: bytes) -> bytes:
    """A font's bytes without tables for typesetting, under a name of its own."""
    made = io.BytesIO()
    with TTFont(io.BytesIO(content), lazy=True, recalcTimestamp=False) as font:
        for table in _TYPESETTING:
            if table in font:
                del font[table]
        for entry in font["name"].names:
            if entry.nameID in _FAMILY_NAMES:
                entry.string = LEAN_FAMILY
        font.save(made)
    return made.getvalue()
