from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcexp.analysis.statistics.multiplicity import adjust_holm
from hpcexp.analysis.statistics.ranks import mann_whitney
from hpcexp.analysis.statistics.several import kruskal_wallis
from tests.analysis.notebook import read_values


@pytest.mark.parametrize(
    ("experiment", "p_of_all", "adjusted"),
    [
        (
            "13@16_26_35_xj_batch_size",
            0.00138,
            {
                (16, 128): 0.0130,
                (32, 128): 0.0130,
                (16, 64): 0.0606,
                (32, 64): 0.1234,
                (64, 128): 0.1861,
                (16, 32): 0.3095,
            },
        ),
        (
            "12@14_31_16_xj_batch_size",
            0.000352,
            {(16, 64): 0.0130, (16, 128): 0.0130, (32, 128): 0.0130, (16, 32): 0.0455},
        ),
    ],
)
def test_the_notebooks_batch_sizes_have_their_known_p(
    experiment: str, p_of_all: float, adjusted: dict[tuple[int, int], float]
) -> None:
    groups = dict(zip([16, 32, 64, 128], read_values(experiment), strict=True))
    pairs = list(itertools.combinations(groups, 2))
    found = adjust_holm([mann_whitney(groups[a], groups[b]).p for a, b in pairs])
    by_pair = {pair: round(a.p, 4) for pair, a in zip(pairs, found, strict=True)}
    assert {pair: by_pair[pair] for pair in adjusted} == adjusted
    assert kruskal_wallis(list(groups.values())) == pytest.approx(p_of_all, rel=3e-3)


def test_a_worked_case() -> None:
    found = adjust_holm([0.01, 0.04, 0.03, 0.005])
    assert [a.p for a in found] == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert [a.multiplier for a in found] == [3, 1, 2, 4]


def test_one_comparison_is_not_adjusted_and_none_is_none() -> None:
    assert adjust_holm([0.04])[0].p == 0.04
    assert adjust_holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_adjusted_p_is_between_p_and_bonferroni_and_keeps_the_order(p: list[float]) -> None:
    adjusted = [a.p for a in adjust_holm(p)]
    assert all(raw <= found <= min(1, len(p) * raw) + 1e-15 or found == max(adjusted)
               for raw, found in zip(p, adjusted, strict=True))  # fmt: skip
    order = sorted(range(len(p)), key=lambda i: p[i])
    assert [adjusted[i] for i in order] == sorted(adjusted)
    # The same pairs are rejected as by the procedure itself.
    rejected = 0
    while rejected < len(p) and p[order[rejected]] * (len(p) - rejected) <= 0.05:
        rejected += 1
    assert sum(a <= 0.05 for a in adjusted) == rejected
