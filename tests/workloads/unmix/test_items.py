"""Which images are mixed, and how much of each."""

from __future__ import annotations

import pytest
import torch
from torch.utils.data import default_collate

from hpcexp.train.seeding import RandomStreams
from hpcexp.workloads.unmix.items import Items, draw_batches, draw_beta, draw_items, make_item, mix
from tests.workloads.unmix.conftest import MakeConfig

STREAMS = RandomStreams(0, 0)


def draw(
    make_config: MakeConfig, *, epoch: int = 0, rand_init: int = 0, **changes: object
) -> Items:
    config = make_config(**changes)
    return draw_items(config, RandomStreams(0, rand_init), num_images=30, epoch=epoch)


def is_equal(a: Items, b: Items) -> bool:
    return torch.equal(a.rows_IN, b.rows_IN) and torch.equal(a.weights_IN, b.weights_IN)


@pytest.mark.parametrize("n", [2, 3, 4])
def test_there_is_an_item_for_each_window_and_the_last_has_n_sources(
    make_config: MakeConfig, n: int
) -> None:
    items = draw(make_config, num_sources=n)
    assert items.rows_IN.shape == items.weights_IN.shape == (30 - n + 1, n)
    assert set(items.rows_IN.flatten().tolist()) == set(range(30))
    assert all(len(set(row)) == n for row in items.rows_IN.tolist())


def test_two_of_n_weights_are_shares_and_the_others_nothing(make_config: MakeConfig) -> None:
    weights = draw(make_config, num_sources=5).weights_IN
    assert ((weights > 0).sum(dim=1) == 2).all()
    torch.testing.assert_close(weights.sum(dim=1), torch.ones(len(weights)))
    assert len({tuple(row) for row in (weights > 0).tolist()}) > 5


def test_items_are_a_function_of_seed_epoch_and_index(make_config: MakeConfig) -> None:
    first = draw(make_config, epoch=3)
    assert is_equal(first, draw(make_config, epoch=3))
    assert is_equal(first, draw(make_config, epoch=3, decoder="dot", lr=0.1))
    assert not is_equal(first, draw(make_config, epoch=4))
    assert not is_equal(first, draw(make_config, epoch=3, rand_init=1))


def test_frozen_items_are_those_of_the_first_epoch(make_config: MakeConfig) -> None:
    assert is_equal(draw(make_config, epoch=7, frozen=True), draw(make_config, epoch=0))


def test_the_companions_of_an_image_change_from_epoch_to_epoch(make_config: MakeConfig) -> None:
    triples = [
        {frozenset(row) for row in draw(make_config, epoch=e).rows_IN.tolist()} for e in (0, 1)
    ]
    assert len(triples[0] & triples[1]) <= 1


def test_shares_are_from_a_beta_distribution() -> None:
    shares = draw_beta(20_000, generator=torch.Generator().manual_seed(0)).double()
    # Beta(5, 8): mean 5 / 13, variance 40 / (169 * 14).
    assert shares.mean().item() == pytest.approx(5 / 13, abs=0.004)
    assert shares.var().item() == pytest.approx(40 / (169 * 14), rel=0.05)
    assert 0 < shares.min() < shares.max() < 1


def test_what_a_constant_reaches_is_what_was_measured_of_the_original(
    make_config: MakeConfig,
) -> None:
    items = draw_items(make_config(), STREAMS, num_images=20_000, epoch=0)
    target = items.weights_IN.double()
    assert target.mean().item() == pytest.approx(1 / 3)
    assert (target - 1 / 3).square().mean().item() == pytest.approx(0.0757, abs=0.001)
    assert (target - 1).square().mean().item() == pytest.approx(0.520, abs=0.002)
    constant = torch.full_like(target, 1 / 3)
    cross_entropy = torch.nn.functional.binary_cross_entropy(constant, target)
    assert cross_entropy.item() == pytest.approx(0.6365, abs=1e-4)


def test_a_mixture_is_the_weighted_sum_of_its_sources() -> None:
    images = torch.rand(2, 3, 3, 4, 4)
    weights = torch.tensor([[0.25, 0.0, 0.75], [0.0, 1.0, 0.0]])
    mixed, sources = mix(images, weights, kind="mixture")
    assert torch.equal(sources, images)
    torch.testing.assert_close(mixed[0], 0.25 * images[0, 0] + 0.75 * images[0, 2])
    assert torch.equal(mixed[1], images[1, 1])
    pixels = torch.linalg.lstsq(sources[0].flatten(1).T, mixed[0].flatten()).solution
    torch.testing.assert_close(pixels, weights[0], atol=1e-5, rtol=0)


def test_of_scale_an_image_stands_beside_itself_at_n_brightnesses(make_config: MakeConfig) -> None:
    items = draw(make_config, items="scale")
    assert (items.rows_IN == items.rows_IN[:, :1]).all()
    assert items.rows_IN[:, 0].sort().values.tolist() == list(range(30))
    images = torch.rand(1, 1, 3, 4, 4).expand(1, 3, 3, 4, 4)
    weights = torch.tensor([[0.5, 0.0, 0.2]])
    mixed, sources = mix(images, weights, kind="scale")
    assert torch.equal(mixed, images[:, 0])
    torch.testing.assert_close(sources[0, 2], 0.2 * images[0, 2])
    image = mixed.flatten()
    projected = sources[0].flatten(1) @ image / (image @ image)
    torch.testing.assert_close(projected, weights[0])


def test_of_copy_one_source_is_the_image(make_config: MakeConfig) -> None:
    weights = draw(make_config, items="copy").weights_IN
    assert weights.sort(dim=1).values.tolist() == [[0.0, 0.0, 1.0]] * len(weights)


def test_an_item_is_flat_so_that_default_collation_batches_it(make_config: MakeConfig) -> None:
    images = torch.randint(0, 255, (30, 3, 8, 8), dtype=torch.uint8)
    config = make_config(num_sources=4)
    items = [make_item(config, STREAMS, images, epoch=0, index=i) for i in (0, 26)]
    mixed, *sources, weights = default_collate(items)
    assert [tuple(part.shape) for part in (mixed, *sources)] == [(2, 3, 8, 8)] * 5
    assert weights.shape == (2, 4)
    again = sum(w[:, None, None] * x for w, x in zip(weights.T[:, :, None], sources, strict=True))
    torch.testing.assert_close(mixed, again)


def test_steps_see_the_items_of_their_epochs_whatever_range_they_are_asked_for(
    make_config: MakeConfig,
) -> None:
    config = make_config()  # 4 steps an epoch, of 28 items
    whole = draw_batches(config, STREAMS, range(10))
    parts = [
        draw_batches(config, STREAMS, steps) for steps in (range(3), range(3, 9), range(9, 10))
    ]
    assert torch.equal(whole.rows_IN, torch.cat([part.rows_IN for part in parts]))
    assert torch.equal(whole.weights_IN, torch.cat([part.weights_IN for part in parts]))
    assert whole.rows_IN.shape == (10, 6, 3)


def test_an_epoch_shows_every_item_at_most_once_and_drops_less_than_a_batch(
    make_config: MakeConfig,
) -> None:
    config = make_config()
    items = {tuple(row) for row in draw(make_config, epoch=1).rows_IN.tolist()}
    seen = draw_batches(config, STREAMS, range(4, 8)).rows_IN.flatten(0, 1).tolist()
    assert {tuple(row) for row in seen} <= items
    assert len({tuple(row) for row in seen}) == len(seen) == 24 > len(items) - 6
