"""What foretells success, and from when on: F1 and AUC by epoch, and the chosen rule."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from hpcexp.analysis.figures.drawing import Drawing
from hpcexp.analysis.figures.page import NORMAL, SMALL, as_plain_text, finish_page, make_figure
from hpcexp.analysis.figures.style import CATEGORICAL, GREY, set_title, tidy
from hpcexp.analysis.foretelling.learn import Foretelling
from hpcexp.analysis.statistics.proportions import wilson_interval

MAX_SHOWN = 5
_WIDTH, _HEIGHT = 3.7, 2.6  # inches


def draw_foretelling(found: Foretelling) -> Drawing:
    """F1 and AUC of the best predictors by epoch, and how far foretold probabilities hold."""
    shown = choose_shown(found)
    num_columns = 2 if found.calibration is None else 3
    figure, axes = make_figure(axes_width=_WIDTH, axes_height=_HEIGHT, num_columns=num_columns)
    draw_scores(axes[0], found, shown, column="f1", level=found.level)
    draw_scores(axes[1], found, shown, column="auc")
    axes[0].set_ylabel("F1 on runs held out", fontsize=NORMAL)
    axes[1].set_ylabel("AUC", fontsize=NORMAL)
    set_title(axes[0], "calling a run a coming success")
    set_title(axes[1], "a success is better than a failure, by then")
    # An AUC is a half at least: what is below is free.
    axes[1].legend(fontsize=SMALL, frameon=False, loc="lower right")
    if found.calibration is not None:
        draw_calibration(axes[2], found.calibration)
        set_title(axes[2], f"the rule's metric: Brier {found.brier:.3f}, {found.brier_base:.3f} "
                  "by the share alone")  # fmt: skip
    finish_page(
        figure,
        headline=f"When can success be foretold? ({found.metric.title} < "
        f"{found.metric.success_below:g})",
        footnote=f"{', '.join(found.names)}. {found.num_successes} successes, "
        f"{found.num_failures} failures. Thresholds are chosen by other runs than they are tried "
        f"on. {_describe_rule(found)}",
    )
    return Drawing("foretell", figure, found.table)


def choose_shown(found: Foretelling) -> list[tuple[str, str]]:
    """Split and column of the predictors worth a line: the rule's, then the best on average."""
    means = found.table.groupby(["split", "metric"])["f1"].mean().sort_values(ascending=False)
    places = [(str(split), str(name)) for split, name in means.index]
    first = [] if found.rule is None else [(found.rule.split, found.rule.metric)]
    return list(dict.fromkeys([*first, *places]))[:MAX_SHOWN]


def draw_scores(
    ax: Axes,
    found: Foretelling,
    shown: Sequence[tuple[str, str]],
    *,
    column: str,
    level: float | None = None,
) -> Axes:
    """A line for each predictor, (split, column); the rule is a vertical line."""
    for place, colour in zip(shown, CATEGORICAL, strict=False):
        rows = _select(found.table, place)
        label = as_plain_text(f"{place[1]} ({place[0]})")
        ax.plot(rows["epoch"], rows[column], color=colour, marker=".", ms=4, lw=1.2, label=label,
                gid=f"{column}:{place[0]}:{place[1]}")  # fmt: skip
    if column == "f1":
        naive = float(found.table["f1_all_succeed"].iloc[0])
        ax.axhline(naive, color=GREY, ls=":", lw=1, gid="naive")
        ax.annotate(
            "to call all of them successes",
            (1, naive),
            xycoords=ax.get_yaxis_transform(),
            xytext=(-2, -3),
            textcoords="offset points",
            ha="right",
            va="top",
            fontsize=SMALL,
            color=GREY,
        )
    if level is not None:
        ax.axhline(level, color=GREY, lw=0.6)
    if found.rule is not None:
        ax.axvline(found.rule.epoch, color="#000000", lw=0.9, ls="--", gid="rule")
    ax.set(ylim=(-0.03, 1.03))
    ax.set_xlabel("epoch", fontsize=NORMAL)
    return tidy(ax)


def draw_calibration(ax: Axes, table: pd.DataFrame) -> Axes:
    """Foretold probabilities against the share that succeeded, with Wilson's intervals."""
    ax.plot([0, 1], [0, 1], color=GREY, lw=0.6)
    for row in table.to_dict("records"):
        share = row["succeeded"] / row["num_runs"]
        low, high = wilson_interval(row["succeeded"], row["num_runs"])
        ax.errorbar(
            [row["foretold"]],
            [share],
            yerr=np.array([[max(0.0, share - low)], [max(0.0, high - share)]]),
            fmt="o",
            ms=5,
            capsize=3,
            color=CATEGORICAL[0],
        )
        text = f"{row['succeeded']}/{row['num_runs']}"
        place = (row["foretold"], share)
        ax.annotate(text, place, xytext=(6, 0), textcoords="offset points", fontsize=SMALL)
    ax.set(xlim=(-0.05, 1.15), ylim=(-0.03, 1.03))
    ax.set_xlabel("foretold probability of success", fontsize=NORMAL)
    ax.set_ylabel("share that succeeded", fontsize=NORMAL)
    return tidy(ax)


def _select(table: pd.DataFrame, place: tuple[str, str]) -> pd.DataFrame:
    return table[(table["split"] == place[0]) & (table["metric"] == place[1])]


def _describe_rule(found: Foretelling) -> str:
    if found.rule is None:
        return f"No metric stays at an F1 of {found.level:g}: no rule."
    return f"Dashed: the rule, {found.rule.describe()}."
