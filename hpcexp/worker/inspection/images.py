"""Grids of images with labels, and animations of them, as a person can read them.

Pixels of a model stay sharp squares: they are enlarged by whole numbers.

Shape suffixes: R rows, C columns, F frames, H and W pixels.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from hpcexp.train.inspection import Animation, ImageGrid

MIN_CELL, MIN_MOVING_CELL = 64, 96
"""Pixels that an image is wide at least; of an animation, which has fewer of them."""
GAP = 3
BLOCK_GAP = 14
MARGIN = 12
TEXT = 13
SMALL_TEXT = 11
_PAPER, _INK, _GREY, _EMPTY, _MARK = "#ffffff", "#222222", "#666666", "#eeeef4", "#d55e00"


def render_grid(grid: ImageGrid, *, headline: str) -> bytes:
    """A PNG of a grid; `headline` says whose it is."""
    page = _Page.of(grid, headline=headline)
    shown_RC = _all_shown(grid.images_RCHW3) if grid.is_shown_RC is None else grid.is_shown_RC
    image = page.draw(grid.images_RCHW3, shown_RC)
    if grid.mark_column is not None:
        page.draw_mark(image, column=grid.mark_column, label=grid.mark_label)
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


def render_animation(animation: Animation, *, headline: str) -> bytes:
    """A GIF that goes round without end."""
    page = _Page.of(animation, headline=headline)
    frames = []
    for place, images_RCHW3 in enumerate(animation.images_FRCHW3):
        shown_FRC = animation.is_shown_FRC
        shown_RC = _all_shown(images_RCHW3) if shown_FRC is None else shown_FRC[place]
        frame = page.draw(images_RCHW3, shown_RC, caption=animation.captions[place])
        # A palette for each frame; dithering would speckle what the model drew.
        frames.append(frame.quantize(colors=256, dither=Image.Dither.NONE))
    buffer = io.BytesIO()
    frames[0].save(
        buffer,
        format="GIF",
        save_all=True,
        append_images=frames[1:],
        duration=round(1000 * animation.frame_s),
        loop=0,
        optimize=False,
    )
    return buffer.getvalue()


def choose_scale(width: int, *, min_cell: int) -> int:
    """The whole number by which an image of so many pixels is enlarged."""
    return -(-min_cell // width)


def _all_shown(images_RCHW3: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    return np.ones(images_RCHW3.shape[:2], bool)


@dataclass(frozen=True)
class _Page:
    """Where everything stands; lengths in pixels."""

    heading: str
    row_labels: Sequence[str]
    column_labels: Sequence[str]
    rows_per_block: int
    cell: tuple[int, int]  # height, width
    has_caption: bool

    @classmethod
    def of(cls, grid: ImageGrid | Animation, *, headline: str) -> _Page:
        """The page of a grid, or that which all frames of an animation share."""
        if isinstance(grid, ImageGrid):
            images, min_cell, rows_per_block = grid.images_RCHW3, MIN_CELL, grid.rows_per_block
        else:
            images, min_cell, rows_per_block = grid.images_FRCHW3, MIN_MOVING_CELL, None
        scale = choose_scale(images.shape[-2], min_cell=min_cell)
        page = cls(
            heading="",
            row_labels=grid.row_labels,
            column_labels=grid.column_labels,
            rows_per_block=rows_per_block or len(grid.row_labels),
            cell=(images.shape[-3] * scale, images.shape[-2] * scale),
            has_caption=isinstance(grid, Animation),
        )
        room = max(page.size[0] - 2 * MARGIN, 30 * TEXT)
        lines = [line for text in (headline, grid.title) for line in _wrap(text, room)]
        return replace(page, heading="\n".join(lines))

    @property
    def left(self) -> int:
        """Where the first column begins."""
        widest = max(round(_font(SMALL_TEXT).getlength(label)) for label in self.row_labels)
        return MARGIN + (widest + 8 if widest else 0)

    @property
    def top(self) -> int:
        """Where the first row begins: below the heading, the caption and the columns' labels."""
        num_lines = self.heading.count("\n") + 1 + self.has_caption
        return MARGIN + num_lines * (TEXT + 5) + 2 * (SMALL_TEXT + 5)

    def place(self, row: int, column: int) -> tuple[int, int]:
        """The upper left corner of a cell: x, y."""
        height, width = self.cell
        x = self.left + column * (width + GAP)
        y = self.top + row * (height + GAP) + (row // self.rows_per_block) * BLOCK_GAP
        return x, y

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the page."""
        x, y = self.place(len(self.row_labels) - 1, len(self.column_labels) - 1)
        texts = [_font(TEXT).getlength(line) for line in self.heading.split("\n")]
        width = max(x + self.cell[1], MARGIN + round(max(texts)))
        return width + MARGIN, y + self.cell[0] + MARGIN

    def draw(
        self,
        images_RCHW3: npt.NDArray[np.uint8],
        is_shown_RC: npt.NDArray[np.bool_],
        *,
        caption: str = "",
    ) -> Image.Image:
        """The page with its labels and images."""
        page = Image.new("RGB", self.size, _PAPER)
        pen = ImageDraw.Draw(page)
        pen.multiline_text(
            (MARGIN, MARGIN - 3), self.heading, fill=_INK, font=_font(TEXT), spacing=5
        )
        if caption:
            y = MARGIN - 3 + (self.heading.count("\n") + 1) * (TEXT + 5)
            pen.text((MARGIN, y), caption, fill=_MARK, font=_font(TEXT))
        self._draw_labels(pen)
        for row, column in np.ndindex(is_shown_RC.shape):
            corner = self.place(row, column)
            if is_shown_RC[row, column]:
                page.paste(self._enlarge(images_RCHW3[row, column]), corner)
            else:
                x, y = corner
                pen.rectangle((x, y, x + self.cell[1] - 1, y + self.cell[0] - 1), fill=_EMPTY)
        return page

    def draw_mark(self, page: Image.Image, *, column: int, label: str) -> None:
        """A line to the left of a column, from the labels to the bottom."""
        pen = ImageDraw.Draw(page)
        x = self.place(0, column)[0] - GAP // 2 - 1
        top = self.top - 2 * (SMALL_TEXT + 5)
        pen.line((x, top + 2, x, self.size[1] - MARGIN), fill=_MARK, width=GAP)
        pen.text((x + 5, top - 1), label, fill=_MARK, font=_font(SMALL_TEXT))

    def _draw_labels(self, pen: ImageDraw.ImageDraw) -> None:
        font = _font(SMALL_TEXT)
        for column, label in enumerate(self.column_labels):
            x = self.place(0, column)[0] + self.cell[1] // 2
            pen.text((x, self.top - 4), label, fill=_GREY, font=font, anchor="ms")
        for row, label in enumerate(self.row_labels):
            y = self.place(row, 0)[1] + self.cell[0] // 2
            pen.text((self.left - 8, y), label, fill=_INK, font=font, anchor="rm")

    def _enlarge(self, image_HW3: npt.NDArray[np.uint8]) -> Image.Image:
        height, width = self.cell
        small = Image.fromarray(np.ascontiguousarray(image_HW3))
        return small.resize((width, height), Image.Resampling.NEAREST)


def _wrap(text: str, room: float) -> list[str]:
    """Lines that are no wider than `room` pixels, as far as words allow."""
    if not text:
        return []
    per_letter = _font(TEXT).getlength(text) / len(text)
    return textwrap.wrap(text, max(20, int(room / per_letter)), break_on_hyphens=False)


@lru_cache(maxsize=4)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)
