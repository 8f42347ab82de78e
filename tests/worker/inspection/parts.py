"""Small things to draw."""

from __future__ import annotations

from typing import Any

import numpy as np

from hpcexp.train.inspection import Animation, Curves, Line

RED, GREEN, BLUE, EMPTY = (255, 0, 0), (0, 255, 0), (0, 0, 255), (238, 238, 244)


def paint(colours: list[list[tuple[int, int, int]]], side: int = 2) -> Any:
    """Images (R, C, side, side, 3), each of one colour."""
    array = np.array(colours, np.uint8)[:, :, None, None, :]
    return np.broadcast_to(array, (*array.shape[:2], side, side, 3)).copy()


def make_animation() -> Animation:
    """One cell that is red, then green, then empty."""
    images = np.stack([paint([[RED]]), paint([[GREEN]]), paint([[BLUE]])])
    return Animation(
        title="what moves",
        images_FRCHW3=images,
        row_labels=["row"],
        column_labels=["column"],
        captions=["first", "second", "third"],
        frame_s=0.2,
        is_shown_FRC=np.array([True, True, False])[:, None, None],
    )


def make_curves() -> Curves:
    x = np.arange(3.0)
    return Curves(
        title="what goes up",
        panels=[
            [(Line("seen", x, x), Line("guessed", x[1:], 2 * x[1:]))],
            [(Line("seen", x, -x), Line("guessed", x[1:], np.array([np.nan, np.inf])))],
        ],
        row_labels=["$a", "b"],
        column_labels=["one"],
        x_label="frame",
        mark_x=0.5,
        mark_label="guessed from here",
    )
