"""Plans of looks: what they ask for, what a look says, and how often it is wrong."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from hpcexp.analysis import load
from hpcexp.analysis.findings import find_out
from hpcexp.analysis.findings_files import findings_to_json, make_pair_table
from hpcexp.analysis.looks import (
    LookOptions,
    judge_pairs,
    list_levels,
    make_deciding_plan,
    take_look,
)
from hpcexp.analysis.statistics.verdicts import Verdict
from hpcexp.analysis.verdict_lines import describe_verdicts
from hpcexp.errors import UsageError
from hpcexp.store.deciding import Deciding, DecidingPlan, Look, Standing, write_deciding
from hpcexp.store.experiment import PlannedRun, read_plan
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.status import State
from tests.analysis.builder import MSE, Fate, build_experiment

Sample = NDArray[np.float64]
GRID = {"rnn_width": [4, 8, 16]}
NEEDED = 6


def make(
    directory: Path, fate: Callable[[PlannedRun], Fate], *, rand_inits: int = NEEDED
) -> ExperimentDir:
    return build_experiment(directory, GRID, rand_inits=rand_inits, num_epochs=3, fate=fate)


def separate(run: PlannedRun) -> Fate:
    """Four is far below the others, which do not differ."""
    return Fate(mse=(0.1 if run.group == "rnn_width=4" else 0.6) + 0.01 * run.rand_init)


def plan_for(experiment: ExperimentDir, **options: object) -> DecidingPlan:
    given = LookOptions(**{"max_rand_inits": 12, "num_looks": 2, **options})  # type: ignore[arg-type]
    plan = read_plan(experiment)
    return make_deciding_plan(experiment, plan, given, command="hpcexp extend", user="me")


def look_at(experiment: ExperimentDir, **options: object) -> Look:
    found = take_look(experiment, Deciding(plan_for(experiment, **options)))
    assert isinstance(found, Look)
    return found


# ---------------------------------------------------------------------------- the plan


def test_the_runs_at_hand_are_the_first_look_and_the_family_is_the_templates(
    tmp_path: Path,
) -> None:
    made = plan_for(make(tmp_path, separate), max_rand_inits=24, num_looks=3)
    assert made.looks == (6, 12, 24)
    assert made.pairs == tuple(itertools.combinations([f"rnn_width={w}" for w in (4, 8, 16)], 2))
    assert (made.metric, made.alpha, made.futility, made.margin) == (MSE, 0.05, 0.10, None)
    assert list(list_levels(made)) == sorted(list_levels(made))


@pytest.mark.parametrize(
    ("rand_inits", "options", "said"),
    [
        (1, {}, "looks begin with 2 per group"),
        (6, {"max_rand_inits": 6}, "must be larger than 6"),
        (3, {"max_rand_inits": 4}, "--max-rand-inits 5 at least"),
    ],
)
def test_a_plan_that_could_decide_nothing_is_refused(
    tmp_path: Path, rand_inits: int, options: dict[str, int], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        plan_for(make(tmp_path, separate, rand_inits=rand_inits), **options)


def test_one_group_has_nothing_to_be_compared_with(tmp_path: Path) -> None:
    experiment = build_experiment(tmp_path, {"lr": [0.1]}, num_epochs=2)
    with pytest.raises(UsageError, match="nothing to compare it with"):
        plan_for(experiment)


# ------------------------------------------------------------------------------ a look


def test_a_look_tells_what_is_clear_from_what_is_hopeless(tmp_path: Path) -> None:
    look = look_at(make(tmp_path, separate))
    standings = {(p.first[10:], p.second[10:]): p.standing for p in look.pairs}
    assert standings == {
        ("4", "8"): Standing.DIFFERENT,
        ("4", "16"): Standing.DIFFERENT,
        ("8", "16"): Standing.FUTILE,
    }
    assert {p.num_runs for p in look.pairs} == {(6, 6)}


def test_a_look_is_at_the_first_initialisations_only(tmp_path: Path) -> None:
    """Groups of which somebody added more runs are not looked at with more than was planned."""

    def fate(run: PlannedRun) -> Fate:
        return separate(run) if run.rand_init < NEEDED else Fate(mse=0.0)

    experiment = make(tmp_path, fate, rand_inits=NEEDED + 2)
    plan = dataclasses.replace(plan_for(experiment), looks=(NEEDED, 12))
    look = take_look(experiment, Deciding(plan))
    assert isinstance(look, Look)
    assert {pair.num_runs for pair in look.pairs} == {(6, 6)}
    assert look.pairs[0].standing == Standing.DIFFERENT


def test_a_run_that_claims_to_have_ended_and_shows_nothing_is_named(tmp_path: Path) -> None:
    experiment = make(tmp_path, separate)
    name = "rnn_width=8_rand_2"
    for path in experiment.run(name).path.glob("metrics.*"):
        path.unlink()
    deciding = Deciding(plan_for(experiment))
    assert take_look(experiment, deciding) == (name,)
    look = take_look(experiment, dataclasses.replace(deciding, left_out={name: "today"}))
    assert isinstance(look, Look)
    assert look.pairs[0].num_runs == (6, 5)


def test_a_diverged_run_is_the_worst_of_all(tmp_path: Path) -> None:
    def fate(run: PlannedRun) -> Fate:
        state = State.COMPLETED if run.group == "rnn_width=4" else State.DIVERGED
        return Fate(mse=0.5, state=state)

    look = look_at(make(tmp_path, fate))
    standings = [pair.standing for pair in look.pairs]
    assert standings == [Standing.DIFFERENT, Standing.DIFFERENT, Standing.FUTILE]
    assert look.pairs[2].p == 1


def make_numbers(num_groups: int, looks: tuple[int, ...], margin: float | None) -> DecidingPlan:
    groups = [f"g{i}" for i in range(num_groups)]
    pairs = tuple(itertools.combinations(groups, 2))
    family = f"all {len(pairs)} pairs"
    return DecidingPlan("", "", "", MSE, family, pairs, looks, 0.05, "quadratic", 0.1, margin)


def run_plan(plan: DecidingPlan, values: dict[str, Sample]) -> Deciding:
    """All looks at values that are there, (most runs,) for each group, as `advance` takes them."""
    deciding = Deciding(plan)
    while not deciding.is_over:
        number, n = len(deciding.looks), deciding.next_rand_inits
        samples = {group: values[group][:n] for group in deciding.open_groups}
        pairs = judge_pairs(plan, number, samples, deciding.standings)
        looks = (*deciding.looks, Look(number + 1, "", n, pairs))
        deciding = dataclasses.replace(deciding, looks=looks)
    return deciding


def test_groups_within_a_margin_are_found_to_be_equivalent_and_not_given_up() -> None:
    random = np.random.default_rng(3)
    values = {name: random.normal(0.3, 0.02, size=48) for name in ("g0", "g1")}
    (found,) = run_plan(make_numbers(2, (8, 16, 48), 0.05), values).standings.values()
    assert found.standing == Standing.EQUIVALENT
    (found,) = run_plan(make_numbers(2, (8, 16, 48), None), values).standings.values()
    assert found.standing in (Standing.FUTILE, Standing.UNDECIDED)


def test_a_pair_that_is_decided_is_not_looked_at_again() -> None:
    random = np.random.default_rng(0)
    values = {
        name: random.normal(mean, size=32) for name, mean in (("g0", 0), ("g1", 0.7), ("g2", 9))
    }
    deciding = run_plan(make_numbers(3, (8, 16, 32), None), values)
    assert [len(look.pairs) for look in deciding.looks][:2] == [3, 1]
    assert deciding.standings["g0", "g2"].look == 1


@pytest.mark.parametrize(("num_at_hand", "is_given_up"), [(2, False), (3, False), (4, True)])
def test_a_pair_is_not_given_up_by_fewer_runs_than_could_show_a_difference(
    num_at_hand: int, is_given_up: bool
) -> None:
    plan = make_numbers(2, (num_at_hand, 16, 64), None)
    samples = {"g0": np.array([0.0, 2, 1, 1])[:num_at_hand], "g1": np.ones(num_at_hand)}
    (pair,) = judge_pairs(plan, 0, samples, {})
    assert pair.conditional_power is not None
    assert pair.conditional_power < plan.futility
    assert (pair.standing == Standing.FUTILE) == is_given_up


# ------------------------------------------------------------------- how often it is wrong

DRAWS: dict[str, Callable[[np.random.Generator, int], Sample]] = {
    "normal": lambda random, n: random.normal(size=n),
    "bimodal": lambda random, n: (
        np.where(random.uniform(size=n) < 0.6, 0.15, 0.55) + 0.03 * random.normal(size=n)
    ),
    "tied": lambda random, n: random.choice([0.1, 0.2, 0.3, math.inf], size=n),
}
NUM_DRAWN = 250


@pytest.mark.parametrize("num_groups", [2, 4])
@pytest.mark.parametrize("shape", DRAWS)
def test_the_familys_false_positives_stay_under_its_level(shape: str, num_groups: int) -> None:
    """Within what so few draws can tell: 5 % and two standard errors, 7.8 %; naive looks 20 %.

    benchmarks/error_rates.py draws more.
    """
    plan = make_numbers(num_groups, (6, 12, 24), None)
    random = np.random.default_rng(num_groups)
    wrong = 0
    for _ in range(NUM_DRAWN):
        values = {group: DRAWS[shape](random, 24) for group in plan.groups}
        found = run_plan(plan, values).standings.values()
        wrong += any(pair.standing == Standing.DIFFERENT for pair in found)
    assert wrong / NUM_DRAWN <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / NUM_DRAWN)


def test_false_equivalence_stays_under_its_level_at_the_margin() -> None:
    plan = make_numbers(2, (8, 16, 32), 0.5)
    random = np.random.default_rng(1)
    wrong = 0
    for _ in range(NUM_DRAWN):
        values = {"g0": random.normal(0, 0.6, 32), "g1": random.normal(0.5, 0.6, 32)}
        (found,) = run_plan(plan, values).standings.values()
        wrong += found.standing == Standing.EQUIVALENT
    assert wrong / NUM_DRAWN <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / NUM_DRAWN)


# --------------------------------------------------------------------------- in `plot`


def test_the_verdicts_are_those_of_the_looks_whatever_p_is_now(tmp_path: Path) -> None:
    experiment = make(tmp_path, separate)
    before = find_out(load(experiment))
    assert [pair.verdict for pair in before.pairs].count(Verdict.SUPPORTED) == 2
    deciding = Deciding(plan_for(experiment))
    write_deciding(experiment, deciding)
    waiting = find_out(load(experiment))
    assert {pair.verdict for pair in waiting.pairs} == {Verdict.SUGGESTIVE, Verdict.INCONCLUSIVE}
    assert any("no look was taken yet" in line for line in describe_verdicts(waiting))
    look = take_look(experiment, deciding)
    assert isinstance(look, Look)
    write_deciding(experiment, dataclasses.replace(deciding, looks=(look,)))
    decided = find_out(load(experiment))
    assert [pair.verdict for pair in decided.pairs].count(Verdict.SUPPORTED) == 2
    lines = describe_verdicts(decided)
    assert lines[0].startswith("looks         1 of 2 taken (6, 12 initialisations per group")
    assert any("4 is lower than 8 (p = 0.0022 at look 1, level 0.0" in line for line in lines)
    assert any("given up: " in line for line in lines)
    table = make_pair_table(decided)
    assert table["standing"].tolist() == ["different", "different", "futile"]
    assert findings_to_json(decided)["deciding"]["looks"][0]["number"] == 1
