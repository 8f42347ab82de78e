"""What figures are for: a screen, a column of a paper, a slide."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Medium:
    """Sizes in inches, with letters of the same size everywhere.

    `width` is that of the whole figure, `wide_width` where its content would be squeezed to less
    than 1 / `squeeze`; None where a figure is as wide as its labels. `aspect` is the height of
    the whole figure beside its width, `axes_share` how high axes are beside those on a screen.
    Where `has_words` is false, question and explanation are a caption beside the figure. Its
    files are in a `folder` of their own.
    """

    name: str
    width: float | None = None
    wide_width: float | None = None
    squeeze: float = 1.0
    aspect: float | None = None
    axes_share: float = 1.0
    has_words: bool = True
    dpi: float = 150.0
    folder: str = ""

    def choose_width(self, needed: float) -> float:
        """The width of a figure that would need so many inches to show all well."""
        if self.width is None:
            return needed
        if self.wide_width is None or needed <= self.width * self.squeeze:
            return self.width
        return self.wide_width


SCREEN = Medium("screen")
# A column and both columns of a two-column page; letters of 7 to 10 points.
PAPER = Medium(
    "paper", 3.5, 7.16, squeeze=1.8, axes_share=0.72, has_words=False, dpi=300.0, folder="paper"
)
# Letters of 16 points and more where it fills a slide of 13.33 inches; of 11 where there is much.
SLIDES = Medium("slides", 6.0, 9.0, squeeze=2.0, aspect=9 / 16, dpi=320.0, folder="slides")

MEDIA = {medium.name: medium for medium in (SCREEN, PAPER, SLIDES)}
