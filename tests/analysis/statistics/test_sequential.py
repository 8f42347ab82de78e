from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from hpcexp.analysis.statistics.ranks import mann_whitney
from hpcexp.analysis.statistics.sequential import (
    SPENDING,
    Plan,
    compute_conditional_power,
    find_levels,
    judge_look,
    plan_looks,
)

LOOKS = (8, 16, 32, 64)


def test_five_equal_looks_have_the_published_bounds() -> None:
    """Of the spending functions of Lan & DeMets 1983, as Jennison & Turnbull tabulate them."""
    pocock = find_levels(Plan((2, 4, 6, 8, 10), spending="pocock"), alpha=0.05)
    z = stats.norm.isf(np.array(pocock) / 2)
    assert z == pytest.approx([2.438, 2.427, 2.410, 2.397, 2.386], abs=0.002)
    fleming = find_levels(Plan((2, 4, 6, 8, 10), spending="obrien_fleming"), alpha=0.05)
    z = stats.norm.isf(np.array(fleming) / 2)
    assert z == pytest.approx([4.877, 3.357, 2.680, 2.290, 2.031], abs=0.002)


@pytest.mark.parametrize("spending", SPENDING)
def test_all_looks_together_spend_alpha(spending: str) -> None:
    """By simulating the process: independent steps of a random walk."""
    plan = Plan(LOOKS, spending=spending)
    steps = np.diff([0.0, *plan.times])
    walk = np.cumsum(np.random.default_rng(0).normal(size=(400_000, 4)) * np.sqrt(steps), axis=1)
    p = 2 * stats.norm.sf(np.abs(walk) / np.sqrt(plan.times))
    crossed = (p <= find_levels(plan, alpha=0.05)).any(axis=1).mean()
    assert crossed == pytest.approx(0.05, abs=0.0015)


def test_one_look_is_the_plain_test() -> None:
    assert find_levels(Plan((10,)), alpha=0.05) == pytest.approx((0.05,))


def test_looks_grow_in_equal_ratios() -> None:
    assert plan_looks(8, 64) == (8, 16, 32, 64)
    assert plan_looks(6, 8) == (6, 7, 8)
    with pytest.raises(ValueError, match="from 64 to 64"):
        plan_looks(64, 64)


@pytest.mark.parametrize(
    "settings",
    [{"looks": (8, 8)}, {"looks": ()}, {"looks": LOOKS, "spending": "all"},
     {"looks": LOOKS, "alpha": 1.5}],
)  # fmt: skip
def test_what_is_no_plan_is_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"must rise|no spending function|shares"):
        Plan(**settings)  # type: ignore[arg-type]


def test_a_rejected_pair_hands_its_share_to_the_others() -> None:
    plan = Plan(LOOKS)
    half, whole = (find_levels(plan, alpha=a)[3] for a in (0.025, 0.05))
    between = (half + whole) / 2
    alone = judge_look(plan, look=3, p_values={"b": between}, num_pairs=2)
    assert not alone["b"].is_rejected
    both = judge_look(plan, look=3, p_values={"a": half, "b": between})
    assert both["a"].is_rejected
    assert both["b"].is_rejected
    assert both["b"].level == pytest.approx(whole)
    later = judge_look(plan, look=3, p_values={"b": between}, rejected=["a"])
    assert later["b"].is_rejected


def test_a_pair_without_hope_is_given_up_but_not_at_the_last_look() -> None:
    plan = Plan(LOOKS)
    assert judge_look(plan, look=2, p_values={"a": 0.9})["a"].is_futile
    assert not judge_look(plan, look=2, p_values={"a": 0.04})["a"].is_futile
    assert not judge_look(plan, look=3, p_values={"a": 0.9})["a"].is_futile


def test_conditional_power_is_that_of_simulating_the_rest() -> None:
    plan, look = Plan(LOOKS), 2
    p = 0.06
    final = stats.norm.isf(find_levels(plan, alpha=0.05)[-1] / 2)
    z, t = stats.norm.isf(p / 2), plan.times[look]
    rest = np.random.default_rng(0).normal(z / np.sqrt(t) * (1 - t), np.sqrt(1 - t), 200_000)
    simulated = (np.abs(z * np.sqrt(t) + rest) >= final).mean()
    found = compute_conditional_power(plan, look=look, p=p, alpha=0.05)
    assert found == pytest.approx(simulated, abs=0.005)


def test_looking_by_the_plan_errs_less_often_than_looking_as_one_likes() -> None:
    """With exact tests of ranks; the tables of docs/results/statistics.md have more."""
    plan, random = Plan((6, 9, 14)), np.random.default_rng(0)
    levels = find_levels(plan, alpha=0.05)
    errors = naive = 0
    for _ in range(400):
        a, b = random.normal(size=(2, 14))
        p = [mann_whitney(a[:n], b[:n]).p for n in plan.looks]
        errors += any(found <= level for found, level in zip(p, levels, strict=True))
        naive += min(p) <= 0.05
    assert errors / 400 <= 0.06
    assert naive > 1.5 * errors
