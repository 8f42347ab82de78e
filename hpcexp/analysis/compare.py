"""Several experiments beside each other: where their settings differ, boxplots, and tests."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from hpcexp.analysis.design import MORE_VARIED
from hpcexp.analysis.families import Family
from hpcexp.analysis.figures.boxplot import draw_boxplots
from hpcexp.analysis.figures.drawing import collect_text, save_drawing
from hpcexp.analysis.figures.fonts import using_fonts_for
from hpcexp.analysis.findings import Findings, find_out
from hpcexp.analysis.findings_files import save_findings
from hpcexp.analysis.frames import Results, load
from hpcexp.analysis.groups import spell_label
from hpcexp.analysis.settings import ABSENT, find_differing, flatten, read_configs
from hpcexp.errors import HpcexpError, UsageError
from hpcexp.store.experiment import PlannedGroup, PlannedRun
from hpcexp.store.files import write_text
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.provenance import read_commit

EXPERIMENT = "experiment"
MAX_VALUES_SHOWN = 6

Configs = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Comparison:
    """Experiments side by side.

    `differences` has a row for each setting that differs between them: `setting`, and a column
    for each experiment. `results` are those of all, a group of each for a group; `written` are
    the files.
    """

    labels: tuple[str, ...]
    differences: pd.DataFrame
    results: Results
    findings: Findings
    written: tuple[Path, ...]


def compare_experiments(
    experiments: Sequence[ExperimentDir], *, output_dir: Path | None = None
) -> Comparison:
    """Compare the groups of one name across experiments, or all of them where no two share one.

    Files go to `output_dir`, by default a folder in the first experiment's plots. Raises
    UsageError for fewer than two experiments or different primary metrics, HpcexpError where
    one has no results yet.
    """
    if len({experiment.path.resolve() for experiment in experiments}) < 2:
        raise UsageError("name two experiments or more: there is nothing to compare one with")
    if len({experiment.path.resolve() for experiment in experiments}) < len(experiments):
        raise UsageError("an experiment is named twice; name each once")
    loaded = [load(experiment) for experiment in experiments]
    _refuse_different_metrics(loaded)
    for results in loaded:
        if results.is_empty:
            raise HpcexpError(f"{results.experiment.name}: no run has recorded anything yet")
    labels = _make_labels(loaded)
    joint = _join_results(loaded, labels)
    per_experiment = [read_configs(results.experiment, results.plan) for results in loaded]
    configs = {
        _name(label, group): config
        for label, own in zip(labels, per_experiment, strict=True)
        for group, config in own.items()
    }
    own_labels = {
        _name(label, name): f"{own} ({label})"
        for label, results in zip(labels, loaded, strict=True)
        for name, own in zip(results.group_axis.names, results.group_axis.labels, strict=True)
    }
    findings = _find_out(joint, _make_family(loaded, labels), configs, own_labels)
    differences = _list_differences(loaded, labels, per_experiment)
    directory = output_dir or _choose_dir(loaded)
    directory.mkdir(parents=True, exist_ok=True)
    written = [directory / "settings.csv"]
    write_text(written[0], differences.to_csv(index=False))
    written += save_findings(findings, directory)
    with using_fonts_for(collect_text(joint.plan, joint.group_axis)):
        for drawing in itertools.islice(draw_boxplots(joint), 1):
            written += save_drawing(drawing, plots_dir=directory)
    return Comparison(labels, differences, joint, findings, tuple(written))


def _refuse_different_metrics(loaded: Sequence[Results]) -> None:
    metrics = {results.metric.name for results in loaded}
    if len(metrics) > 1:
        listed = ", ".join(f"{r.experiment.name} by {r.metric.name}" for r in loaded)
        raise UsageError(f"judged by different metrics, which cannot be compared: {listed}")


def _make_labels(loaded: Sequence[Results]) -> tuple[str, ...]:
    """What tells the experiments apart: short names, else times of launch, else paths."""
    choices = [
        [results.experiment.short_name for results in loaded],
        [results.experiment.timestamp for results in loaded],
        [results.experiment.name for results in loaded],
    ]
    unique = [labels for labels in choices if len(set(labels)) == len(labels)]
    return tuple(unique[0] if unique else [str(r.experiment.place) for r in loaded])


def _name(label: str, group: str) -> str:
    return f"{label}: {group}"


def _join_results(loaded: Sequence[Results], labels: Sequence[str]) -> Results:
    """One plan and one frame of runs; a group's name begins with its experiment's."""
    first = loaded[0]
    groups = [
        PlannedGroup(_name(label, group.name), {EXPERIMENT: label, **group.values})
        for label, results in zip(labels, loaded, strict=True)
        for group in results.plan.groups
    ]
    planned = [
        PlannedRun(_name(label, run.name), _name(label, run.group), run.rand_init)
        for label, results in zip(labels, loaded, strict=True)
        for run in results.plan.runs
    ]
    same_starts = len({results.plan.seed for results in loaded}) == 1 and all(
        results.plan.comparison.get("paired", True) for results in loaded
    )
    margins = {results.plan.comparison.get("margin") for results in loaded}
    plan = dataclasses.replace(
        first.plan,
        name="comparison",
        question=" against ".join(labels),
        groups=tuple(groups),
        runs=tuple(planned),
        sample={},  # what was drawn for one is not what is compared
        comparison={
            "paired": same_starts,
            "margin": margins.pop() if len(margins) == 1 else None,
        },
    )
    joint = Results(first.experiment, plan, first.metric, first.runs, first.rows, ())
    frames = [
        results.runs.assign(
            run=[_name(label, run) for run in results.runs["run"]],
            group=[_name(label, group) for group in results.runs["group"].astype(str)],
        ).assign(**{f"params.{EXPERIMENT}": label})
        for label, results in zip(labels, loaded, strict=True)
    ]
    runs = pd.concat([frame.dropna(axis=1, how="all") for frame in frames], ignore_index=True)
    for column in first.runs.columns:
        if column not in runs:
            runs[column] = float("nan")
    runs["group"] = pd.Categorical(runs["group"], joint.group_axis.names, ordered=True)
    problems = tuple(problem for results in loaded for problem in results.problems)
    return dataclasses.replace(joint, runs=runs, problems=problems)


def _make_family(loaded: Sequence[Results], labels: Sequence[str]) -> Family:
    pairs: list[tuple[str, str]] = []
    matched: list[tuple[str, str]] = []
    for (one, first), (other, second) in itertools.combinations(
        zip(labels, loaded, strict=True), 2
    ):
        for a, b in itertools.product(first.group_axis.names, second.group_axis.names):
            pairs.append((_name(one, a), _name(other, b)))
            if a == b:
                matched.append(pairs[-1])
    chosen, words = (
        (matched, "{} pairs of equal groups")
        if matched
        else (pairs, "all {} pairs across experiments")
    )
    return Family(
        "across", tuple(chosen), words.format(len(chosen)) if len(chosen) > 1 else "1 pair"
    )


def _find_out(
    joint: Results, family: Family, configs: Configs, labels: Mapping[str, str]
) -> Findings:
    """What is varied is whatever differs in the settings, declared or not."""
    findings = find_out(joint, family=family, configs=configs)
    flat = {name: flatten(config) for name, config in configs.items()}
    pairs = [
        dataclasses.replace(
            pair,
            varied=tuple(find_differing([flat.get(pair.first, {}), flat.get(pair.second, {})])),
            caveats=tuple(kind for kind in pair.caveats if kind != MORE_VARIED),
        )
        for pair in findings.pairs
    ]
    caveats = tuple(c for c in findings.caveats if c.kind != MORE_VARIED)
    groups = tuple(dataclasses.replace(g, label=labels[g.name]) for g in findings.groups)
    return dataclasses.replace(findings, groups=groups, pairs=tuple(pairs), caveats=caveats)


def _list_differences(
    loaded: Sequence[Results], labels: Sequence[str], per_experiment: Sequence[Configs]
) -> pd.DataFrame:
    """Settings of which the experiments have different values, or different sets of them."""
    tables = [[flatten(config) for config in configs.values()] for configs in per_experiment]
    everything = [settings for table in tables for settings in table]
    rows = []
    for name in find_differing(everything):
        cells = [_spell_values([s.get(name, ABSENT) for s in table]) for table in tables]
        if len(set(cells)) > 1:
            rows.append([name, *cells])
    rows += [
        [name, *cells]
        for name, cells in (
            ("workload", [results.plan.workload for results in loaded]),
            ("seed", [str(results.plan.seed) for results in loaded]),
            ("rand_inits", [str(results.plan.rand_inits) for results in loaded]),
            ("code", [read_commit(results.experiment) or ABSENT for results in loaded]),
        )
        if len(set(cells)) > 1
    ]
    return pd.DataFrame(rows, columns=["setting", *labels])


def _spell_values(values: Sequence[Any]) -> str:
    spelled = list(dict.fromkeys(spell_label(value) for value in values))
    more = [f"{len(spelled) - MAX_VALUES_SHOWN} more"] if len(spelled) > MAX_VALUES_SHOWN else []
    return ", ".join([*spelled[:MAX_VALUES_SHOWN], *more])


def _choose_dir(loaded: Sequence[Results]) -> Path:
    others = "_".join(results.experiment.name for results in loaded[1:])
    return loaded[0].experiment.plots_dir / f"compare_{others}"[:200]
