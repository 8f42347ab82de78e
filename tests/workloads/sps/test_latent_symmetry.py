"""Rules, instances, augmentations: what a specification does to a batch of latents."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import vmap

from hpcexp.workloads.sps.config.symmetry import Symmetry
from hpcexp.workloads.sps.symmetry import LatentSymmetry

B, T, MIN_CONTEXT = 8, 6, 2
MANY = 4000
Settings = dict[str, Any]


def make(latent_dim: int = 6, **settings: Any) -> LatentSymmetry:
    symmetry = Symmetry.model_validate({"identity_probability": 0.0, **settings})
    return LatentSymmetry(
        symmetry, latent_dim=latent_dim, batch_size=B, num_frames=T, min_context=MIN_CONTEXT
    )


def draw(symmetry: LatentSymmetry, *, num_steps: int = 1, seed: int = 0) -> dict[str, Tensor]:
    return symmetry.draw(torch.Generator().manual_seed(seed), num_steps=num_steps)


def draw_step(symmetry: LatentSymmetry, *, seed: int = 0) -> dict[str, Tensor]:
    return {k: v[0] for k, v in draw(symmetry, seed=seed).items()}


def draw_latents(latent_dim: int = 6) -> Tensor:
    generator = torch.Generator().manual_seed(9)
    return torch.randn(B, T, latent_dim, dtype=torch.float64, generator=generator)


SPECIFICATIONS: dict[str, Settings] = {
    "T or R of the ground": {"rules": [{"slices": ["0:2"], "sample": ["translate", "rotate"]}]},
    "TR of all": {"rules": [{"slices": ["0:6"], "compose": ["translate", "rotate"]}]},
    "both bodies together": {
        "rules": [{"slices": ["0:3", "3:6"], "compose": ["translate", "rotate"]}]
    },
    "each body apart": {
        "rules": [
            {
                "slices": ["0:3", "3:6"],
                "compose": ["rotate", "translate"],
                "instances": "independent",
            }
        ]
    },
    "overlapping": {
        "rules": [
            {"slices": ["0:3"], "compose": ["translate"]},
            {"slices": ["1:3"], "compose": ["rotate"]},
        ]
    },
    "K parts": {
        "rules": [{"slices": ["0:2"], "sample": ["translate", "rotate"]}],
        "K": 4,
    },
    "K times": {
        "rules": [{"slices": ["0:2"], "sample": ["translate", "rotate"]}],
        "K": 3,
        "K_mode": "multiply",
    },
    "in turn": {
        "rules": [{"slices": ["0:2"], "in_turn": ["translate", "rotate"]}],
        "K": 2,
        "K_mode": "multiply",
    },
    "per sequence": {
        "rules": [{"slices": ["0:2"], "compose": ["translate", "rotate"]}],
        "draw_per": "sequence",
    },
    "per sequence, K times": {
        "rules": [{"slices": ["0:2"], "compose": ["translate", "rotate"]}],
        "draw_per": "sequence",
        "K": 2,
        "K_mode": "multiply",
    },
}


@pytest.mark.parametrize("name", SPECIFICATIONS)
def test_a_prediction_of_no_change_is_undone_to_where_it_came_from(name: str) -> None:
    """An equivariant prediction, the last latent read, comes back as that latent."""
    symmetry, z = make(**SPECIFICATIONS[name]), draw_latents()
    for seed in range(5):
        noise = draw_step(symmetry, seed=seed)
        transformed = symmetry.transform(z, noise)
        undone = symmetry.undo(transformed[None, :, MIN_CONTEXT:], noise)[0]
        targets = symmetry.select_targets(z, noise)
        torch.testing.assert_close(undone, targets, rtol=0, atol=1e-12)
        assert not torch.allclose(transformed[:, MIN_CONTEXT:], targets)


# Which transforms


def test_a_composition_applies_the_first_transform_first() -> None:
    rule = {"slices": ["0:2"], "compose": ["translate", "rotate"]}
    reverse = {"slices": ["0:2"], "compose": ["rotate", "translate"]}
    first = draw_step(make(2, rules=[rule]))
    second = draw_step(make(2, rules=[reverse]))
    # Translated, then turned: the offset is the turned translation.
    z = torch.zeros(B, T, 2, dtype=torch.float64)
    matrix, offset = first["symmetry.matrix"][0], first["symmetry.offset"][0]
    assert make(2, rules=[rule]).transform(z, first)[0, 0] == pytest.approx(offset)
    shift = matrix.T @ offset
    generator = torch.Generator().manual_seed(0)
    torch.rand(1, generator=generator, dtype=torch.float64)  # identity or not
    torch.rand(1, generator=generator, dtype=torch.float64)  # which one, unused here
    drawn = torch.randn(2, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(shift, drawn)
    assert second["symmetry.matrix"].shape == first["symmetry.matrix"].shape


@pytest.mark.parametrize("num_choices", [2, 3])
def test_a_sample_is_each_of_its_transforms_equally_often(num_choices: int) -> None:
    choices = ["translate", "rotate", "trivial"][:num_choices]
    rule = {"slices": ["0:2"], "sample": choices}
    drawn = draw(make(2, rules=[rule]), num_steps=MANY)
    moved = (drawn["symmetry.offset"] != 0).any(-1)
    turned = (drawn["symmetry.matrix"] != torch.eye(2)).flatten(2).any(-1)
    bound = 4 * math.sqrt(0.25 / MANY)
    assert moved.double().mean().item() == pytest.approx(1 / num_choices, abs=bound)
    assert turned.double().mean().item() == pytest.approx(1 / num_choices, abs=bound)
    assert not (moved & turned).any()


def list_kinds(symmetry: LatentSymmetry, noise: dict[str, Tensor]) -> list[str]:
    """What each sequence that the RNN sees undergoes: T, R, TR or I."""
    kinds = []
    for number in range(symmetry.num_instances):
        matrix, offset = noise["symmetry.matrix"][number], noise["symmetry.offset"][number]
        is_turned = not torch.equal(matrix, torch.eye(len(matrix), dtype=matrix.dtype))
        kinds.append("T" * bool((offset != 0).any()) + "R" * is_turned or "I")
    return [kind for kind in kinds for _ in range(symmetry.num_sequences // len(kinds))]


T_THEN_R = [{"slices": ["0:2"], "in_turn": ["translate", "rotate"]}]
T_R_TR_I = [
    {"slices": ["0:2"], "in_turn": ["translate", "trivial", "translate", "trivial"]},
    {"slices": ["0:2"], "in_turn": ["trivial", "rotate", "rotate", "trivial"]},
]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"rules": T_THEN_R, "K": 2}, ["T"] * 4 + ["R"] * 4),
        ({"rules": T_THEN_R, "K": 2, "K_mode": "multiply"}, ["T"] * 8 + ["R"] * 8),
        ({"rules": T_THEN_R, "K": 4}, ["T", "T", "R", "R"] * 2),
        ({"rules": T_R_TR_I, "K": 4}, ["T", "T", "R", "R", "TR", "TR", "I", "I"]),
        ({"rules": T_THEN_R, "draw_per": "sequence"}, ["T", "R"] * 4),
        (
            {"rules": T_THEN_R, "draw_per": "sequence", "K": 2, "K_mode": "multiply"},
            ["T", "R"] * 4 + ["R", "T"] * 4,
        ),
    ],
)
def test_in_turn_every_augmentation_takes_the_transform_whose_turn_it_is(
    settings: Settings, expected: list[str]
) -> None:
    """T+R of the notebook: one part of each batch is translated, another turned."""
    symmetry = make(2, **settings)
    drawn = draw(symmetry, num_steps=3)
    for step in range(3):
        assert list_kinds(symmetry, {k: v[step] for k, v in drawn.items()}) == expected


def test_in_turn_nothing_is_transformed_with_the_identity_probability_all_the_same() -> None:
    symmetry = make(2, rules=T_THEN_R, K=2, identity_probability=0.5)
    drawn = draw(symmetry, num_steps=MANY)
    moved = (drawn["symmetry.offset"] != 0).any(-1)
    assert moved[:, 0].double().mean().item() == pytest.approx(0.5, abs=4 * 0.5 / math.sqrt(MANY))
    assert not moved[:, 1].any()


def test_trivial_transforms_change_no_bit() -> None:
    rules = [{"slices": ["0:6"], "compose": ["trivial"]}]
    symmetry, z = make(rules=rules), draw_latents()
    noise = draw_step(symmetry)
    assert torch.equal(symmetry.transform(z, noise), z)
    assert torch.equal(symmetry.undo(z[None], noise)[0], z)


def test_shared_instances_move_all_slices_alike_and_independent_ones_do_not() -> None:
    rule = {"slices": ["0:3", "3:6"], "compose": ["translate", "rotate"]}
    shared = draw_step(make(rules=[rule]))
    apart = draw_step(make(rules=[rule | {"instances": "independent"}]))
    for noise, is_alike in ((shared, True), (apart, False)):
        matrix, offset = noise["symmetry.matrix"][0], noise["symmetry.offset"][0]
        assert torch.allclose(matrix[:3, :3], matrix[3:, 3:]) == is_alike
        assert torch.allclose(offset[:3], offset[3:]) == is_alike
        assert (matrix[:3, 3:] == 0).all()


def test_overlapping_rules_compose_in_their_order() -> None:
    """T(1) of the first dimension, then R(2) of both: one of the notebook's wrong assumptions."""
    rules = [
        {"slices": ["0:1"], "compose": ["translate"]},
        {"slices": ["0:2"], "compose": ["rotate"]},
    ]
    noise = draw_step(make(2, rules=rules))
    matrix, offset = noise["symmetry.matrix"][0], noise["symmetry.offset"][0]
    before = matrix.T @ offset  # the translation, before it was turned
    assert before[0] != 0
    assert before[1].item() == pytest.approx(0, abs=1e-15)


def test_of_two_rotations_that_overlap_that_of_the_first_rule_comes_first() -> None:
    """What it mixes, dimensions 0 and 1, reaches dimension 2 by the second; 2 never reaches 0."""
    rules = [
        {"slices": ["0:2"], "compose": ["rotate"]},
        {"slices": ["1:3"], "compose": ["rotate"]},
    ]
    matrix = draw_step(make(3, rules=rules))["symmetry.matrix"][0]
    assert matrix[0, 2] == 0
    assert (matrix[2] != 0).all()


def test_translations_have_the_standard_deviation_asked_for() -> None:
    rule = {"slices": ["1:3"], "compose": [{"kind": "translate", "std": 2.5}]}
    offsets = draw(make(3, rules=[rule]), num_steps=MANY)["symmetry.offset"][:, 0]
    assert (offsets[:, 0] == 0).all()
    bound = 4 * 2.5 / math.sqrt(2 * MANY)
    assert offsets[:, 1:].std(dim=0).tolist() == pytest.approx([2.5, 2.5], abs=bound)


def test_without_reflections_no_draw_turns_space_inside_out() -> None:
    rule = {"slices": ["0:3"], "compose": [{"kind": "rotate", "reflections": False}]}
    drawn = draw(make(3, rules=[rule]), num_steps=200)["symmetry.matrix"]
    assert (torch.linalg.det(drawn) > 0).all()


# Who gets which instance


def list_instances(symmetry: LatentSymmetry, z: Tensor, noise: dict[str, Tensor]) -> list[int]:
    """For each sequence that the RNN sees, the number of its transform, in order of appearance."""
    moved = symmetry.transform(z, noise) - symmetry.copy(z)
    seen: list[Tensor] = []
    numbers = []
    for shift in moved[:, 0]:
        known = [i for i, other in enumerate(seen) if torch.allclose(other, shift)]
        if not known:
            seen.append(shift)
        numbers.append(known[0] if known else len(seen) - 1)
    return numbers


TRANSLATE = [{"slices": ["0:6"], "compose": ["translate"]}]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [0] * B),
        ({"K": 4}, [0, 0, 1, 1, 2, 2, 3, 3]),
        ({"K": 2, "K_mode": "multiply"}, [0] * B + [1] * B),
        ({"draw_per": "sequence"}, list(range(B))),
        ({"draw_per": "sequence", "K": 2}, list(range(B))),
        ({"draw_per": "sequence", "K": 2, "K_mode": "multiply"}, list(range(2 * B))),
    ],
)
def test_the_batch_is_divided_among_its_augmentations_or_multiplied(
    settings: Settings, expected: list[int]
) -> None:
    symmetry = make(rules=TRANSLATE, **settings)
    assert list_instances(symmetry, draw_latents(), draw_step(symmetry)) == expected


def test_targets_are_copied_as_often_as_the_batch_is() -> None:
    symmetry, z = make(rules=TRANSLATE, K=2, K_mode="multiply"), draw_latents()
    targets = symmetry.select_targets(z, draw_step(symmetry))
    assert torch.equal(targets, torch.cat([z, z])[:, MIN_CONTEXT:])
    assert symmetry.weigh_frames(draw_step(symmetry)) is None


def test_every_member_of_an_ensemble_is_undone() -> None:
    symmetry, z = make(**SPECIFICATIONS["K parts"]), draw_latents()
    noise = draw_step(symmetry)
    members = torch.stack([symmetry.transform(z, noise)[:, MIN_CONTEXT:]] * 3)
    undone = symmetry.undo(members, noise)
    torch.testing.assert_close(undone, z[:, MIN_CONTEXT:].expand_as(undone), rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", SPECIFICATIONS)
def test_two_strengths_of_one_specification_are_lanes_of_one_program(name: str) -> None:
    settings = SPECIFICATIONS[name]
    lanes = [make(**settings), make(**settings | {"identity_probability": 0.9})]
    noise = [draw_step(symmetry) for symmetry in lanes]
    stacked = {k: torch.stack([n[k] for n in noise]) for k in noise[0]}
    z = draw_latents()
    together = vmap(lambda drawn: lanes[0].transform(z, drawn))(stacked)
    for lane, symmetry in enumerate(lanes):
        alone = symmetry.transform(z, noise[lane])
        torch.testing.assert_close(together[lane], alone, rtol=0, atol=1e-13)
