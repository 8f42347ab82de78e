"""What experiments say: those of the notebook, whose numbers are known, and made ones."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from hpcexp.analysis import Results, load
from hpcexp.analysis.findings import Findings, PairFinding, find_out
from hpcexp.analysis.findings_files import save_findings
from hpcexp.analysis.spelling import spell_p
from hpcexp.analysis.verdict_lines import describe_verdicts
from hpcexp.launch.import_results import import_results
from hpcexp.store.experiment import PlannedRun
from hpcexp.store.status import State
from tests.analysis import notebook
from tests.analysis.builder import Fate, build_experiment, make_plan


@pytest.fixture(scope="module")
def notebook_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read only: the notebook's experiments, imported."""
    directory = tmp_path_factory.mktemp("notebook")
    import_results(notebook.PATH, experiments_dir=directory)
    return directory


def look(notebook_dir: Path, name: str) -> Findings:
    return find_out(load(name, experiments_dir=notebook_dir))


def say(findings: Findings, word: str) -> list[str]:
    lines = describe_verdicts(findings)
    return [line.removeprefix(word).strip() for line in lines if line.startswith(word)]


def find_pair(findings: Findings, first: str, second: str) -> PairFinding:
    labels = {group.name: group.label for group in findings.groups}
    return next(p for p in findings.pairs if (labels[p.first], labels[p.second]) == (first, second))


def build(
    directory: Path,
    values: Mapping[Any, Sequence[float | None]],
    *,
    grid: Mapping[str, Sequence[Any]] | None = None,
    comparison: Mapping[str, Any] | None = None,
) -> Results:
    """An experiment of given final values; inf is a diverged run, None one that crashed."""
    groups = list(values.values())

    def meet(run: PlannedRun) -> Fate:
        names = list(dict.fromkeys(r.group for r in runs))
        value = groups[names.index(run.group)][run.rand_init]
        if value is None:
            return Fate(state=State.FAILED, epoch=1)
        if math.isinf(value):
            return Fate(state=State.DIVERGED, epoch=1)
        return Fate(mse=value)

    grid = grid or {"rnn_width": list(values)}
    runs = make_plan(grid, rand_inits=len(groups[0])).runs
    experiment = build_experiment(
        directory, grid, rand_inits=len(groups[0]), num_epochs=2, fate=meet
    )
    if comparison is not None:
        plan = json.loads(experiment.plan_path.read_text())
        experiment.plan_path.write_text(json.dumps(plan | {"comparison": comparison}))
    return load(experiment)


# ------------------------------------------------------------------------ the notebook


def test_batch_sizes_differ_but_batch_size_is_not_shown_to_be_the_cause(
    notebook_dir: Path,
) -> None:
    findings = look(notebook_dir, "13@16_26_35_xj_batch_size")
    assert findings.kruskal_wallis_p == pytest.approx(0.00138, abs=5e-6)
    assert find_pair(findings, "32", "64").adjusted_p == pytest.approx(0.1234, abs=5e-5)
    assert say(findings, "supported") == [
        "the groups differ: 16 and 32 are lower than 128 (p = 0.013, Holm over all 6 pairs)"
    ]
    assert say(findings, "suggestive")[0] == (
        "16 may be lower than 64 (p = 0.015, but 0.061 with Holm over all 6 pairs)"
    )
    assert "trend along the axis: Spearman 0.81" in say(findings, "also")[1]
    (warning,) = say(findings, "warning")
    assert "differ in their number of updates (4 000 to 32 000)" in warning
    assert "does not show that batch_size is the cause" in warning


def test_training_longer_is_inconclusive_and_it_says_how_many_runs_would_decide(
    notebook_dir: Path,
) -> None:
    findings = look(notebook_dir, "18@01_37_34_max_epoch")
    (said,) = say(findings, "inconclusive")
    assert said.startswith("4000 against 9000 (p = 0.068): ")
    sizes = findings.pairs[0].sample_sizes
    assert sizes is not None
    assert sizes.low is not None
    assert sizes.high is not None
    assert 6 <= sizes.low <= 15
    assert 80 <= sizes.high <= 400
    assert f"{sizes.low} to " in said
    assert "initialisations per group would decide" in said
    assert say(findings, "bimodal") == ["9000: 6 runs near 0.045 (success), 6 near 0.55 (failure)"]


def test_two_loss_weights_were_varied_beside_k(notebook_dir: Path) -> None:
    findings = look(notebook_dir, "xj_k")
    assert findings.pairs[0].caveats == ("more_than_one_variable",)
    assert say(findings, "warning")[0].startswith(
        "besides symmetry.K the groups differ in loss_weights.predict.image and "
        "loss_weights.predict.z"
    )


def test_a_schedule_that_counts_steps_had_not_ended_with_large_batches(
    notebook_dir: Path,
) -> None:
    findings = look(notebook_dir, "12@14_31_16_xj_batch_size")
    warnings = say(findings, "warning")
    assert any("scheduled_sampling has not ended" in w and "to 0.87)" in w for w in warnings)


def test_a_variable_alone_may_be_called_the_cause(notebook_dir: Path) -> None:
    findings = look(notebook_dir, "neg_residual")
    assert say(findings, "supported") == [
        "rnn_residual matters: null is lower than -1.0 (p = 0.00062)"
    ]
    assert say(findings, "warning") == []


def test_a_p_just_under_the_level_shows_on_which_side_it_is(notebook_dir: Path) -> None:
    findings = look(notebook_dir, "xj_rnn_width")
    assert "(p = 0.0499)" in say(findings, "supported")[0]
    assert [spell_p(p) for p in (0.05, 0.0501, 0.3, 0.999, 1e-7)] == [
        "0.05", "0.0501", "0.3", "1", "< 0.0001",
    ]  # fmt: skip


def test_the_same_experiment_gives_the_same_words(notebook_dir: Path) -> None:
    name = "13@16_26_35_xj_batch_size"
    assert describe_verdicts(look(notebook_dir, name)) == describe_verdicts(
        look(notebook_dir, name)
    )


# ------------------------------------------------------------------ made experiments

LOW = [0.11, 0.12, 0.13, 0.14, 0.15, 0.16]
HIGH = [0.51, 0.52, 0.53, 0.54, 0.55, 0.56]


def test_diverged_runs_have_the_worst_rank_and_are_failures(tmp_path: Path) -> None:
    findings = find_out(build(tmp_path, {16: LOW, 32: [0.01] * 3 + [math.inf] * 3}))
    pair = findings.pairs[0]
    assert pair.improvement.value == 0.5
    assert pair.fisher_p == pytest.approx(2 / 11, abs=1e-9)
    group = findings.groups[1].estimates
    assert (group.num_diverged, group.median) == (3, math.inf)
    assert "3 diverged" in say(findings, "bimodal")[0]


def test_crashed_runs_are_left_out_counted_and_shown_at_their_extremes(tmp_path: Path) -> None:
    findings = find_out(build(tmp_path, {16: LOW, 32: [*HIGH[:4], None, None]}))
    pair = findings.pairs[0]
    assert pair.num_runs == (6, 4)
    assert pair.verdict == "supported"
    assert pair.p_cases is not None
    assert pair.p_cases.best < 0.01 < 0.1 < pair.p_cases.worst
    unknown = say(findings, "unknown")
    assert unknown[0].startswith("32: 2 runs without an outcome; whatever it would be, the median")
    assert unknown[1].startswith("with them p could be from 0.0022 to")


def test_groups_within_the_margin_are_equivalent(tmp_path: Path) -> None:
    shifted = [value + 0.005 for value in LOW]
    findings = find_out(build(tmp_path, {16: LOW, 32: shifted}, comparison={"margin": 0.05}))
    assert findings.pairs[0].verdict == "equivalent"
    (said,) = say(findings, "equivalent")
    assert said.startswith("16 and 32 differ by less than 0.05 (90 % interval -0.0")
    without = find_out(build(tmp_path / "b", {16: LOW, 32: shifted}))
    assert without.pairs[0].verdict == "inconclusive"


def test_a_family_of_fewer_pairs_is_adjusted_less(tmp_path: Path) -> None:
    values = {16: LOW, 32: HIGH, 64: [v + 0.1 for v in HIGH]}
    all_pairs = find_out(build(tmp_path / "a", values))
    baseline = find_out(
        build(tmp_path / "b", values, comparison={"family": "baseline", "baseline": "rnn_width=16"})
    )
    assert len(all_pairs.pairs) == 3
    assert [round(p.adjusted_p / p.p) for p in all_pairs.pairs] == [3, 3, 3]
    assert [round(p.adjusted_p / p.p) for p in baseline.pairs] == [2, 2]
    assert "Holm over 2 pairs with 16" in say(baseline, "supported")[0]


def test_a_baseline_that_was_not_launched_is_told(tmp_path: Path) -> None:
    comparison = {"family": "baseline", "baseline": "rnn_width=8"}
    findings = find_out(build(tmp_path, {16: LOW, 32: HIGH}, comparison=comparison))
    assert say(findings, "warning")[0] == (
        "the baseline rnn_width=8 is not among the groups: all pairs are compared"
    )


def test_pairs_of_initialisations_are_tested_unless_they_have_nothing_in_common(
    tmp_path: Path,
) -> None:
    paired = find_out(build(tmp_path / "a", {16: LOW, 32: HIGH})).pairs[0].paired
    assert paired is not None
    assert paired.num_pairs == 6
    assert paired.sign_p == pytest.approx(2 / 64)
    apart = build(tmp_path / "b", {16: LOW, 32: HIGH}, comparison={"paired": False})
    assert find_out(apart).pairs[0].paired is None


def test_groups_that_differ_in_two_axes_only_differ(tmp_path: Path) -> None:
    grid: dict[str, list[Any]] = {"rnn_width": [16, 32], "lr": [0.1, 0.2]}
    values = {0: LOW, 1: [v + 0.1 for v in LOW], 2: HIGH, 3: [v + 0.1 for v in HIGH]}
    findings = find_out(build(tmp_path, values, grid=grid))
    assert find_pair(findings, "16, 0.1", "32, 0.1").shows_cause
    assert not find_pair(findings, "16, 0.1", "32, 0.2").shows_cause
    supported = say(findings, "supported")
    assert any(line.startswith("rnn_width matters: 16, 0.1 is lower") for line in supported)
    assert any(line.startswith("the groups differ: ") for line in supported)
    assert findings.two_axes is not None
    assert findings.two_axes.p_first < 0.01
    assert "both axes: rnn_width p =" in say(findings, "also")[1]


def test_one_group_has_nothing_to_be_compared_with(tmp_path: Path) -> None:
    findings = find_out(build(tmp_path, {16: LOW}))
    assert findings.pairs == ()
    assert describe_verdicts(findings) == []


def test_the_files_hold_the_numbers(tmp_path: Path) -> None:
    findings = find_out(build(tmp_path, {16: LOW, 32: [*HIGH[:5], math.inf]}))
    paths = save_findings(findings, tmp_path / "out")
    content = json.loads(paths[0].read_text(), parse_constant=pytest.fail)
    assert content["pairs"][0]["verdict"] == "supported"
    assert content["pairs"][0]["words"] == describe_verdicts(findings)[0].split(maxsplit=1)[1]
    assert content["groups"][1]["estimates"]["median_interval"]["high"] == "inf"
    groups, pairs = (pd.read_csv(path) for path in paths[1:])
    assert groups["median_level"].tolist() == [0.96875] * 2
    assert groups["num_successes"].tolist() == [6, 0]
    assert pairs.loc[0, "p"] == pytest.approx(2 / 924)
    assert pairs.loc[0, "varied"] == "rnn_width"


def test_no_pairs_make_a_table_without_rows(tmp_path: Path) -> None:
    paths = save_findings(find_out(build(tmp_path, {16: LOW})), tmp_path / "out")
    assert len(pd.read_csv(paths[2])) == 0
