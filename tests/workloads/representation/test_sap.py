from __future__ import annotations

import numpy as np
import pytest

from hpcexp.workloads.representation.sap import measure_sap
from tests.workloads.representation.cases import (
    FACTORS_NK,
    NOISE_NZ,
    NOT_FINITE,
    PERMUTED_NZ,
    ROTATED_NZ,
    spoil,
)


def test_a_latent_of_its_own_for_each_factor_gives_a_gap_of_one() -> None:
    assert measure_sap(PERMUTED_NZ, FACTORS_NK) == pytest.approx(np.ones(3), abs=0.01)


def test_the_gap_is_between_the_squared_correlations_of_the_best_two_latents() -> None:
    """z0 and z1 hold shares 0.8 and 0.2 of the variance of the factor."""
    a, b = np.tile([1.0, -1.0], 50), np.repeat([1.0, -1.0], 50)
    latents = np.stack([a, b], axis=1)
    factor = (np.sqrt(0.8) * a + np.sqrt(0.2) * b)[:, None]
    assert measure_sap(latents, factor) == pytest.approx([0.6])


def test_two_latents_that_share_a_factor_leave_no_gap() -> None:
    gap_K = measure_sap(ROTATED_NZ, FACTORS_NK)
    assert gap_K[:2] == pytest.approx(np.zeros(2), abs=0.05)
    assert gap_K[2] == pytest.approx(1, abs=0.01)


def test_noise_gives_no_gap() -> None:
    assert measure_sap(NOISE_NZ, FACTORS_NK) == pytest.approx(np.zeros(3), abs=0.01)


def test_a_collapsed_latent_predicts_nothing_though_rounding_noise_moves_it() -> None:
    assert measure_sap(1e6 + 1e-3 * FACTORS_NK, FACTORS_NK).tolist() == [0, 0, 0]


def test_latents_of_any_magnitude_are_scored_alike() -> None:
    expected = measure_sap(FACTORS_NK, FACTORS_NK)
    assert measure_sap(FACTORS_NK * [1e200, 1e-200, 1], FACTORS_NK) == pytest.approx(expected)


@NOT_FINITE
def test_what_is_not_finite_has_no_score(value: float) -> None:
    assert np.isnan(measure_sap(spoil(value), FACTORS_NK)).all()
