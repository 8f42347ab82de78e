"""Can a run's success be foretold from an early value, and from which epoch on?

    python analysis/foretell_success.py EXPERIMENT [--predictor loss.self_recon]

At each epoch a run is called a coming success where its predictor is below a threshold.
The threshold is chosen by the other runs alone (leave one out), so that the F1 score is
that of a forecast, not of a fit. A predictor is trustworthy from the first epoch from which
F1 stays at or above the demanded score; the score of the forecast "all succeed" stands
beside it, as with many successes F1 is high without any knowledge.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hpcexp.analysis import Results, load
from hpcexp.analysis.figures.drawing import Drawing, save_drawing
from hpcexp.analysis.figures.page import finish_page, make_figure
from hpcexp.analysis.figures.style import CATEGORICAL, GREY, set_title, tidy
from hpcexp.errors import HpcexpError, UsageError

MIN_OF_EACH = 2
"""Successes and failures needed: with one of a kind, leaving it out leaves nothing to learn."""


def compute_f1(truth: NDArray[np.bool_], forecast: NDArray[np.bool_]) -> float:
    """Harmonic mean of precision and recall of the positives; 0 without a true positive."""
    hits = int((truth & forecast).sum())
    return 2 * hits / (int(truth.sum()) + int(forecast.sum())) if hits else 0.0


def choose_threshold(values: NDArray[np.float64], truth: NDArray[np.bool_]) -> float:
    """The threshold with the best F1 of `value < threshold`; of several the middle one.

    Candidates are the midpoints between neighbouring values, and infinity. NaN and infinite
    values never count as below.
    """
    finite = np.unique(values[np.isfinite(values)])
    candidates = np.append((finite[:-1] + finite[1:]) / 2, np.inf)
    scores = np.array([compute_f1(truth, values < c) for c in candidates])
    best = np.flatnonzero(scores == scores.max())
    return float(candidates[best[len(best) // 2]])


def forecast_held_out(values: NDArray[np.float64], truth: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """For each run (R,) what the threshold chosen by the other runs says of it."""
    others = ~np.eye(len(values), dtype=bool)
    return np.array(
        [
            bool(values[run] < choose_threshold(values[others[run]], truth[others[run]]))
            for run in range(len(values))
        ]
    )


def tabulate_f1(results: Results, *, predictor: str) -> pd.DataFrame:
    """One row per epoch at which every finished run was validated: threshold and F1 scores.

    Raises UsageError where the predictor is unknown, or too few runs succeeded or failed.
    """
    judged = results.runs[results.runs["success"].notna()].set_index("run")
    truth = judged["success"].astype(bool)
    if min(int(truth.sum()), int((~truth).sum())) < MIN_OF_EACH:
        raise UsageError(
            f"{int(truth.sum())} of {len(truth)} finished runs succeeded: at least {MIN_OF_EACH} "
            f"successes and {MIN_OF_EACH} failures are needed to foretell anything"
        )
    metrics = results.metrics
    if predictor not in metrics.columns:
        known = ", ".join(c for c in metrics.columns if c.startswith(("loss", "linear")))
        raise UsageError(f"no such column: {predictor}; there are, among others: {known}")
    rows = metrics[(metrics["split"] == "validate") & metrics["run"].isin(truth.index)]
    by_epoch = rows.pivot_table(index="epoch", columns="run", values=predictor, observed=True)
    # A diverged run has no values any more: NaN, which no threshold calls a success.
    diverged = judged.index[judged["state"] == "diverged"]
    values = by_epoch.reindex(columns=truth.index)
    complete = values.drop(columns=diverged).notna().all(axis=1)
    naive = compute_f1(truth.to_numpy(), np.ones(len(truth), bool))
    return pd.DataFrame(
        [
            {
                "epoch": epoch,
                "threshold": choose_threshold(row, truth.to_numpy()),
                "f1": compute_f1(truth.to_numpy(), forecast_held_out(row, truth.to_numpy())),
                "f1_all_succeed": naive,
                "num_runs": len(truth),
                "num_successes": int(truth.sum()),
            }
            for epoch, row in zip(
                values.index[complete], values[complete].to_numpy(float), strict=True
            )
        ]
    )


def find_trustworthy_epoch(table: pd.DataFrame, *, level: float) -> int | None:
    """The first epoch from which F1 is at or above `level` at every later one, too."""
    if table.empty:
        return None
    good = table["f1"].to_numpy() >= level
    lasting = np.logical_and.accumulate(good[::-1])[::-1]
    return int(table["epoch"].to_numpy()[lasting.argmax()]) if lasting.any() else None


def draw(
    table: pd.DataFrame, *, predictor: str, metric: str, level: float, epoch: int | None
) -> Drawing:
    """F1 by epoch, with the score of `all succeed` and the trustworthy epoch."""
    figure, (ax,) = make_figure(axes_width=4.6, axes_height=2.6)
    ax.plot(table["epoch"], table["f1"], color=CATEGORICAL[0], marker=".", label="forecast")
    ax.plot(table["epoch"], table["f1_all_succeed"], color=GREY, ls=":", label='"all succeed"')
    ax.axhline(level, color=GREY, lw=0.6)
    if epoch is not None:
        ax.axvline(epoch, color=CATEGORICAL[3], lw=1, label=f"F1 ≥ {level:g} from epoch {epoch}")
    ax.set(xlabel="epoch", ylabel="F1, leave one out", ylim=(-0.03, 1.03))
    set_title(ax, f"success by {metric} foretold from {predictor}")
    ax.legend(fontsize=7, frameon=False, loc="lower right")
    tidy(ax)
    first = table.iloc[0]
    finish_page(
        figure,
        headline="Can success be foretold?",
        footnote=f"n = {first['num_runs']} runs, {first['num_successes']} of them successes; each "
        "run is forecast by a threshold that the other runs chose.",
    )
    return Drawing("foretell_success", figure, table)


def main() -> int:
    """Print the answer, and write a figure and its table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("experiment", help="a directory, part of a name, or latest")
    parser.add_argument("--predictor", default="loss.self_recon", help="a validation column")
    parser.add_argument("--level", type=float, default=0.95, help="the F1 score demanded")
    parser.add_argument("--output", type=Path, help="directory (default: the experiment's plots)")
    options = parser.parse_args()
    try:
        results = load(options.experiment)
        table = tabulate_f1(results, predictor=options.predictor)
        if table.empty:
            raise UsageError("there is no epoch at which every finished run was validated")
    except HpcexpError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    epoch = find_trustworthy_epoch(table, level=options.level)
    drawing = draw(
        table,
        predictor=options.predictor,
        metric=results.metric.name,
        level=options.level,
        epoch=epoch,
    )
    shown = table.iloc[np.unique(np.linspace(0, len(table) - 1, 12).astype(int))]
    print(shown.to_string(index=False, float_format=lambda x: f"{x:.3g}"))
    print(
        f"F1 is at least {options.level:g} from epoch {epoch} on"
        if epoch is not None
        else f"F1 does not stay at {options.level:g} or above: not trustworthy at any epoch"
    )
    plots_dir = options.output or results.experiment.plots_dir
    for path in save_drawing(drawing, plots_dir=plots_dir):
        print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
