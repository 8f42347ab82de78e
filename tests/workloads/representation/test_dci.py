from __future__ import annotations

import math

import numpy as np
import pytest

from hpcexp.workloads.representation.dci import Dci, measure_dci, measure_specificity
from hpcexp.workloads.representation.factors import Floats
from tests.workloads.representation.cases import (
    FACTORS_NK,
    NOISE_NZ,
    NOT_FINITE,
    PERMUTED_NZ,
    ROTATED_NZ,
    spoil,
)


def measure(latents_NZ: Floats, factors_NK: Floats = FACTORS_NK) -> Dci:
    return measure_dci(latents_NZ, factors_NK, num_fitted=800)


def test_a_latent_of_its_own_for_each_factor_scores_one_throughout() -> None:
    found = measure(PERMUTED_NZ)
    assert found.disentanglement == pytest.approx(1, abs=0.01)
    assert found.completeness == pytest.approx(1, abs=0.01)
    assert found.informativeness == pytest.approx(1, abs=0.01)
    assert found.importance_ZK.argmax(axis=0).tolist() == [1, 2, 0]


def test_bent_latents_of_any_unit_are_as_good_as_straight_ones() -> None:
    """Cubes of 0.01: decision trees of their own take such differences for none."""
    found = measure(PERMUTED_NZ**3)
    assert min(found.disentanglement, found.completeness, found.informativeness) > 0.98


def test_a_rotation_keeps_the_information_and_loses_the_rest() -> None:
    found = measure(ROTATED_NZ)
    assert found.informativeness > 0.98
    # Of three rows two are shared by two factors: 1 - log 2 / log 3 each.
    expected = (2 * (1 - math.log(2) / math.log(3)) + 1) / 3
    assert found.disentanglement == pytest.approx(expected, abs=0.05)
    assert found.completeness == pytest.approx(expected, abs=0.05)


def test_noise_scores_nothing() -> None:
    found = measure(NOISE_NZ)
    assert found.disentanglement < 0.01
    assert found.completeness < 0.01
    assert found.informativeness == 0


def test_two_latents_for_each_factor_are_disentangled_but_not_complete() -> None:
    """Copies with noise of their own, so that the forest needs both."""
    copies = np.concatenate([FACTORS_NK, FACTORS_NK], axis=1)
    noise = np.random.default_rng(1).normal(scale=0.3, size=copies.shape)
    found = measure(copies + noise)
    assert found.disentanglement > 0.8
    assert found.completeness < 0.75


def test_information_is_measured_on_samples_that_were_not_fitted() -> None:
    """A forest fits even noise where it has seen it."""
    seen_twice = measure_dci(
        np.tile(NOISE_NZ[:200], (2, 1)), np.tile(FACTORS_NK[:200], (2, 1)), num_fitted=200
    )
    unseen = measure_dci(NOISE_NZ[:400], FACTORS_NK[:400], num_fitted=200)
    assert seen_twice.informativeness > 0.3
    assert unseen.informativeness == 0


def test_collapsed_latents_score_nothing() -> None:
    found = measure(1e6 + 1e-3 * FACTORS_NK)
    assert (found.disentanglement, found.completeness, found.informativeness) == (0, 0, 0)


def test_one_factor_or_one_latent_leaves_one_score_undefined() -> None:
    assert math.isnan(measure(FACTORS_NK, FACTORS_NK[:, :1]).disentanglement)
    assert math.isnan(measure(FACTORS_NK[:, :1]).completeness)


def test_the_same_samples_give_the_same_scores() -> None:
    first, second = measure(ROTATED_NZ), measure(ROTATED_NZ)
    np.testing.assert_array_equal(first.importance_ZK, second.importance_ZK)


@NOT_FINITE
def test_what_is_not_finite_has_no_score(value: float) -> None:
    found = measure(spoil(value))
    assert math.isnan(found.disentanglement)
    assert math.isnan(found.informativeness)


@pytest.mark.parametrize(
    ("importance", "expected"),
    [
        ([[1, 0], [0, 1]], 1.0),
        ([[1, 1], [2, 2]], 0.0),
        ([[0, 0], [0, 0]], 0.0),
        # The second row weighs three times as much as the first: (1 * 0 + 3 * 1) / 4.
        ([[0.5, 0.5], [3, 0]], 0.75),
    ],
)
def test_specificity_of_hand_made_importances(
    importance: list[list[float]], expected: float
) -> None:
    assert measure_specificity(np.array(importance, np.float64)) == pytest.approx(expected)
