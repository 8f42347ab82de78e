"""From features to scores."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hpcexp.workloads.unmix.decoders import DECODERS

each_decoder = pytest.mark.parametrize("name", DECODERS)
MIXTURE, SOURCES = torch.randn(5, 7), torch.randn(5, 4, 7)


def build(name: str) -> nn.Module:
    return DECODERS[name](7, 16)


@each_decoder
def test_there_is_a_score_for_each_source_also_of_a_batch_of_one(name: str) -> None:
    decoder = build(name)
    assert decoder(MIXTURE, SOURCES).shape == (5, 4)
    alone = decoder(MIXTURE[:1], SOURCES[:1])
    assert alone.shape == (1, 4)
    torch.testing.assert_close(alone, decoder(MIXTURE, SOURCES)[:1])


@each_decoder
def test_sources_in_another_order_have_their_scores_in_that_order(name: str) -> None:
    decoder, order = build(name), torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(
        decoder(MIXTURE, SOURCES[:, order]), decoder(MIXTURE, SOURCES)[:, order]
    )


@each_decoder
def test_an_example_does_not_depend_on_the_others(name: str) -> None:
    decoder, changed = build(name), SOURCES.clone()
    changed[1:] = 9
    torch.testing.assert_close(decoder(MIXTURE, changed)[0], decoder(MIXTURE, SOURCES)[0])


def test_a_dot_product_grows_with_the_features_and_a_cosine_does_not() -> None:
    for name, factor in (("dot", 9.0), ("cosine", 1.0)):
        decoder = build(name)
        torch.testing.assert_close(
            decoder(3 * MIXTURE, 3 * SOURCES), factor * decoder(MIXTURE, SOURCES)
        )


def test_least_squares_finds_the_weights_of_a_mixture_of_features() -> None:
    sources = torch.randn(3, 4, 50, dtype=torch.float64)
    weights = torch.rand(3, 4, dtype=torch.float64)
    found = build("least_squares")((weights[..., None] * sources).sum(dim=1), sources)
    torch.testing.assert_close(found, weights, atol=1e-3, rtol=0)


def test_least_squares_of_equal_sources_is_finite() -> None:
    sources = torch.ones(1, 3, 7)
    assert torch.isfinite(build("least_squares")(torch.ones(1, 7), sources)).all()
