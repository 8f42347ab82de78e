"""What rules that foretell failure did: runs stopped, hours saved, how often they were wrong."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from hpcexp.analysis.frames import Results
from hpcexp.analysis.spelling import spell_hours
from hpcexp.analysis.statistics.intervals import CONFIDENCE, Interval
from hpcexp.analysis.statistics.proportions import wilson_interval
from hpcexp.store.status import FINISHED

SECONDS_PER_HOUR = 3600.0


@dataclass(frozen=True)
class StoppingRecord:
    """What became of the runs that a rule foretold to fail.

    `num_stopped` ended there, and nobody knows how they would have ended. Of `num_audited`, which
    train on, `num_audits_ended` have come to an end, and `num_wrong` of these succeeded after
    all; `wrong` is the interval of that share among doomed runs, None without an audit.
    `hours_saved` are what the stopped runs would have taken on at their pace, `hours_audited`
    what audits took after the rule had spoken, `hours_used` all training: GPU-hours, or
    CPU-hours where the jobs ask for no GPU (`unit`).
    """

    num_runs: int
    num_stopped: int
    num_audited: int
    num_audits_ended: int
    num_wrong: int
    wrong: Interval | None
    unit: str
    hours_saved: float
    hours_audited: float
    hours_used: float

    @property
    def num_foretold(self) -> int:
        """Runs that were foretold to fail."""
        return self.num_stopped + self.num_audited


def assess_stopping(results: Results) -> StoppingRecord | None:
    """What the rules did in an experiment; None where they foretold no failure."""
    runs = results.runs
    stopped, audited = runs["is_censored"], runs["is_audited"]
    if not (stopped | audited).any():
        return None
    resources = results.plan.resources
    num_gpus = int(resources.get("gpus", 0))
    factor = (num_gpus or int(resources.get("cpus", 1))) / SECONDS_PER_HOUR
    ended = audited & runs["state"].isin([str(state) for state in FINISHED])
    judged = ended & runs["success"].notna()
    num_judged, num_wrong = int(judged.sum()), int(runs.loc[judged, "success"].sum())
    share = Interval(*wilson_interval(num_wrong, num_judged), CONFIDENCE) if num_judged else None
    return StoppingRecord(
        num_runs=len(runs),
        num_stopped=int(stopped.sum()),
        num_audited=int(audited.sum()),
        num_audits_ended=int(ended.sum()),
        num_wrong=num_wrong,
        wrong=share,
        unit="GPU" if num_gpus else "CPU",
        hours_saved=factor * _sum_left(runs[stopped]),
        hours_audited=factor * _sum_audits(runs[audited]),
        hours_used=factor * float(runs["trained_s"].sum()),
    )


def describe_stopping(record: StoppingRecord | None) -> list[str]:
    """In words: what was stopped and saved, and what the audits say; nothing without a rule."""
    if record is None:
        return []
    total = record.hours_saved + record.hours_used
    share = f" ({100 * record.hours_saved / total:.0f} %)" if total else ""
    lines = [
        f"{record.num_foretold} of {record.num_runs} runs were foretold to fail: "
        f"{record.num_stopped} stopped, which saved {spell_hours(record.hours_saved)} "
        f"{record.unit}-hours of {spell_hours(total)}{share}"
    ]
    if record.num_audited:
        lines.append(
            f"{record.num_audited} of them {'was' if record.num_audited == 1 else 'were'} trained "
            f"on as an audit ({spell_hours(record.hours_audited)} {record.unit}-hours): "
            f"{_describe_audits(record)}"
        )
    else:
        lines.append("none of them was trained on as an audit: whether the rule holds is not known")
    if record.num_stopped:
        lines.append(
            "values of the stopped runs are those at the stop (censored): they count as failures, "
            "and their rank among failures says little"
        )
    return lines


def _describe_audits(record: StoppingRecord) -> str:
    if record.wrong is None:
        return "none has ended yet"
    low, high = 100 * record.wrong.low, 100 * record.wrong.high
    return (
        f"{record.num_wrong} of {record.num_audits_ended} that ended succeeded after all "
        f"[{low:.0f} %, {high:.0f} %]"
    )


def _sum_left(runs: pd.DataFrame) -> float:
    """Seconds that runs would have taken on, at their own pace."""
    steps = np.maximum(runs["step"].to_numpy(float), 1)
    left = np.maximum(runs["num_steps"].to_numpy(float) - steps, 0)
    return float((runs["trained_s"].to_numpy(float) / steps * left).sum())


def _sum_audits(runs: pd.DataFrame) -> float:
    """Seconds that audited runs have taken since the rule spoke."""
    epochs = np.maximum(runs["epoch"].to_numpy(float), 1)
    since = np.maximum(epochs - runs["foretold_epoch"].to_numpy(float), 0)
    return float((runs["trained_s"].to_numpy(float) * since / epochs).sum())
