from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from scipy.stats import kstest
from torch import Tensor

from hpcexp.workloads.sps.config.symmetry import Symmetry
from hpcexp.workloads.sps.symmetry import AffineMaps, apply_map, draw_maps, undo_map

MANY = 20_000


def make_generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def make_symmetry(*, translate_std: float = 1.0, **settings: Any) -> Symmetry:
    """One of a translation and an element of O(2), on the first two dimensions."""
    translate = {"kind": "translate", "std": translate_std}
    rules = [{"slices": ["0:2"], "sample": [translate, "rotate"]}]
    return Symmetry.model_validate({"rules": rules, **settings})


def draw_from(
    symmetry: Symmetry, generator: torch.Generator, *, count: int, latent_dim: int
) -> AffineMaps:
    uniform = torch.rand(count, generator=generator, dtype=torch.float64)
    is_identity = uniform < symmetry.identity_probability
    return draw_maps(
        symmetry.rules,
        generator,
        is_identity=is_identity,
        latent_dim=latent_dim,
        turns=torch.zeros(count, dtype=torch.int64),
    )


def draw(
    *, num_steps: int = MANY, latent_dim: int = 3, seed: int = 0, **settings: Any
) -> AffineMaps:
    symmetry, generator = make_symmetry(**settings), make_generator(seed)
    return draw_from(symmetry, generator, count=num_steps, latent_dim=latent_dim)


def find_translations(maps: AffineMaps) -> Tensor:
    return (maps.offset != 0).any(dim=1)


def find_rotations(maps: AffineMaps) -> Tensor:
    return (maps.matrix != torch.eye(maps.matrix.shape[-1])).flatten(1).any(dim=1)


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
    shifts = maps.offset[find_translations(maps), :2] / 2.5
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
    assert (maps.matrix[:, :2, 2:] == 0).all()
    assert (maps.inverse[:, :2, 2:] == 0).all()


def test_no_rules_change_no_bit() -> None:
    maps = draw(num_steps=200, rules=[])
    z = torch.randn(2, 3, 3, dtype=torch.float64, generator=make_generator(1))
    for matrix, inverse, offset in zip(*maps, strict=True):
        assert torch.equal(apply_map(z, matrix, offset), z)
        assert torch.equal(undo_map(z, inverse, offset), z)


# Which random numbers are used


def test_the_same_seed_repeats_and_another_differs() -> None:
    first, again, other = draw(num_steps=20), draw(num_steps=20), draw(num_steps=20, seed=1)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first.matrix, other.matrix)


SETTINGS: list[dict[str, Any]] = [
    {"translate_std": 0.0},
    {"identity_probability": 1.0},
    {"latent_dim": 6},
]


@pytest.mark.parametrize("settings", SETTINGS)
def test_every_setting_consumes_the_same_random_numbers(settings: dict[str, Any]) -> None:
    reference, generator = make_generator(), make_generator()
    draw_from(make_symmetry(), reference, count=30, latent_dim=3)
    latent_dim = settings.get("latent_dim", 3)
    symmetry = make_symmetry(**{k: v for k, v in settings.items() if k != "latent_dim"})
    draw_from(symmetry, generator, count=30, latent_dim=latent_dim)
    assert torch.equal(generator.get_state(), reference.get_state())


def test_settings_are_paired_a_larger_spread_stretches_the_same_translations() -> None:
    narrow, wide = draw(translate_std=0.5), draw(translate_std=2.0)
    torch.testing.assert_close(wide.offset, 4 * narrow.offset)
    assert torch.equal(wide.matrix, narrow.matrix)


def test_settings_are_paired_more_identities_leave_the_other_transforms_as_they_are() -> None:
    few, many = draw(identity_probability=0.1), draw(identity_probability=0.6)
    kept = find_translations(many) | find_rotations(many)
    assert torch.equal(many.matrix[kept], few.matrix[kept])
    assert torch.equal(many.offset[kept], few.offset[kept])
    assert share(kept) < share(find_translations(few) | find_rotations(few))


def test_settings_are_paired_more_latent_dimensions_move_as_before() -> None:
    three, six = draw(num_steps=100), draw(num_steps=100, latent_dim=6)
    assert torch.equal(six.matrix[:, :2, :2], three.matrix[:, :2, :2])
    assert torch.equal(six.offset[:, :2], three.offset[:, :2])
