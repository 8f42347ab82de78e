from __future__ import annotations

import io
from pathlib import Path

import matplotlib as mpl
import pytest
from fontTools.ttLib import TTFont
from matplotlib.font_manager import findfont

from hpcexp.analysis.figures.lean_font import LEAN_FAMILY, OWN_FAMILY, provide_lean_family
from hpcexp.analysis.figures.page import measure


@pytest.mark.parametrize("text", ["AVAWAY Tomatoes", "n = 1.5e−3, ä 0.05 < 0.2", "Ωμ"])
def test_texts_are_as_wide_as_in_the_whole_font(text: str) -> None:
    widths = []
    for family in (OWN_FAMILY, provide_lean_family()):
        with mpl.rc_context({"font.family": [family]}):
            measure.cache_clear()
            widths.append(measure(text, fontsize=10.5))
    measure.cache_clear()
    assert widths[0] == widths[1]


def test_it_has_the_letters_and_no_tables_for_typesetting() -> None:
    assert provide_lean_family() == LEAN_FAMILY
    lean, whole = (
        TTFont(io.BytesIO(Path(findfont(family)).read_bytes()))
        for family in (LEAN_FAMILY, OWN_FAMILY)
    )
    assert lean.getBestCmap() == whole.getBestCmap()
    assert "GSUB" in whole
    assert "GSUB" not in lean


def test_without_a_place_for_it_the_whole_font_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> str:
        raise OSError("no space left")

    monkeypatch.setattr("hpcexp.analysis.figures.lean_font.mpl.get_cachedir", refuse)
    provide_lean_family.cache_clear()
    try:
        assert provide_lean_family() == OWN_FAMILY
    finally:
        provide_lean_family.cache_clear()
