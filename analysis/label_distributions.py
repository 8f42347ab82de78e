"""How are the true coordinates distributed, and what do data sets differ in?

    python analysis/label_distributions.py bounce xj_bounce bounce_leave_view [--num 512]

A success is judged by a linear map from latents to these coordinates: where two data sets
spread them differently, their values cannot be compared. Each coordinate has a panel with
the cumulative distribution over all frames of each data set.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import TypeAdapter, ValidationError

from hpcexp.analysis.figures.drawing import Drawing, save_drawing
from hpcexp.analysis.figures.page import finish_page, make_figure
from hpcexp.analysis.figures.style import CATEGORICAL, set_title, tidy
from hpcexp.workloads.sps.config.datasets import Dataset
from hpcexp.workloads.sps.dataset import draw_motions, find_camera, label_motions

QUANTILES = np.linspace(0, 1, 101)


def measure(dataset: Dataset, *, num_sequences: int) -> pd.DataFrame:
    """Quantiles of each coordinate over all frames, with mean, spread and frames out of view."""
    balls = draw_motions(dataset, split="train", num_sequences=num_sequences).astype(np.float32)
    labels = label_motions(dataset, balls).reshape(-1, len(dataset.coordinates))
    # A frame is empty where no ball's centre is in the image.
    is_seen = find_camera(dataset).sees(balls.astype(np.float64)).any(axis=-1)
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "dataset": dataset.kind,
                    "coordinate": name,
                    "quantile": QUANTILES,
                    "metres": np.quantile(labels[:, place], QUANTILES),
                    "mean": labels[:, place].mean(),
                    "std": labels[:, place].std(),
                    "share_out_of_view": 1 - is_seen.mean(),
                    "num_sequences": num_sequences,
                }
            )
            for place, name in enumerate(dataset.coordinates)
        ],
        ignore_index=True,
    )


def draw(table: pd.DataFrame) -> Drawing:
    """A panel for each coordinate, a line for each data set."""
    coordinates, kinds = table["coordinate"].unique(), table["dataset"].unique()
    figure, axes = make_figure(axes_width=2.4, axes_height=2.2, num_columns=len(coordinates))
    for ax, coordinate in zip(axes, coordinates, strict=True):
        rows = table[table["coordinate"] == coordinate]
        for kind, lines in rows.groupby("dataset", sort=False):
            colour = CATEGORICAL[list(kinds).index(kind) % len(CATEGORICAL)]
            ax.plot(lines["metres"], lines["quantile"], color=colour, label=str(kind))
        ax.set(xlabel=f"{coordinate} (m)", ylim=(-0.02, 1.02))
        set_title(ax, coordinate)
        tidy(ax)
    axes[0].set_ylabel("share of frames below")
    # One legend will do, unless data sets differ in their coordinates.
    for ax in axes[-1:] if len(kinds) == len(axes[-1].lines) else axes:
        ax.legend(fontsize=7, frameon=False, loc="lower right")
    finish_page(
        figure,
        headline="Distribution of the true coordinates",
        footnote=f"{table['num_sequences'].iloc[0]} training sequences of each data set.",
    )
    return Drawing("label_distributions", figure, table)


def main() -> int:
    """Print means and spreads, and write the figure and its table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("kinds", nargs="+", help="kinds of data sets, with their defaults")
    parser.add_argument("--num", type=int, default=512, help="sequences of each")
    parser.add_argument("--output", type=Path, default=Path("plots"), help="directory")
    options = parser.parse_args()
    try:
        adapter: TypeAdapter[Dataset] = TypeAdapter(Dataset)
        datasets = [adapter.validate_python({"kind": kind}) for kind in options.kinds]
    except ValidationError as error:
        print(f"error: {error.errors()[0]['msg']}", file=sys.stderr)
        return 2
    table = pd.concat([measure(d, num_sequences=options.num) for d in datasets])
    shown = table.drop(columns=["quantile", "metres"]).drop_duplicates()
    print(shown.to_string(index=False, float_format=lambda x: f"{x:.3g}"))
    options.output.mkdir(parents=True, exist_ok=True)
    for path in save_drawing(draw(table), plots_dir=options.output):
        print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
