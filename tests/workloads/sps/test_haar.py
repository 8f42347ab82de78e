from __future__ import annotations

import math

import pytest
import torch
from scipy.stats import kstest
from torch import Tensor

from hpcexp.workloads.sps.haar import draw_orthogonal, draw_rotations

MANY = 20_000


def make_generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def share(mask: Tensor) -> float:
    return mask.double().mean().item()


def four_sigma(probability: float, count: int) -> float:
    return 4 * math.sqrt(probability * (1 - probability) / count)


@pytest.mark.parametrize("dim", [2, 3, 5])
def test_drawn_elements_are_orthogonal(dim: int) -> None:
    q = draw_orthogonal(200, dim, make_generator())
    assert q.shape == (200, dim, dim)
    torch.testing.assert_close(
        q.transpose(1, 2) @ q, torch.eye(dim, dtype=torch.float64).expand_as(q), rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("dim", [2, 3])
def test_half_are_rotations_and_half_reflections(dim: int) -> None:
    determinants = torch.linalg.det(draw_orthogonal(MANY, dim, make_generator()))
    torch.testing.assert_close(
        determinants.abs(), torch.ones_like(determinants), rtol=0, atol=1e-12
    )
    assert share(determinants > 0) == pytest.approx(0.5, abs=four_sigma(0.5, MANY))


@pytest.mark.parametrize("dim", [2, 3])
def test_entries_have_the_moments_of_the_haar_measure(dim: int) -> None:
    """Mean 0 and mean square 1 / dim of each entry; mean square 1 of the trace."""
    q = draw_orthogonal(MANY, dim, make_generator())
    bound = 4 / math.sqrt(MANY)
    torch.testing.assert_close(q.mean(0), torch.zeros_like(q[0]), rtol=0, atol=bound)
    second = q.square().mean(0)
    torch.testing.assert_close(second, torch.full_like(q[0], 1 / dim), rtol=0, atol=bound)
    trace = q.diagonal(dim1=1, dim2=2).sum(1)
    assert trace.square().mean().item() == pytest.approx(1, abs=2 * bound)


def test_the_angles_of_rotations_and_of_reflections_are_uniform() -> None:
    q = draw_orthogonal(MANY, 2, make_generator())
    angles = torch.atan2(q[:, 1, 0], q[:, 0, 0]) / (2 * math.pi) + 0.5
    for kind in (torch.linalg.det(q) > 0, torch.linalg.det(q) < 0):
        assert kstest(angles[kind].numpy(), "uniform").pvalue > 0.01


@pytest.mark.parametrize("dim", [1, 2, 3, 4])
def test_without_reflections_every_determinant_is_1(dim: int) -> None:
    q = draw_rotations(500, dim, make_generator(), reflections=False)
    determinants = torch.linalg.det(q)
    torch.testing.assert_close(determinants, torch.ones_like(determinants), rtol=0, atol=1e-12)


def test_in_one_dimension_a_reflection_is_a_sign_and_a_rotation_is_nothing() -> None:
    with_reflections = draw_rotations(MANY, 1, make_generator(), reflections=True)
    assert set(with_reflections.flatten().tolist()) == {-1.0, 1.0}
    assert share(with_reflections > 0) == pytest.approx(0.5, abs=four_sigma(0.5, MANY))
    assert (draw_rotations(50, 1, make_generator(), reflections=False) == 1).all()


@pytest.mark.parametrize("dim", [2, 3])
def test_rotations_have_the_moments_of_the_haar_measure_of_so(dim: int) -> None:
    """Mean 0 and mean square 1 / dim of each entry."""
    q = draw_rotations(MANY, dim, make_generator(), reflections=False)
    bound = 4 / math.sqrt(MANY)
    torch.testing.assert_close(q.mean(0), torch.zeros_like(q[0]), rtol=0, atol=bound)
    second = q.square().mean(0)
    torch.testing.assert_close(second, torch.full_like(q[0], 1 / dim), rtol=0, atol=bound)


@pytest.mark.parametrize("reflections", [False, True])
def test_the_measure_is_invariant_a_turned_vector_points_anywhere_alike(reflections: bool) -> None:
    """Each coordinate of a random unit vector in three dimensions is uniform (Archimedes)."""
    q = draw_rotations(MANY, 3, make_generator(), reflections=reflections)
    turned = q @ torch.tensor([0.6, 0.0, 0.8], dtype=torch.float64)
    for axis in range(3):
        assert kstest(turned[:, axis].numpy(), "uniform", args=(-1, 2)).pvalue > 0.01


def test_rotations_are_the_orthogonal_draws_with_a_column_turned_around() -> None:
    """Settings are paired: with and without reflections use the same numbers."""
    free = draw_rotations(100, 3, make_generator(), reflections=True)
    proper = draw_rotations(100, 3, make_generator(), reflections=False)
    assert torch.equal(free[:, :, 1:], proper[:, :, 1:])
    torch.testing.assert_close(free[:, :, 0].abs(), proper[:, :, 0].abs())
