from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from hpcexp.workloads.sps.model import Decoder, Dynamics, Encoder, TanhCell

CHANNELS, RESOLUTION, LATENT_DIM = (64, 128, 256), 32, 3  # as in the notebook
T, MIN_CONTEXT = 9, 4


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def make_encoder(*, batch_norm: bool = False) -> Encoder:
    return Encoder(
        channels=CHANNELS, resolution=RESOLUTION, latent_dim=LATENT_DIM, batch_norm=batch_norm
    )


def make_decoder() -> Decoder:
    return Decoder(channels=CHANNELS, resolution=RESOLUTION, latent_dim=LATENT_DIM)


def make_dynamics(*, latent_dim: int = 3, min_context: int = MIN_CONTEXT) -> Dynamics:
    return Dynamics(latent_dim=latent_dim, width=8, min_context=min_context).double()


def count_parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def follow(layers: nn.Module, x: Tensor, kind: type[nn.Module]) -> list[tuple[int, ...]]:
    """Shapes of one sample after every layer of a kind."""
    shapes = []
    for layer in layers.children():
        x = layer(x)
        if isinstance(layer, kind):
            shapes.append(tuple(x.shape[1:]))
    return shapes


# Encoder


def test_each_convolution_of_the_encoder_halves_the_image() -> None:
    images = torch.rand(2, 3, 32, 32)
    shapes = follow(make_encoder().convolutions, images, nn.Conv2d)
    assert shapes == [(64, 16, 16), (128, 8, 8), (256, 4, 4)]


def test_the_encoder_gives_a_mean_and_a_log_variance_of_each_image() -> None:
    encoder = make_encoder()
    with torch.no_grad():
        encoder.to_posterior.weight.zero_()
        encoder.to_posterior.bias.copy_(torch.arange(6.0))
    mean, log_variance = encoder(torch.rand(2, 3, 32, 32))
    assert torch.equal(mean, torch.tensor([[0.0, 1.0, 2.0]] * 2))
    assert torch.equal(log_variance, torch.tensor([[3.0, 4.0, 5.0]] * 2))


def test_the_encoder_has_the_parameters_of_the_notebook() -> None:
    convolutions = (3 * 64 * 16 + 64) + (64 * 128 * 16 + 128) + (128 * 256 * 16 + 256)
    assert count_parameters(make_encoder()) == convolutions + (4096 * 6 + 6) == 683_462


def test_no_convolution_before_a_batch_norm_has_a_bias() -> None:
    layers = list(make_encoder(batch_norm=True).convolutions)
    before = [a for a, b in pairwise(layers) if isinstance(b, nn.BatchNorm2d)]
    assert len(before) == len(CHANNELS)
    assert all(isinstance(layer, nn.Conv2d) and layer.bias is None for layer in before)


def test_without_batch_norm_every_convolution_has_a_bias() -> None:
    layers = list(make_encoder().convolutions)
    convolutions = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
    assert all(layer.bias is not None for layer in convolutions)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in layers)


# Decoder


def test_the_decoder_spreads_a_latent_over_16_32_64_units_and_a_last_linear_layer() -> None:
    spread = make_decoder().spread
    assert follow(spread, torch.randn(2, 3), nn.Linear) == [(16,), (32,), (64,), (4096,)]
    assert not isinstance(list(spread)[-1], nn.ReLU)


def test_each_convolution_of_the_decoder_doubles_the_image() -> None:
    features = torch.randn(2, 256, 4, 4)
    shapes = follow(make_decoder().convolutions, features, nn.ConvTranspose2d)
    assert shapes == [(128, 8, 8), (64, 16, 16), (3, 32, 32)]


def test_the_decoder_has_the_parameters_of_the_notebook() -> None:
    spread = (3 * 16 + 16) + (16 * 32 + 32) + (32 * 64 + 64) + (64 * 4096 + 4096)
    convolutions = (256 * 128 * 16 + 128) + (128 * 64 * 16 + 64) + (64 * 3 * 16 + 3)
    assert count_parameters(make_decoder()) == spread + convolutions == 927_587


def test_decoded_images_lie_between_0_and_1_whatever_the_latent() -> None:
    decoder = make_decoder()
    decoded = decoder(1e4 * torch.randn(20, 3))
    assert decoded.shape == (20, 3, 32, 32)
    assert 0 <= decoded.min() < 0.01
    assert 0.99 < decoded.max() <= 1


def test_a_decoder_whose_last_layer_is_zero_paints_one_half() -> None:
    decoder = make_decoder()
    last = list(decoder.convolutions)[-2]
    nn.init.zeros_(last.weight)  # type: ignore[arg-type]
    nn.init.zeros_(last.bias)  # type: ignore[arg-type]
    assert (decoder(torch.randn(2, 3)) == 0.5).all()


@pytest.mark.parametrize(("channels", "resolution"), [((4, 8), 8), ((5,), 10), ((2, 3, 4), 8)])
def test_encoder_and_decoder_fit_any_image_that_halves_evenly(
    channels: tuple[int, ...], resolution: int
) -> None:
    encoder = Encoder(channels=channels, resolution=resolution, latent_dim=4, batch_norm=True)
    decoder = Decoder(channels=channels, resolution=resolution, latent_dim=4)
    mean, log_variance = encoder(torch.rand(2, 3, resolution, resolution))
    assert mean.shape == log_variance.shape == (2, 4)
    assert decoder(mean).shape == (2, 3, resolution, resolution)


# The cell


def test_a_tanh_cell_is_torch_s_rnn_cell_at_the_same_weights() -> None:
    ours, theirs = TanhCell(3, 8).double(), nn.RNNCell(3, 8).double()
    with torch.no_grad():
        theirs.weight_ih.copy_(ours.read.weight)
        theirs.weight_hh.copy_(ours.recur.weight)
        theirs.bias_ih.copy_(ours.read.bias)
        theirs.bias_hh.zero_()
    hidden = expected = torch.zeros(5, 8, dtype=torch.float64)
    for _ in range(4):
        x = torch.randn(5, 3, dtype=torch.float64)
        hidden, expected = ours(x, hidden), theirs(x, expected)
        torch.testing.assert_close(hidden, expected, rtol=0, atol=1e-14)


def test_a_tanh_cell_starts_uniform_within_the_inverse_root_of_its_width() -> None:
    bound = 64**-0.5
    for parameter in TanhCell(64, 64).parameters():
        assert 0.9 * bound < parameter.abs().max() <= bound
        assert parameter.std().item() == pytest.approx(bound / 3**0.5, rel=0.2)


def test_the_dynamics_have_the_parameters_of_one_biased_cell_and_a_read_out() -> None:
    dynamics = Dynamics(latent_dim=3, width=32, min_context=5)
    assert count_parameters(dynamics) == (3 * 32 + 32) + 32 * 32 + (32 * 3 + 3) == 1_251


# Dynamics: who reads what


def list_influences(dynamics: Dynamics, is_forced_T: Tensor) -> list[set[int]]:
    """For each prediction, the times of the given latents that change it."""
    z = torch.randn(2, T, 3, dtype=torch.float64)
    reference = dynamics(z, is_forced_T)
    influences: list[set[int]] = [set() for _ in range(reference.shape[1])]
    for t in range(T):
        nudged = z.clone()
        nudged[:, t] += 1.0
        changed = (dynamics(nudged, is_forced_T) != reference).any(dim=2).any(dim=0)
        for index in changed.nonzero().flatten().tolist():
            influences[index].add(t)
    return influences


def test_predictions_are_of_the_frames_from_min_context_to_the_last() -> None:
    predictions = make_dynamics()(torch.randn(2, T, 3, dtype=torch.float64), torch.zeros(T))
    assert predictions.shape == (2, T - MIN_CONTEXT, 3)


@pytest.mark.parametrize("min_context", [1, T - 1])
def test_any_context_that_leaves_a_frame_will_do(min_context: int) -> None:
    dynamics = make_dynamics(min_context=min_context)
    predictions = dynamics(torch.randn(2, T, 3, dtype=torch.float64), torch.zeros(T))
    assert predictions.shape == (2, T - min_context, 3)


def test_with_all_forced_a_prediction_reads_every_latent_before_it_and_none_after() -> None:
    influences = list_influences(make_dynamics(), torch.ones(T))
    assert influences == [set(range(t)) for t in range(MIN_CONTEXT, T)]


def test_with_none_forced_only_the_context_is_read() -> None:
    influences = list_influences(make_dynamics(), torch.zeros(T))
    assert influences == [set(range(MIN_CONTEXT))] * (T - MIN_CONTEXT)


def test_a_single_forced_time_is_read_by_what_comes_after_it() -> None:
    is_forced_T = torch.zeros(T)
    is_forced_T[6] = 1
    influences = list_influences(make_dynamics(), is_forced_T)
    context = set(range(MIN_CONTEXT))
    # Predictions of frames 4, 5 and 6 come before frame 6 is read; 7 and 8 after.
    assert influences == [context] * 3 + [context | {6}] * 2


def test_forcing_within_the_context_changes_nothing() -> None:
    dynamics, z = make_dynamics(), torch.randn(2, T, 3, dtype=torch.float64)
    within = (torch.arange(T) < MIN_CONTEXT).double()
    assert torch.equal(dynamics(z, within), dynamics(z, torch.zeros(T)))


class ReadOnly(nn.Module):
    """A cell without memory: the next hidden state is the input."""

    width = 1

    def forward(self, input_BI: Tensor, hidden_BD: Tensor) -> Tensor:
        return input_BI


def make_counter() -> Dynamics:
    """Dynamics that predict what they read plus one."""
    dynamics = make_dynamics(latent_dim=1, min_context=2)
    dynamics.cell = ReadOnly()  # type: ignore[assignment]
    dynamics.to_latent = nn.Linear(1, 1).double()
    nn.init.ones_(dynamics.to_latent.weight)
    nn.init.ones_(dynamics.to_latent.bias)
    return dynamics


@pytest.mark.parametrize(
    ("forced", "expected"),
    [
        # Free running counts on from the context's last latent, 20.
        ([0, 0, 0, 0, 0], [21, 22, 23]),
        ([1, 1, 1, 1, 1], [21, 31, 41]),
        ([0, 0, 0, 1, 0], [21, 22, 41]),
        ([0, 0, 1, 0, 0], [21, 31, 32]),
    ],
)
def test_the_input_is_the_given_latent_where_forced_and_the_own_prediction_elsewhere(
    forced: list[int], expected: list[int]
) -> None:
    z = torch.tensor([10.0, 20.0, 30.0, 40.0, 50.0], dtype=torch.float64).reshape(1, 5, 1)
    predictions = make_counter()(z, torch.tensor(forced).double())
    assert predictions.flatten().tolist() == expected
