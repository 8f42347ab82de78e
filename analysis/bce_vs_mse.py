"""How does binary cross entropy differ from the squared error where errors are small?

    python analysis/bce_vs_mse.py [--output DIR]

For a true pixel p and a prediction p + e, the excess of the cross entropy over its least
value, the entropy of p, is KL(p || p + e) = e² / (2 p (1 - p)) + O(e³) (in nats): a squared
error whose weight depends on the true colour. At p = 0.5 it is 2 e², and it grows without
bound towards black and white, where the excess is linear in e. And the cross entropy
itself does not reach 0: at p = 0.6, the grey background, its least value is 0.673.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from hpcexp.analysis.figures.drawing import Drawing, save_drawing
from hpcexp.analysis.figures.page import finish_page, make_figure
from hpcexp.analysis.figures.style import CATEGORICAL, GREY, set_title, tidy

Floats = NDArray[np.float64]
TRUE_PIXELS = (0.6, 0.9, 0.99, 1.0)
ERRORS = np.geomspace(1e-4, 0.4, 41)


def compute_bce(truth: ArrayLike, prediction: ArrayLike) -> Floats:
    """Binary cross entropy in nats; 0 ln 0 is 0."""
    p, q = np.asarray(truth, float), np.asarray(prediction, float)
    return -(_multiply(p, q) + _multiply(1 - p, 1 - q))


def compute_excess(truth: ArrayLike, error: ArrayLike) -> Floats:
    """Cross entropy of predictions that are too dark by `error`, above its least value."""
    p = np.asarray(truth, float)
    return compute_bce(p, p - np.asarray(error, float)) - compute_bce(p, p)


def compute_equivalent_weight(truth: ArrayLike) -> Floats:
    """The weight of a squared error that equals the excess at small errors: 1 / (2 p (1 - p))."""
    p = np.asarray(truth, float)
    with np.errstate(divide="ignore"):
        return np.asarray(1 / (2 * p * (1 - p)))


def tabulate() -> pd.DataFrame:
    """Excess and squared error for each true pixel and error."""
    grid = [(p, e) for p in TRUE_PIXELS for e in ERRORS]
    truth, error = np.array(grid).T
    return pd.DataFrame(
        {
            "true_pixel": truth,
            "error": error,
            "squared_error": error**2,
            "bce_excess": compute_excess(truth, error),
        }
    )


def draw(table: pd.DataFrame) -> Drawing:
    """Excess over error, on logarithmic axes: slope 2 is a squared error, slope 1 linear."""
    figure, (ax,) = make_figure(axes_width=4.2, axes_height=3.2)
    for place, (pixel, rows) in enumerate(table.groupby("true_pixel")):
        ax.plot(
            rows["error"], rows["bce_excess"], color=CATEGORICAL[place], label=f"BCE, p = {pixel:g}"
        )
    ax.plot(ERRORS, ERRORS**2, color=GREY, ls="--", label="squared error")
    ax.set(xscale="log", yscale="log", xlabel="error of a pixel", ylabel="loss above its least")
    set_title(ax, "loss of a pixel that is too dark")
    ax.legend(fontsize=7, frameon=False)
    tidy(ax)
    finish_page(
        figure,
        headline="Cross entropy is a squared error weighted by the true colour",
        footnote="Where the error is small against p and 1 - p, a curve runs parallel to the "
        "squared error; where it is not, as always at p = 1, the loss is linear, like L1.",
    )
    return Drawing("bce_vs_mse", figure, table)


def _multiply(p: Floats, q: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(p == 0, 0.0, p * np.log(q))


def main() -> int:
    """Print the equivalent weights, and write the figure and its table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--output", type=Path, default=Path("plots"), help="directory")
    options = parser.parse_args()
    print("true pixel   least BCE   weight of a squared error that equals it at small errors")
    for pixel in TRUE_PIXELS:
        weight = float(compute_equivalent_weight(pixel))
        least = float(compute_bce(pixel, pixel))
        print(f"{pixel:10.2f}   {abs(least):9.3f}   {weight:.3g}")
    options.output.mkdir(parents=True, exist_ok=True)
    for path in save_drawing(draw(tabulate()), plots_dir=options.output):
        print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
