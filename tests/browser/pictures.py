"""Pictures and animations where `hpcexp eval` puts them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from hpcexp.store.layout import ExperimentDir


def draw_eval_pictures(experiment: ExperimentDir, runs: Sequence[str]) -> None:
    """A grid as PNG and an animation as GIF for each run, with noise that packs badly."""
    random = np.random.default_rng(0)
    directory = experiment.eval_dir("last")
    for run in runs:
        grid = directory.part_path("decoder", run=run, part="grid", suffix="png")
        film = directory.part_path("decoder", run=run, part="animation", suffix="gif")
        grid.parent.mkdir(parents=True, exist_ok=True)
        _draw(random, 300, 200).save(grid)
        frames = [_draw(random, 200, 100) for _ in range(6)]
        frames[0].save(film, save_all=True, append_images=frames[1:], duration=80, loop=0)


def _draw(random: np.random.Generator, width: int, height: int) -> Image.Image:
    return Image.fromarray(random.integers(0, 255, (height, width, 3), dtype=np.uint8))
