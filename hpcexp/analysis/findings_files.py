"""Findings as JSON and as tables, for scripts and papers."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from hpcexp.analysis.findings import Findings, GroupFinding, PairFinding
from hpcexp.analysis.statistics.effects import Estimate
from hpcexp.analysis.statistics.groups import Extremes
from hpcexp.analysis.statistics.intervals import Interval
from hpcexp.analysis.verdict_lines import describe_pair, describe_verdicts
from hpcexp.store.files import write_text

STEM = "statistics"


def save_findings(findings: Findings, directory: Path) -> tuple[Path, ...]:
    """Write `statistics.json`, `statistics_groups.csv` and `statistics_pairs.csv`, each whole."""
    directory.mkdir(parents=True, exist_ok=True)
    paths = tuple(directory / f"{STEM}{end}" for end in (".json", "_groups.csv", "_pairs.csv"))
    text = json.dumps(findings_to_json(findings), indent=2, ensure_ascii=False, allow_nan=False)
    write_text(paths[0], f"{text}\n")
    write_text(paths[1], make_group_table(findings).to_csv(index=False))
    write_text(paths[2], make_pair_table(findings).to_csv(index=False))
    return paths


def findings_to_json(findings: Findings) -> dict[str, Any]:
    """Everything, JSON-able: NaN is null, a value at a diverged run is the text `inf`."""
    values = dataclasses.asdict(findings)
    for pair, written in zip(findings.pairs, values["pairs"], strict=True):
        written["better"] = pair.better
        written["words"] = describe_pair(findings, pair)
    values["words"] = describe_verdicts(findings)
    plain: dict[str, Any] = _make_plain(values)
    return plain


def make_group_table(findings: Findings) -> pd.DataFrame:
    """One row per group; columns are described in docs/statistics.md."""
    return pd.DataFrame([_flatten_group(group) for group in findings.groups])


def make_pair_table(findings: Findings) -> pd.DataFrame:
    """One row per pair of the family that has outcomes; columns as in docs/statistics.md."""
    rows = [_flatten_pair(pair) for pair in findings.pairs]
    return pd.DataFrame(rows, columns=None if rows else ["first", "second", "verdict"])


def _flatten_group(group: GroupFinding) -> dict[str, Any]:
    found = group.estimates
    rate = found.success
    return {
        "group": group.name,
        "n": found.n,
        "num_diverged": found.num_diverged,
        "num_unknown": found.num_unknown,
        "num_censored": group.num_censored,
        **{f"num_{state}": count for state, count in group.states.items() if state != "diverged"},
        "median": found.median,
        **_spread("median", found.median_interval),
        **_spread_cases("median", found.median_cases),
        "mean": found.mean,
        **_spread("mean", found.mean_interval),
        "interquartile_mean": found.interquartile_mean,
        "num_successes": None if rate is None else rate.num_successes,
        "success_rate": None if rate is None else rate.value,
        **_spread("success_rate", None if rate is None else rate.interval),
        **_spread_cases("success_rate", found.rate_cases),
        "num_modes": len(found.modes),
        "is_bimodal": found.is_bimodal,
    }


def _flatten_pair(pair: PairFinding) -> dict[str, Any]:
    paired, sizes = pair.paired, pair.sample_sizes
    return {
        "first": pair.first,
        "second": pair.second,
        "verdict": str(pair.verdict),
        "better": pair.better,
        "p": pair.p,
        "adjusted_p": pair.adjusted_p,
        "look": None if pair.look is None else pair.look.look,
        "standing": None if pair.look is None else str(pair.look.standing),
        "look_p": None if pair.look is None else pair.look.p,
        "look_level": None if pair.look is None else pair.look.level,
        "num_first": pair.num_runs[0],
        "num_second": pair.num_runs[1],
        "varied": " ".join(pair.varied),
        "caveats": " ".join(pair.caveats),
        **_spread_cases("p", pair.p_cases),
        **_spread_estimate("probability_of_improvement", pair.improvement),
        **_spread_estimate("shift", pair.shift),
        "fisher_p": pair.fisher_p,
        "boschloo_p": pair.boschloo_p,
        "num_pairs": None if paired is None else paired.num_pairs,
        "signed_rank_p": None if paired is None else paired.signed_rank_p,
        "sign_p": None if paired is None else paired.sign_p,
        "runs_needed_low": None if sizes is None else sizes.low,
        "runs_needed_median": None if sizes is None else sizes.median,
        "runs_needed_high": None if sizes is None else sizes.high,
    }


def _spread_estimate(name: str, estimate: Estimate) -> dict[str, Any]:
    return {name: estimate.value, **_spread(name, estimate.interval)}


def _spread(name: str, interval: Interval | None) -> dict[str, Any]:
    ends = (None, None, None) if interval is None else dataclasses.astuple(interval)
    return dict(zip((f"{name}_low", f"{name}_high", f"{name}_level"), ends, strict=True))


def _spread_cases(name: str, cases: Extremes | None) -> dict[str, Any]:
    ends = (None, None) if cases is None else (cases.best, cases.worst)
    return dict(zip((f"{name}_best_case", f"{name}_worst_case"), ends, strict=True))


def _make_plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _make_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_make_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value
