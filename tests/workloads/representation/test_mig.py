from __future__ import annotations

import numpy as np
import pytest

from hpcexp.workloads.representation.mig import (
    NUM_BINS,
    discretise,
    measure_mig,
    measure_mutual_information,
)
from tests.workloads.representation.cases import (
    FACTORS_NK,
    NOISE_NZ,
    NOT_FINITE,
    PERMUTED_NZ,
    ROTATED_NZ,
    spoil,
)


def test_a_latent_of_its_own_for_each_factor_gives_a_gap_of_nearly_one() -> None:
    """Not quite: of so few samples, 20 x 20 bins see some information in noise, too."""
    assert measure_mig(PERMUTED_NZ, FACTORS_NK) == pytest.approx(np.ones(3), abs=0.05)


def test_two_latents_that_share_a_factor_leave_no_gap() -> None:
    gap_K = measure_mig(ROTATED_NZ, FACTORS_NK)
    assert gap_K[:2] == pytest.approx(np.zeros(2), abs=0.02)
    assert gap_K[2] > 0.95


def test_noise_gives_no_gap() -> None:
    assert measure_mig(NOISE_NZ, FACTORS_NK) == pytest.approx(np.zeros(3), abs=0.02)


def test_a_single_latent_is_measured_against_nothing() -> None:
    assert measure_mig(FACTORS_NK[:, :1], FACTORS_NK[:, :1]) == pytest.approx([1.0])


def test_a_collapsed_latent_knows_nothing_though_rounding_noise_moves_it() -> None:
    collapsed = 1e6 + 1e-3 * FACTORS_NK
    assert measure_mig(collapsed, FACTORS_NK) == pytest.approx(np.zeros(3), abs=1e-12)


def test_mutual_information_of_hand_made_bins() -> None:
    """Two fair coins: ln 2 where they are the same one, 0 where they are independent."""
    coin, other = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    assert measure_mutual_information(coin, coin) == pytest.approx(np.log(2))
    assert measure_mutual_information(coin, other) == pytest.approx(0)


def test_mutual_information_is_that_of_scikit_learn() -> None:
    from sklearn.metrics import mutual_info_score

    first, second = discretise(ROTATED_NZ[:, 0]), discretise(FACTORS_NK[:, 0])
    expected = mutual_info_score(first, second)
    assert measure_mutual_information(first, second) == pytest.approx(expected)


def test_bins_are_of_equal_width_and_the_largest_value_is_in_the_last() -> None:
    assert NUM_BINS == 20
    assert discretise(np.array([0.0, 0.04, 0.051, 0.5, 0.96, 1.0])).tolist() == [
        0,
        0,
        1,
        10,
        19,
        19,
    ]


@NOT_FINITE
def test_what_is_not_finite_has_no_score(value: float) -> None:
    assert np.isnan(measure_mig(spoil(value), FACTORS_NK)).all()


def test_a_constant_factor_is_refused() -> None:
    with pytest.raises(ValueError, match="constant"):
        measure_mig(FACTORS_NK, FACTORS_NK * [1, 0, 1])
