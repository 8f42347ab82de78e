"""Playing time backwards, faster and slower, and playing predictions back."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import vmap

from hpcexp.workloads.sps.config.symmetry import Symmetry, TimeSymmetry
from hpcexp.workloads.sps.symmetry import LatentSymmetry
from hpcexp.workloads.sps.time_symmetry import draw_variants, make_time_maps

B, T, C = 3, 13, 4
P = T - C
STILL = {"rules": [], "identity_probability": 0.0}


def make(**time: Any) -> LatentSymmetry:
    symmetry = Symmetry.model_validate({**STILL, "time": time})
    return LatentSymmetry(symmetry, latent_dim=2, batch_size=B, num_frames=T, min_context=C)


def draw_step(symmetry: LatentSymmetry, *, seed: int = 0) -> dict[str, Tensor]:
    drawn = symmetry.draw(torch.Generator().manual_seed(seed), num_steps=1)
    return {k: v[0] for k, v in drawn.items()}


def make_lines() -> Tensor:
    """Latents that move at a constant velocity: interpolated exactly."""
    start = torch.tensor([[1.0, 2.0], [-3.0, 0.5], [0.0, 4.0]], dtype=torch.float64)
    velocity = torch.tensor([[0.5, -1.0], [2.0, 1.0], [-0.25, 3.0]], dtype=torch.float64)
    return start[:, None] + velocity[:, None] * torch.arange(T)[:, None]


def extrapolate(z_NTZ: Tensor) -> Tensor:
    """A perfect predictor of lines: on from the context at its velocity."""
    velocity = z_NTZ[:, C - 1] - z_NTZ[:, C - 2]
    ahead = torch.arange(1, P + 1, dtype=torch.float64)
    return z_NTZ[:, C - 1, None] + velocity[:, None] * ahead[:, None]


VARIANTS: dict[str, dict[str, Any]] = {
    "backwards": {"reverse_probability": 1.0},
    "slower": {"stretch": [2.0]},
    "a little slower": {"stretch": [1.5]},
    "faster": {"stretch": [0.5]},
    "backwards and slower": {"reverse_probability": 1.0, "stretch": [2.0]},
    "backwards and faster": {"reverse_probability": 1.0, "stretch": [0.75]},
}
REACHED = {
    "backwards": list(range(P - 1, -1, -1)),
    "slower": [2, 3, 4, 5, 6],  # at the RNN's times 4, 6, 8, 10, 12
    "a little slower": [3, 4, 5, 6, 7, 8],
    "faster": [8, 9, 10, 11, 12],
    "backwards and slower": [10, 9, 8, 7, 6],
    "backwards and faster": [6, 5, 4, 3, 2, 1, 0],
}


def test_backwards_the_last_frame_comes_first() -> None:
    symmetry, z = make(reverse_probability=1.0), make_lines()
    assert torch.equal(symmetry.transform(z, draw_step(symmetry)), z.flip(1))


def test_at_half_the_speed_every_second_frame_lies_between_two() -> None:
    symmetry, z = make(stretch=[2.0]), make_lines()
    played = symmetry.transform(z, draw_step(symmetry))
    torch.testing.assert_close(played[:, ::2], z[:, :7])
    torch.testing.assert_close(played[:, 1::2], (z[:, :6] + z[:, 1:7]) / 2)


def test_at_double_speed_every_second_frame_is_left_out() -> None:
    symmetry, z = make(stretch=[0.5]), make_lines()
    played = symmetry.transform(z, draw_step(symmetry))
    torch.testing.assert_close(played[:, :7], z[:, ::2])


@pytest.mark.parametrize("name", VARIANTS)
def test_the_frames_that_are_reached_are_those_within_the_rnn_s_time(name: str) -> None:
    symmetry = make(**VARIANTS[name])
    noise = draw_step(symmetry)
    index, mask = noise["symmetry.time_index"][0], noise["symmetry.time_mask"][0]
    assert index[mask > 0].tolist() == REACHED[name]


@pytest.mark.parametrize("name", VARIANTS)
def test_a_perfect_prediction_is_played_back_to_the_truth(name: str) -> None:
    symmetry, z = make(**VARIANTS[name]), make_lines()
    noise = draw_step(symmetry)
    predicted = extrapolate(symmetry.transform(z, noise))
    undone = symmetry.undo(predicted[None], noise)[0]
    targets, weights = symmetry.select_targets(z, noise), symmetry.weigh_frames(noise)
    assert weights is not None
    errors = (undone - targets).abs().amax(dim=-1) * (weights > 0)
    assert errors.max() < 1e-12
    assert weights.sum().item() == pytest.approx(1)


def test_targets_of_images_are_the_frames_themselves() -> None:
    symmetry = make(reverse_probability=1.0)
    images = torch.arange(B * T * 12).reshape(B, T, 3, 2, 2)
    targets = symmetry.select_targets(images, draw_step(symmetry))
    assert torch.equal(targets, images[:, :P].flip(1))


def test_space_and_time_commute() -> None:
    """Latents between two frames are mixed with weights that sum to 1."""
    settings = {"rules": [{"slices": ["0:2"], "compose": ["translate", "rotate"]}]}
    still = Symmetry.model_validate({**STILL, **settings})
    both = still.model_copy(update={"time": TimeSymmetry(stretch=(1.5,))})
    sizes = {"latent_dim": 2, "batch_size": B, "num_frames": T, "min_context": C}
    symmetry, plain = LatentSymmetry(both, **sizes), LatentSymmetry(still, **sizes)
    z, noise = make_lines(), draw_step(symmetry)
    played = noise["symmetry.time_in"][0] @ z
    torch.testing.assert_close(symmetry.transform(z, noise), plain.transform(played, noise))


def test_without_ratios_other_than_1_and_without_reversal_there_is_no_symmetry_of_time() -> None:
    symmetry = make(stretch=[1.0])
    assert set(draw_step(symmetry)) == {f"symmetry.{k}" for k in ("matrix", "inverse", "offset")}


def test_variants_are_drawn_as_often_as_asked_for() -> None:
    settings = TimeSymmetry(reverse_probability=0.25, stretch=(0.5, 1.0))
    is_identity = torch.zeros(8000, dtype=torch.bool)
    is_identity[:2000] = True
    drawn = draw_variants(settings, torch.Generator().manual_seed(0), is_identity=is_identity)
    assert (drawn[:2000] == 4).all()
    shares = torch.bincount(drawn[2000:], minlength=5).double() / 6000
    assert shares.tolist() == pytest.approx([0.375, 0.375, 0.125, 0.125, 0], abs=0.025)


def test_the_identity_among_the_variants_plays_and_plays_back_as_it_is() -> None:
    maps = make_time_maps(TimeSymmetry(stretch=(2.0,)), num_frames=T, min_context=C)
    assert torch.equal(maps.play_VTT[-1], torch.eye(T, dtype=torch.float64))
    assert torch.equal(maps.play_back_VPP[-1], torch.eye(P, dtype=torch.float64))
    assert maps.frames_VP[-1].tolist() == list(range(C, T))


def test_rows_of_weights_sum_to_1_where_a_frame_is_reached() -> None:
    settings = TimeSymmetry(stretch=(0.3, 0.77, 1.0, 1.31, 3.9))
    maps = make_time_maps(settings, num_frames=T, min_context=C)
    torch.testing.assert_close(maps.play_VTT.sum(-1), torch.ones(11, T, dtype=torch.float64))
    torch.testing.assert_close(maps.play_back_VPP.sum(-1), maps.is_reached_VP)


def test_lanes_may_differ_in_their_probabilities() -> None:
    lanes = [make(reverse_probability=p, stretch=[0.5, 2.0]) for p in (0.0, 1.0)]
    noise = [draw_step(symmetry, seed=3) for symmetry in lanes]
    stacked = {k: torch.stack([n[k] for n in noise]) for k in noise[0]}
    z = make_lines()
    together = vmap(lambda drawn: lanes[0].select_targets(z, drawn))(stacked)
    for lane, symmetry in enumerate(lanes):
        assert torch.equal(together[lane], symmetry.select_targets(z, noise[lane]))
    assert not torch.equal(together[0], together[1])
