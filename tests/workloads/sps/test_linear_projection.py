from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from hpcexp.workloads.sps.linear_projection import measure_linear_projection

N, D = 1280, 3  # 64 sequences of 20 frames, as in the notebook


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def draw_truth(*, dtype: torch.dtype = torch.float32) -> Tensor:
    """Positions in different units, none of them centred, correlated with each other."""
    mixing = torch.tensor([[1.0, 0.3, 0.0], [0.0, 2.0, 0.5], [0.0, 0.0, 0.1]])
    return (torch.rand(N, D) @ mixing + torch.tensor([0.0, 10.0, -3.0])).to(dtype)


def fit_with_numpy(latents_NZ: Tensor, truth_ND: Tensor) -> np.ndarray:
    """The same by textbook: standardise, add a column of ones, least squares, residual."""
    truth = truth_ND.double().numpy()
    truth = (truth - truth.mean(axis=0)) / truth.std(axis=0)
    latents = latents_NZ.double().numpy()
    design = np.column_stack([latents, np.ones(len(latents))])
    solution = np.linalg.lstsq(design, truth, rcond=None)[0]
    residuals: np.ndarray = ((design @ solution - truth) ** 2).mean(axis=0)
    return residuals


@pytest.mark.parametrize("latent_dim", range(2, 9))
def test_it_is_least_squares_with_a_bias_on_the_standardised_truth(latent_dim: int) -> None:
    truth = draw_truth()
    latents = torch.randn(N, latent_dim) + 0.7 * truth[:, :1] + 4
    latents[:, 1] += truth[:, 2] * 20
    measured = measure_linear_projection(latents, truth)
    assert measured.shape == (D,)
    assert measured.dtype == torch.float64
    np.testing.assert_allclose(measured, fit_with_numpy(latents, truth), rtol=0, atol=1e-10)


@pytest.mark.parametrize("latent_dim", [3, 5])
def test_latents_that_hold_the_truth_linearly_leave_nothing(latent_dim: int) -> None:
    truth = draw_truth(dtype=torch.float64)
    latents = truth @ torch.randn(D, latent_dim, dtype=torch.float64) - 7
    assert measure_linear_projection(latents, truth).max() < 1e-12


def test_a_coordinate_that_the_latents_lack_keeps_what_the_others_do_not_explain() -> None:
    truth = torch.randn(N, D)
    measured = measure_linear_projection(truth[:, :2] * 5, truth)
    assert measured[:2].max() < 1e-10
    assert 0.99 < measured[2] < 1


@pytest.mark.parametrize(("noise_std", "residual"), [(1.0, 0.5), (2.0, 0.8), (0.5, 0.2)])
def test_the_residual_is_1_minus_the_known_r_squared(noise_std: float, residual: float) -> None:
    """Truth = z + noise: of a variance of 1 + σ², σ² is not explained."""
    count = 200_000
    latents = torch.randn(count, 3)
    truth = latents + noise_std * torch.randn(count, 3)
    measured = measure_linear_projection(latents, truth)
    assert measured.tolist() == pytest.approx([residual] * 3, abs=0.005)


def test_unrelated_latents_explain_chance_only() -> None:
    measured = measure_linear_projection(torch.randn(N, 3), draw_truth())
    # The expected share by chance is 3 / (N - 1).
    assert measured.min() > 1 - 6 * 3 / N
    assert measured.max() < 1


def test_a_curved_relation_is_no_linear_one() -> None:
    z = torch.linspace(-1, 1, 1001, dtype=torch.float64)[:, None]
    measured = measure_linear_projection(torch.cat([z, -3 * z], dim=1), z.square())
    assert measured.item() == pytest.approx(1.0)


# Collapsed, dependent, extreme


COLLAPSED = {
    "zero": 0.0,
    "constant": 7.3,
    "tiny": 1e-20,
    "subnormal": 1e-42,
    "huge": 1e30,
}


@pytest.mark.parametrize("constant", COLLAPSED.values(), ids=COLLAPSED.keys())
def test_latents_that_never_move_explain_nothing(constant: float) -> None:
    measured = measure_linear_projection(torch.full((N, 3), constant), draw_truth())
    assert measured.tolist() == [1.0] * D


@pytest.mark.parametrize(("centre", "spread"), [(7.3, 4e-7), (1e8, 4.0), (1e-20, 1e-27)])
def test_latents_that_move_no_more_than_float32_rounds_explain_nothing(
    centre: float, spread: float
) -> None:
    latents = centre + spread * torch.randn(N, 3)
    assert measure_linear_projection(latents, draw_truth()).tolist() == [1.0] * D


def test_one_collapsed_dimension_does_not_disturb_the_others() -> None:
    truth = draw_truth()
    alive = truth[:, :2] + 0.1 * torch.randn(N, 2)
    expected = fit_with_numpy(alive, truth)
    for collapsed in (0.0, 7.3, 1e-20, 1e30):
        latents = torch.cat([alive, torch.full((N, 1), collapsed)], dim=1)
        np.testing.assert_allclose(
            measure_linear_projection(latents, truth), expected, rtol=0, atol=1e-10
        )


def test_duplicate_and_dependent_columns_count_once() -> None:
    truth = draw_truth()
    z = truth[:, :1] + 0.05 * torch.randn(N, 1)
    expected = fit_with_numpy(z, truth)
    for latents in (z.expand(N, 3), torch.cat([z, 2 * z, -8 * z], dim=1)):
        np.testing.assert_allclose(
            measure_linear_projection(latents, truth), expected, rtol=0, atol=1e-6
        )


def test_latents_of_rank_two_are_fitted_on_their_plane() -> None:
    truth = draw_truth()
    plane = truth[:, :2].double() + 0.1 * torch.randn(N, 2, dtype=torch.float64)
    latents = plane @ torch.randn(2, 6, dtype=torch.float64)
    np.testing.assert_allclose(
        measure_linear_projection(latents, truth), fit_with_numpy(plane, truth), atol=1e-10
    )


@pytest.mark.parametrize("scale", [1e-300, 1e-30, 1e-6, 1.0, 1e6, 1e30, 1e300])
def test_the_latents_units_do_not_matter(scale: float) -> None:
    truth = draw_truth()
    latents = truth.double() + 0.2 * torch.randn(N, 3, dtype=torch.float64)
    reference = measure_linear_projection(latents, truth)
    torch.testing.assert_close(
        measure_linear_projection(scale * latents, truth), reference, rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("scales", [(1e-6, 1.0, 1e6), (1e20, 1e-20, 1.0)])
def test_nor_does_it_matter_that_dimensions_have_different_units(scales: tuple[float, ...]) -> None:
    truth = draw_truth()
    latents = truth.double() + 0.2 * torch.randn(N, 3, dtype=torch.float64)
    torch.testing.assert_close(
        measure_linear_projection(latents * torch.tensor(scales), truth),
        measure_linear_projection(latents, truth),
        rtol=0,
        atol=1e-6,
    )


@pytest.mark.parametrize("offset", [1e2, 1e4, 1e5])
def test_an_offset_costs_no_more_than_the_rounding_that_it_causes(offset: float) -> None:
    truth = draw_truth(dtype=torch.float64)[:, :1]
    latents = torch.cat([truth, truth.square()], dim=1).float() + offset
    relative_rounding = offset * 2**-24 / truth.std().item()
    assert measure_linear_projection(latents, truth).item() < relative_rounding**2


@pytest.mark.parametrize("count", [2, 3, 4])
def test_fewer_samples_than_latents_stay_between_0_and_1(count: int) -> None:
    measured = measure_linear_projection(torch.randn(count, 8), torch.randn(count, 2))
    assert measured.tolist() == pytest.approx([0, 0], abs=1e-12)


@pytest.mark.parametrize("trial", range(20))
def test_whatever_finite_latents_give_a_number_from_0_to_1(trial: int) -> None:
    """Random mixtures of scales, offsets, duplicates and constants in float32."""
    columns = torch.randn(N, 5) * 10 ** torch.empty(5).uniform_(-37, 37)
    columns[:, trial % 5] = columns[:, (trial + 1) % 5] * 3
    columns[:, (trial + 2) % 5] = columns[0, (trial + 2) % 5]
    columns = torch.where(torch.isfinite(columns), columns, 0.0)
    measured = measure_linear_projection(columns, draw_truth())
    assert ((measured >= 0) & (measured <= 1)).all()


# What cannot be measured


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_latents_that_are_not_finite_give_nan_for_every_coordinate(bad: float) -> None:
    latents = torch.randn(N, 3)
    latents[17, 1] = bad
    measured = measure_linear_projection(latents, draw_truth())
    assert measured.shape == (D,)
    assert torch.isnan(measured).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("constant", [0.0, 0.1, 1 / 3, 7.3])
def test_a_truth_that_never_moves_is_an_error(constant: float, dtype: torch.dtype) -> None:
    truth = draw_truth(dtype=dtype)
    truth[:, 1] = constant
    with pytest.raises(ValueError, match="a coordinate of the truth is constant"):
        measure_linear_projection(torch.randn(N, 3), truth)


def test_neither_argument_is_changed() -> None:
    latents, truth = torch.randn(N, 3, dtype=torch.float64), draw_truth(dtype=torch.float64)
    before = latents.clone(), truth.clone()
    measure_linear_projection(latents, truth)
    assert torch.equal(latents, before[0])
    assert torch.equal(truth, before[1])
