from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence
from torch.func import functional_call

from hpcexp.workloads.sps.config import Config
from hpcexp.workloads.sps.config.symmetry import Symmetry
from hpcexp.workloads.sps.dynamics import Dynamics, Prediction
from hpcexp.workloads.sps.losses import kl_to_standard_normal
from hpcexp.workloads.sps.objective import Objective
from hpcexp.workloads.sps.symmetry import LatentSymmetry, apply_map
from tests.train.conftest import TINY

B, T, Z, MIN_CONTEXT = 2, 7, 3, 3
SIDE = 8
LOSS_NAMES = ("self_recon", "predict.image", "predict.z", "kld")


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


class Persistence(nn.Module):
    """Predicts that nothing changes: equivariant under every map. Keeps what it was given."""

    min_context = MIN_CONTEXT

    def forward(
        self, z_BTZ: Tensor, is_forced_T: Tensor, noise: Mapping[str, Tensor] | None = None
    ) -> Prediction:
        self.seen, self.is_forced_T = z_BTZ, is_forced_T
        predicted = self.predict(z_BTZ)[None]
        return Prediction(predicted, predicted, None)

    def predict(self, z_BTZ: Tensor) -> Tensor:
        return z_BTZ[:, self.min_context - 1 : -1]


class Drift(Persistence):
    """Predicts that the velocity stays: equivariant under every affine map."""

    def predict(self, z_BTZ: Tensor) -> Tensor:
        m = self.min_context
        return 2 * z_BTZ[:, m - 1 : -1] - z_BTZ[:, m - 2 : -2]


def make_objective(
    dynamics: nn.Module | None = None, kind: type[Objective] = Objective, **changes: Any
) -> Objective:
    objective = kind(Config(**{**TINY, **changes})).double()
    if dynamics is not None:
        objective.dynamics = dynamics  # type: ignore[assignment]
    return objective


class Transparent(Objective):
    """Encodes an image of one colour as that colour, and decodes a latent to its colour."""

    log_variance = 0.0
    smudge = 0.0  # added to what is decoded

    def encode(self, images_BTCHW: Tensor) -> tuple[Tensor, Tensor]:
        mean_BTZ = images_BTCHW.mean(dim=(-2, -1))
        return mean_BTZ, torch.full_like(mean_BTZ, self.log_variance)

    def decode(self, z_BTZ: Tensor) -> Tensor:
        return z_BTZ[..., None, None].expand(*z_BTZ.shape, SIDE, SIDE) + self.smudge


def make_transparent(
    dynamics: nn.Module | None = None, *, log_variance: float = 0.0, smudge: float = 0.0
) -> Objective:
    objective = make_objective(dynamics, Transparent)
    assert isinstance(objective, Transparent)
    objective.log_variance, objective.smudge = log_variance, smudge
    return objective


def make_noise(symmetry: Symmetry | None = None, *, seed: int = 0) -> dict[str, Tensor]:
    """Noise without posterior noise, with the identity map where no symmetry is given."""
    drawn = LatentSymmetry(
        symmetry or Symmetry(rules=()),
        latent_dim=Z,
        batch_size=B,
        num_frames=T,
        min_context=MIN_CONTEXT,
    ).draw(torch.Generator().manual_seed(seed), num_steps=1)
    return {
        "posterior": torch.zeros(B, T, Z, dtype=torch.float64),
        **{name: tensor[0] for name, tensor in drawn.items()},
        "teacher_forcing": torch.zeros(T, dtype=torch.float64),
    }


ALWAYS_MOVES = Symmetry(identity_probability=0.0)


def make_values(teacher_forcing: float = 0.0) -> dict[str, Tensor]:
    return {"teacher_forcing": torch.tensor(teacher_forcing, dtype=torch.float64)}


def paint(levels_BTZ: Tensor) -> dict[str, Tensor]:
    """Images of one colour each, from levels of 0 to 255."""
    images = levels_BTZ[..., None, None].expand(*levels_BTZ.shape, SIDE, SIDE)
    return {"images": images.to(torch.uint8).contiguous()}


def draw_levels() -> Tensor:
    return torch.randint(0, 256, (B, T, Z))


def drift_levels() -> Tensor:
    """Colours that change at a constant velocity, another for each sequence and channel."""
    velocity_BTZ = torch.tensor([[[5.0, -7.0, 3.0]], [[-2.0, 4.0, 8.0]]])
    return 128 + velocity_BTZ * torch.arange(T)[:, None]


def measure(
    objective: Objective,
    levels_BTZ: Tensor,
    noise: dict[str, Tensor],
    *,
    teacher_forcing: float = 0.0,
) -> dict[str, float]:
    losses = objective(paint(levels_BTZ), noise, make_values(teacher_forcing))
    return dict(zip(LOSS_NAMES, losses.tolist(), strict=True))


# KL divergence


@pytest.mark.parametrize("latent_dim", [1, 3])
def test_the_kl_divergence_of_the_standard_normal_to_itself_is_0(latent_dim: int) -> None:
    zero = torch.zeros(4, 5, latent_dim)
    assert kl_to_standard_normal(zero, zero) == 0


@pytest.mark.parametrize("latent_dim", [1, 3])
def test_a_mean_of_1_costs_half_a_nat_in_each_dimension(latent_dim: int) -> None:
    zero = torch.zeros(4, 5, latent_dim)
    assert kl_to_standard_normal(zero + 1, zero).item() == pytest.approx(0.5 * latent_dim)


def test_a_variance_of_e_costs_half_of_e_minus_2() -> None:
    zero = torch.zeros(4, 5, 1)
    expected = 0.5 * (math.e - 2)
    assert kl_to_standard_normal(zero, zero + 1).item() == pytest.approx(expected)


def test_the_kl_divergence_is_summed_over_dimensions_and_averaged_over_batch_and_time() -> None:
    mean = torch.randn(4, 5, 3, dtype=torch.float64)
    log_variance = torch.randn(4, 5, 3, dtype=torch.float64)
    posterior = Normal(mean, (0.5 * log_variance).exp())
    prior = Normal(torch.zeros_like(mean), torch.ones_like(mean))
    expected = kl_divergence(posterior, prior).sum(dim=2).mean()
    torch.testing.assert_close(kl_to_standard_normal(mean, log_variance), expected)


# Known losses


def test_bytes_reach_the_encoder_as_values_from_0_to_1() -> None:
    levels = torch.tensor([0, 51, 255]).expand(B, T, Z)
    objective = make_transparent(Persistence())
    _, means = objective.measure(
        paint(levels), make_noise(), make_values(), symmetry=objective.symmetry
    )
    expected = torch.tensor([0.0, 0.2, 1.0], dtype=torch.float64).expand(B, T, Z)
    torch.testing.assert_close(means, expected)


def test_perfect_networks_have_no_loss_but_the_kl_divergence() -> None:
    levels = drift_levels()
    losses = measure(make_transparent(Drift()), levels, make_noise())
    assert losses.pop("kld") == pytest.approx(0.5 * (levels / 255).square().sum(2).mean().item())
    assert losses == pytest.approx({"self_recon": 0, "predict.image": 0, "predict.z": 0}, abs=1e-25)


def test_a_decoder_that_is_off_by_a_tenth_costs_a_hundredth_in_both_image_losses() -> None:
    losses = measure(make_transparent(Drift(), smudge=0.1), drift_levels(), make_noise())
    assert losses["self_recon"] == pytest.approx(0.01)
    assert losses["predict.image"] == pytest.approx(0.01)
    assert losses["predict.z"] == pytest.approx(0, abs=1e-25)


def test_a_prediction_of_no_change_costs_the_mean_squared_change() -> None:
    levels = draw_levels()
    losses = measure(make_transparent(Persistence()), levels, make_noise())
    changes = (levels[:, MIN_CONTEXT:] - levels[:, MIN_CONTEXT - 1 : -1]) / 255
    assert losses["self_recon"] == pytest.approx(0, abs=1e-25)
    assert losses["predict.image"] == pytest.approx(changes.square().mean().item())
    assert losses["predict.z"] == pytest.approx(changes.square().mean().item())


def test_latents_are_sampled_with_the_posterior_s_standard_deviation() -> None:
    objective = make_transparent(Persistence(), log_variance=math.log(4.0))
    noise = make_noise() | {"posterior": torch.full((B, T, Z), 0.25, dtype=torch.float64)}
    losses = measure(objective, draw_levels(), noise)
    assert losses["self_recon"] == pytest.approx((2 * 0.25) ** 2)


def test_the_means_that_are_returned_are_those_of_the_posterior_not_samples() -> None:
    noise = make_noise() | {"posterior": torch.ones(B, T, Z, dtype=torch.float64)}
    levels = draw_levels()
    objective = make_transparent(Persistence())
    _, means = objective.measure(paint(levels), noise, make_values(), symmetry=objective.symmetry)
    torch.testing.assert_close(means, levels.double() / 255)


# The symmetry


def test_the_rnn_reads_transformed_latents() -> None:
    dynamics, noise, levels = Persistence(), make_noise(ALWAYS_MOVES), draw_levels()
    measure(make_transparent(dynamics), levels, noise)
    expected = apply_map(
        levels.double() / 255, noise["symmetry.matrix"][0], noise["symmetry.offset"][0]
    )
    torch.testing.assert_close(dynamics.seen, expected)
    assert not torch.allclose(expected, levels.double() / 255)


@pytest.mark.parametrize("dynamics", [Persistence(), Drift()])
@pytest.mark.parametrize("seed", range(6))
def test_an_equivariant_rnn_predicts_the_same_under_every_transform(
    dynamics: nn.Module, seed: int
) -> None:
    objective, levels = make_transparent(dynamics), draw_levels()
    plain = measure(objective, levels, make_noise())
    moved = measure(objective, levels, make_noise(ALWAYS_MOVES, seed=seed))
    assert moved == pytest.approx(plain, rel=1e-10)


@pytest.mark.parametrize("seed", range(6))
def test_a_tanh_rnn_predicts_otherwise_under_a_transform_and_reconstructs_alike(seed: int) -> None:
    objective, levels = make_transparent(), draw_levels()
    plain = measure(objective, levels, make_noise())
    moved = measure(objective, levels, make_noise(ALWAYS_MOVES, seed=seed))
    assert moved["predict.z"] != pytest.approx(plain["predict.z"], rel=1e-4)
    assert moved["predict.image"] != pytest.approx(plain["predict.image"], rel=1e-4)
    assert moved["self_recon"] == plain["self_recon"]
    assert moved["kld"] == plain["kld"]


def test_a_translation_adds_a_known_error_to_an_rnn_that_ignores_it() -> None:
    """A prediction of zero in the moved frame is -b in the latents' own."""

    class Nothing(Persistence):
        def predict(self, z_BTZ: Tensor) -> Tensor:
            return torch.zeros_like(z_BTZ[:, self.min_context :])

    offset = torch.tensor([3.0, -4.0, 0.0], dtype=torch.float64)
    losses = measure(
        make_transparent(Nothing()),
        torch.zeros(B, T, Z),
        make_noise() | {"symmetry.offset": offset[None]},
    )
    assert losses["predict.z"] == pytest.approx((9 + 16) / 3)


# Teacher forcing


@pytest.mark.parametrize(
    ("probability", "expected"),
    [(0.0, [0] * 7), (0.3, [1, 1, 0, 0, 0, 0, 1]), (1.0, [1] * 7)],
)
def test_a_time_is_forced_where_its_number_is_below_the_probability(
    probability: float, expected: list[int]
) -> None:
    numbers = torch.tensor([0.0, 0.1, 0.3, 0.5, 0.9, 1 - 2**-24, 0.2], dtype=torch.float64)
    dynamics, noise = Persistence(), make_noise() | {"teacher_forcing": numbers}
    measure(make_transparent(dynamics), draw_levels(), noise, teacher_forcing=probability)
    assert dynamics.is_forced_T.tolist() == expected


def test_one_coin_a_time_step_decides_for_the_whole_batch() -> None:
    """Sequences that are equal stay equal, whichever times are forced."""
    objective, levels = make_objective(), draw_levels()[:1].expand(B, T, Z)
    predictions: list[Tensor] = []
    objective.dynamics.register_forward_hook(lambda _m, _i, out: predictions.append(out.z[0]))
    noise = make_noise() | {"teacher_forcing": torch.rand(T, dtype=torch.float64)}
    measure(objective, levels, noise, teacher_forcing=0.5)
    torch.testing.assert_close(predictions[0][0], predictions[0][1], rtol=0, atol=1e-14)


def test_without_forcing_what_comes_after_the_context_changes_no_prediction() -> None:
    objective = make_transparent()
    predictions: list[Tensor] = []
    objective.dynamics.register_forward_hook(lambda _m, _i, out: predictions.append(out.z[0]))
    levels = draw_levels()
    other = levels.clone()
    other[:, MIN_CONTEXT:] = draw_levels()[:, MIN_CONTEXT:]
    for forced in (0.0, 1.0):
        for frames in (levels, other):
            measure(objective, frames, make_noise(), teacher_forcing=forced)
    assert torch.equal(predictions[0], predictions[1])
    assert not torch.allclose(predictions[2], predictions[3])


# The real networks together


def count_hidden_units(objective: Objective) -> int:
    return objective.get_parameter("dynamics.members.0.cells.0.recur.weight").shape[0]


def test_the_networks_are_wired_as_the_config_says() -> None:
    objective = make_objective(latent_dim=4, rnn_width=9, rnn_min_context=2)
    assert isinstance(objective.dynamics, Dynamics)
    assert objective.dynamics.min_context == 2
    assert count_hidden_units(objective) == 9
    mean, log_variance = objective.encode(torch.rand(B, T, 3, SIDE, SIDE, dtype=torch.float64))
    assert log_variance is not None
    assert mean.shape == log_variance.shape == (B, T, 4)
    assert objective.decode(mean).shape == (B, T, 3, SIDE, SIDE)


def test_encoding_and_decoding_keep_sequences_and_times_in_their_places() -> None:
    objective = make_objective()
    images = torch.rand(B, T, 3, SIDE, SIDE, dtype=torch.float64)
    means, _ = objective.encode(images)
    decoded = objective.decode(means)
    for b, t in ((0, 0), (0, T - 1), (1, 2)):
        one, _ = objective.encoder(images[b, t][None])
        torch.testing.assert_close(means[b, t], one[0])
        torch.testing.assert_close(decoded[b, t], objective.decoder(one)[0])


def make_real_inputs() -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]:
    noise = make_noise(ALWAYS_MOVES) | {
        "posterior": torch.randn(B, T, Z, dtype=torch.float64),
        "teacher_forcing": torch.rand(T, dtype=torch.float64),
    }
    images = torch.randint(0, 256, (B, T, 3, SIDE, SIDE), dtype=torch.uint8)
    return {"images": images}, noise, make_values(0.5)


@pytest.mark.parametrize("term", range(len(LOSS_NAMES)), ids=LOSS_NAMES)
def test_the_gradient_of_each_term_is_its_slope(term: int) -> None:
    """In float64, along a random direction of all parameters, by central differences."""
    objective, inputs = make_objective(), make_real_inputs()
    start = dict(objective.named_parameters())
    direction = {k: torch.randn_like(p) for k, p in start.items()}

    def loss_at(distance: float) -> Tensor:
        moved = {k: (p + distance * direction[k]).detach() for k, p in start.items()}
        losses: Tensor = functional_call(objective, moved, inputs)
        return losses[term]

    gradients = torch.autograd.grad(
        objective(*inputs)[term], list(start.values()), allow_unused=True
    )
    slope = sum(
        float((g * d).sum())
        for g, d in zip(gradients, direction.values(), strict=True)
        if g is not None
    )
    step = 1e-6
    expected = float(loss_at(step) - loss_at(-step)) / (2 * step)
    assert slope == pytest.approx(expected, rel=1e-5)
    assert abs(slope) > 1e-6


TRAINS = {
    "self_recon": {"encoder", "decoder"},
    "predict.image": {"encoder", "decoder", "dynamics"},
    "predict.z": {"encoder", "dynamics"},
    "kld": {"encoder"},
}


@pytest.mark.parametrize("name", LOSS_NAMES)
def test_each_term_trains_the_networks_that_it_is_made_of(name: str) -> None:
    objective, inputs = make_objective(), make_real_inputs()
    parameters = dict(objective.named_parameters())
    loss = objective(*inputs)[LOSS_NAMES.index(name)]
    gradients = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
    trained = {
        parameter.split(".")[0]
        for parameter, gradient in zip(parameters, gradients, strict=True)
        if gradient is not None and (gradient != 0).any()
    }
    assert trained == TRAINS[name]
