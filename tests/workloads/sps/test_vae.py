from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor, nn

from hpcexp.workloads.sps.config import Config
from hpcexp.workloads.sps.vae import Decoder, Encoder, sample_posterior

CHANNELS = (64, 128, 256)  # as in the notebook, at 32 x 32 pixels with 3 latent dimensions


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def make_config(**changes: Any) -> Config:
    return Config.model_validate(changes)


def make_encoder(**changes: Any) -> Encoder:
    return Encoder(make_config(**changes))


def make_decoder(**changes: Any) -> Decoder:
    return Decoder(make_config(**changes))


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
    layers = list(make_encoder(encoder_batch_norm=True).convolutions)
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


@pytest.mark.parametrize("deep_spread", [True, False])
def test_an_activation_stands_between_any_two_layers_of_the_decoder(deep_spread: bool) -> None:
    decoder = make_decoder(deep_spread=deep_spread)
    letters = {nn.Linear: "L", nn.ReLU: "r", nn.ConvTranspose2d: "C", nn.Sigmoid: "s"}
    layers = [letters[type(m)] for part in (decoder.spread, decoder.convolutions) for m in part]
    assert "".join(layers) == ("LrLrLrL" if deep_spread else "L") + "rCrCrCs"


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
    changes = {"vae_channels": channels, "dataset": {"resolution": resolution}, "latent_dim": 4}
    encoder = make_encoder(**changes, encoder_batch_norm=True)
    mean, log_variance = encoder(torch.rand(2, 3, resolution, resolution))
    assert log_variance is not None
    assert mean.shape == log_variance.shape == (2, 4)
    assert make_decoder(**changes)(mean).shape == (2, 3, resolution, resolution)


@settings(max_examples=40, deadline=None)
@given(
    resolution=st.integers(8, 33),
    layers=st.lists(
        st.tuples(st.integers(1, 6), st.integers(1, 3), st.integers(0, 3)).filter(
            lambda shape: shape[0] >= shape[1] and 2 * shape[2] <= shape[0]
        ),
        min_size=1,
        max_size=3,
    ),
)
def test_any_kernels_strides_and_paddings_give_images_of_the_size_that_went_in(
    resolution: int, layers: list[tuple[int, int, int]]
) -> None:
    kernels, strides, paddings = zip(*layers, strict=True)
    shapes = {"vae_kernel": kernels, "vae_stride": strides, "vae_padding": paddings}
    try:
        config = make_config(
            vae_channels=[2] * len(layers), dataset={"resolution": resolution}, **shapes
        )
    except ValidationError:
        assume(False)
    images = torch.rand(1, 3, resolution, resolution)
    assert Decoder(config)(Encoder(config)(images)[0]).shape == images.shape


def test_the_shapes_of_the_convolutions_are_those_of_the_config() -> None:
    changes = {"vae_kernel": [5, 3, 4], "vae_stride": [1, 2, 2], "vae_padding": [2, 1, 1]}
    layers = [m for m in make_encoder(**changes).convolutions if isinstance(m, nn.Conv2d)]
    assert [m.kernel_size for m in layers] == [(5, 5), (3, 3), (4, 4)]
    assert [m.stride for m in layers] == [(1, 1), (2, 2), (2, 2)]
    assert [m.padding for m in layers] == [(2, 2), (1, 1), (1, 1)]


# Variants


def test_a_plain_autoencoder_has_one_output_for_each_latent_and_no_variance() -> None:
    encoder = make_encoder(variational=False)
    mean, log_variance = encoder(torch.rand(2, 3, 32, 32))
    assert mean.shape == (2, 3)
    assert log_variance is None
    assert encoder.to_posterior.out_features == 3


def test_without_deep_spread_one_linear_layer_stands_before_the_convolutions() -> None:
    (layer,) = make_decoder(deep_spread=False).spread
    assert isinstance(layer, nn.Linear)
    assert (layer.in_features, layer.out_features) == (3, 256 * 4 * 4)


@pytest.mark.parametrize("make", [make_encoder, make_decoder])
def test_leaky_layers_let_a_hundredth_through(make: Callable[..., nn.Module]) -> None:
    leaky, plain = make(activation="leaky_relu"), make()
    slopes = [m.negative_slope for m in leaky.modules() if isinstance(m, nn.LeakyReLU)]
    assert len(slopes) == sum(isinstance(m, nn.ReLU) for m in plain.modules()) > 0
    assert set(slopes) == {0.01}
    assert not any(isinstance(m, nn.ReLU) for m in leaky.modules())


def test_with_a_tanh_at_the_end_a_decoder_reaches_from_minus_1_to_1() -> None:
    decoded = make_decoder(decoder_output="tanh")(1e4 * torch.randn(20, 3))
    assert -1 <= decoded.min() < -0.99
    assert 0.99 < decoded.max() <= 1


def test_a_sample_is_the_mean_plus_noise_times_the_standard_deviation() -> None:
    mean, log_variance = torch.tensor([1.0, 2.0]), torch.tensor([4.0, 0.25]).log()
    sample = sample_posterior(mean, log_variance, torch.tensor([1.0, -2.0]))
    torch.testing.assert_close(sample, torch.tensor([3.0, 1.0]))
    assert sample_posterior(mean, None, torch.ones(2)) is mean
    assert sample_posterior(mean, log_variance, None) is mean
