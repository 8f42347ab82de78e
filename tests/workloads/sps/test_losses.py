from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from hpcexp.workloads.sps.losses import (
    average_frames,
    hinge_fake,
    hinge_real,
    kl_to_standard_normal,
    measure_images,
    measure_latents,
)


def full(value: float, *shape: int) -> Tensor:
    return torch.full(shape, value, dtype=torch.float64)


# Images


@pytest.mark.parametrize(
    ("distance", "expected"),
    [
        ("mse", 0.2**2),
        ("l1", 0.2),
        ("bce", -(0.5 * math.log(0.3) + 0.5 * math.log(0.7))),
    ],
)
def test_images_that_are_off_by_a_fifth(distance: str, expected: float) -> None:
    loss = measure_images(full(0.3, 2, 3, 3, 4, 4), full(0.5, 2, 3, 3, 4, 4), distance=distance)
    assert loss.item() == pytest.approx(expected)


def test_the_cross_entropy_of_a_perfect_grey_image_is_its_entropy_not_0() -> None:
    grey = full(0.6, 1, 1, 3, 2, 2)
    entropy = -(0.6 * math.log(0.6) + 0.4 * math.log(0.4))
    assert measure_images(grey, grey, distance="bce").item() == pytest.approx(entropy)


@pytest.mark.parametrize("distance", ["mse", "l1", "bce"])
def test_images_of_every_member_are_compared_with_the_same_targets(distance: str) -> None:
    images = torch.rand(2, 3, 4, 3, 5, 5, dtype=torch.float64)
    targets = torch.rand(3, 4, 3, 5, 5, dtype=torch.float64)
    both = measure_images(images, targets, distance=distance)
    each = [measure_images(member, targets, distance=distance) for member in images]
    torch.testing.assert_close(both, (each[0] + each[1]) / 2)
    uniform = full(1 / 12, 3, 4)
    weighted = measure_images(images, targets, distance=distance, weights_NP=uniform)
    torch.testing.assert_close(weighted, both)


def test_frames_without_weight_do_not_count() -> None:
    images, targets = full(0.0, 1, 1, 2, 3, 2, 2), full(0.0, 1, 2, 3, 2, 2)
    images[:, :, 1] = 99.0
    weights = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    assert measure_images(images, targets, distance="mse", weights_NP=weights) == 0


# Latents


@pytest.mark.parametrize(("distance", "expected"), [("mse", 12.5), ("l1", 3.5)])
def test_latents_that_are_off_by_3_and_4(distance: str, expected: float) -> None:
    predicted = torch.tensor([3.0, 4.0], dtype=torch.float64).expand(1, 2, 3, 2)
    loss = measure_latents(predicted, full(0.0, 2, 3, 2), distance=distance)
    assert loss.item() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("target", "expected"), [([2.0, 0.0], 0), ([0.0, 5.0], 1), ([-1.0, 0.0], 2), ([1.0, 1.0], None)]
)
def test_the_cosine_loss_knows_directions_alone(
    target: list[float], expected: float | None
) -> None:
    predicted = torch.tensor([[[[7.0, 0.0]]]], dtype=torch.float64)
    loss = measure_latents(
        predicted, torch.tensor([[target]], dtype=torch.float64), distance="cosine"
    )
    wanted = 1 - math.cos(math.pi / 4) if expected is None else expected
    assert loss.item() == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("distance", ["mse", "l1", "cosine"])
def test_uniform_weights_are_the_plain_mean(distance: str) -> None:
    predicted = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    targets = torch.randn(3, 4, 5, dtype=torch.float64)
    plain = measure_latents(predicted, targets, distance=distance)
    weighted = measure_latents(predicted, targets, distance=distance, weights_NP=full(1 / 12, 3, 4))
    torch.testing.assert_close(weighted, plain)


def test_an_average_over_frames_is_a_mean_over_members() -> None:
    losses = torch.tensor([[[1.0, 3.0]], [[5.0, 7.0]]])
    weights = torch.tensor([[0.25, 0.75]])
    assert average_frames(losses, weights).item() == pytest.approx((2.5 + 6.5) / 2)


# KL divergence and hinges


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (2.0, 1.0), (0.0, 3.0), (-1.5, 0.2)])
def test_the_kl_divergence_of_a_gaussian_is_the_closed_form(mean: float, std: float) -> None:
    expected = 0.5 * (mean**2 + std**2 - 1) - math.log(std)
    loss = kl_to_standard_normal(full(mean, 4, 5, 2), full(2 * math.log(std), 4, 5, 2))
    assert loss.item() == pytest.approx(2 * expected, abs=1e-12)


def test_the_hinges_want_real_below_minus_1_and_fake_above_1() -> None:
    energies = torch.tensor([-3.0, -1.0, 0.0, 1.0, 3.0])
    assert hinge_real(energies).item() == pytest.approx((0 + 0 + 1 + 2 + 4) / 5)
    assert hinge_fake(energies).item() == pytest.approx((4 + 2 + 1 + 0 + 0) / 5)
    assert hinge_real(torch.zeros(3)) == hinge_fake(torch.zeros(3)) == 1
