from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from scipy.stats import kstest
from torch import Tensor

from hpcexp.workloads.sps.config.symmetry import Symmetry
from hpcexp.workloads.sps.symmetry import (
    AffineMaps,
    apply_map,
    draw_maps,
    draw_orthogonal,
    undo_map,
)

MANY = 20_000


def make_generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draw(
    *, num_steps: int = MANY, latent_dim: int = 3, seed: int = 0, **settings: Any
) -> AffineMaps:
    generator = make_generator(seed)
    return draw_maps(Symmetry(**settings), generator, num_steps=num_steps, latent_dim=latent_dim)


def find_translations(maps: AffineMaps) -> Tensor:
    return (maps.offset_SZ != 0).any(dim=1)


def find_rotations(maps: AffineMaps) -> Tensor:
    return (maps.matrix_SZZ != torch.eye(maps.matrix_SZZ.shape[-1])).flatten(1).any(dim=1)


def share(mask: Tensor) -> float:
    return mask.double().mean().item()


def four_sigma(probability: float, count: int) -> float:
    return 4 * math.sqrt(probability * (1 - probability) / count)


# Applying and undoing


def test_a_map_turns_first_and_shifts_then() -> None:
    quarter_turn = torch.tensor([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    offset = torch.tensor([10.0, 20.0, 0.0])
    z = torch.tensor([[[1.0, 0.0, 5.0], [0.0, 2.0, 6.0]]])
    expected = torch.tensor([[[10.0, 21.0, 5.0], [8.0, 20.0, 6.0]]])
    torch.testing.assert_close(apply_map(z, quarter_turn, offset), expected)
    torch.testing.assert_close(undo_map(expected, quarter_turn.T, offset), z)


@pytest.mark.parametrize("latent_dim", [2, 3, 6])
def test_undoing_inverts_applying_and_the_other_way_round(latent_dim: int) -> None:
    maps = draw(num_steps=50, latent_dim=latent_dim, translate_std=3.0)
    z = torch.randn(4, 5, latent_dim, dtype=torch.float64, generator=make_generator(1))
    for matrix, inverse, offset in zip(*maps, strict=True):
        there_and_back = undo_map(apply_map(z, matrix, offset), inverse, offset)
        back_and_there = apply_map(undo_map(z, inverse, offset), matrix, offset)
        torch.testing.assert_close(there_and_back, z, rtol=0, atol=1e-12)
        torch.testing.assert_close(back_and_there, z, rtol=0, atol=1e-12)


# Haar elements of O(n)


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


# What is drawn for each step


@pytest.mark.parametrize("probability", [0.0, 0.1, 0.5, 1.0])
def test_nothing_is_transformed_with_the_identity_probability(probability: float) -> None:
    maps = draw(identity_probability=probability)
    moved = find_translations(maps) | find_rotations(maps)
    expected = pytest.approx(probability, abs=four_sigma(probability, MANY))
    assert share(~moved) == expected


def test_a_transform_is_a_translation_or_a_rotation_half_the_time_each_and_never_both() -> None:
    maps = draw(identity_probability=0.1)
    translates, rotates = find_translations(maps), find_rotations(maps)
    assert not (translates & rotates).any()
    num_moved = int((translates | rotates).sum())
    assert int(translates.sum()) / num_moved == pytest.approx(0.5, abs=four_sigma(0.5, num_moved))


def test_translations_are_normal_with_the_standard_deviation_asked_for() -> None:
    maps = draw(translate_std=2.5)
    shifts = maps.offset_SZ[find_translations(maps), :2] / 2.5
    assert kstest(shifts[:, 0].numpy(), "norm").pvalue > 0.01
    assert kstest(shifts[:, 1].numpy(), "norm").pvalue > 0.01
    assert abs(torch.corrcoef(shifts.T)[0, 1].item()) < 4 / math.sqrt(len(shifts))


@pytest.mark.parametrize("latent_dim", [3, 5])
def test_only_the_first_two_latent_dimensions_move(latent_dim: int) -> None:
    maps = draw(num_steps=300, latent_dim=latent_dim)
    z = torch.randn(1, 4, latent_dim, dtype=torch.float64, generator=make_generator(1))
    num_moved = 0
    for matrix, _, offset in zip(*maps, strict=True):
        changed = apply_map(z, matrix, offset)
        assert torch.equal(changed[..., 2:], z[..., 2:])
        num_moved += not torch.equal(changed, z)
    assert num_moved > 200


def test_what_stays_has_no_influence_on_what_moves() -> None:
    maps = draw(num_steps=300, latent_dim=4)
    assert (maps.matrix_SZZ[:, :2, 2:] == 0).all()
    assert (maps.inverse_SZZ[:, :2, 2:] == 0).all()


def test_the_trivial_kind_changes_no_bit() -> None:
    maps = draw(num_steps=200, kind="trivial")
    z = torch.randn(2, 3, 3, dtype=torch.float64, generator=make_generator(1))
    for matrix, inverse, offset in zip(*maps, strict=True):
        assert torch.equal(apply_map(z, matrix, offset), z)
        assert torch.equal(undo_map(z, inverse, offset), z)


# Which random numbers are used


def test_the_same_seed_repeats_and_another_differs() -> None:
    first, again, other = draw(num_steps=20), draw(num_steps=20), draw(num_steps=20, seed=1)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first.matrix_SZZ, other.matrix_SZZ)


SETTINGS: list[dict[str, Any]] = [
    {"kind": "trivial"},
    {"translate_std": 0.0},
    {"identity_probability": 1.0},
    {"latent_dim": 6},
]


@pytest.mark.parametrize("settings", SETTINGS)
def test_every_setting_consumes_the_same_random_numbers(settings: dict[str, Any]) -> None:
    reference, generator = make_generator(), make_generator()
    draw_maps(Symmetry(), reference, num_steps=30, latent_dim=3)
    latent_dim = settings.get("latent_dim", 3)
    symmetry = Symmetry(**{k: v for k, v in settings.items() if k != "latent_dim"})
    draw_maps(symmetry, generator, num_steps=30, latent_dim=latent_dim)
    assert torch.equal(generator.get_state(), reference.get_state())


def test_settings_are_paired_a_larger_spread_stretches_the_same_translations() -> None:
    narrow, wide = draw(translate_std=0.5), draw(translate_std=2.0)
    torch.testing.assert_close(wide.offset_SZ, 4 * narrow.offset_SZ)
    assert torch.equal(wide.matrix_SZZ, narrow.matrix_SZZ)


def test_settings_are_paired_more_identities_leave_the_other_transforms_as_they_are() -> None:
    few, many = draw(identity_probability=0.1), draw(identity_probability=0.6)
    kept = find_translations(many) | find_rotations(many)
    assert torch.equal(many.matrix_SZZ[kept], few.matrix_SZZ[kept])
    assert torch.equal(many.offset_SZ[kept], few.offset_SZ[kept])
    assert share(kept) < share(find_translations(few) | find_rotations(few))


def test_settings_are_paired_more_latent_dimensions_move_as_before() -> None:
    three, six = draw(num_steps=100), draw(num_steps=100, latent_dim=6)
    assert torch.equal(six.matrix_SZZ[:, :2, :2], three.matrix_SZZ[:, :2, :2])
    assert torch.equal(six.offset_SZ[:, :2], three.offset_SZ[:, :2])
