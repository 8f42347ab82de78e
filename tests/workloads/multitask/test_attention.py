from __future__ import annotations

import pytest
import torch
from torch.func import vmap

from hpcexp.workloads.multitask.attention import (
    AdditivePooling,
    CrossAttention,
    drop,
    softmax_masked,
)


def test_a_masked_softmax_is_that_of_what_remains() -> None:
    logits, mask = torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[True, False, True]])
    found = softmax_masked(logits, mask)
    assert found[0, 1] == 0
    torch.testing.assert_close(found[0, [0, 2]], torch.tensor([1.0, 3.0]).softmax(0))


def test_where_everything_is_masked_there_are_zeros_and_finite_gradients() -> None:
    logits = torch.randn(2, 3, requires_grad=True)
    found = softmax_masked(logits, torch.zeros(2, 3, dtype=torch.bool))
    (gradient,) = torch.autograd.grad(found.sum(), logits)
    assert (found == 0).all()
    assert torch.isfinite(gradient).all()


def test_logits_of_388_overflow_no_exponential() -> None:
    """exp of float32 overflows at 88.7, and a score of 768 units in (0, 1) reaches 388."""
    logits = torch.tensor([[388.0, 387.0, -388.0]])
    assert torch.isinf(logits.exp()).any()
    found = softmax_masked(logits, torch.ones(1, 3, dtype=torch.bool))
    torch.testing.assert_close(found.sum(), torch.ones(()))
    torch.testing.assert_close(found[0, 0] / found[0, 1], torch.tensor(1.0).exp())


def test_pooling_that_is_trained_hard_from_large_scores_stays_finite() -> None:
    """With an exponential that is not stabilised it is NaN after one such step."""
    torch.manual_seed(0)
    pool = AdditivePooling(768)
    torch.nn.init.uniform_(pool.score.weight)
    optimizer = torch.optim.Adam(pool.parameters(), lr=1e-3)
    x, mask = torch.randn(4, 6, 768), torch.ones(4, 6, dtype=torch.bool)
    for _ in range(20):
        optimizer.zero_grad()
        pool(x, mask).square().mean().backward()
        optimizer.step()
    assert torch.isfinite(pool(x, mask)).all()


def test_pooling_of_nothing_is_zero_and_of_one_step_is_that_step() -> None:
    pool, x = AdditivePooling(4), torch.randn(2, 3, 4)
    pooled = pool(x, torch.tensor([[False] * 3, [False, True, False]]))
    assert (pooled[0] == 0).all()
    torch.testing.assert_close(pooled[1], x[1, 1])


def test_cross_attention_is_that_of_torch() -> None:
    torch.manual_seed(1)
    ours, theirs = CrossAttention(8, 2), torch.nn.MultiheadAttention(8, 2, batch_first=True)
    with torch.no_grad():
        parts = (ours.query, ours.key, ours.value)
        theirs.in_proj_weight.copy_(torch.cat([p.weight for p in parts]))
        theirs.in_proj_bias.copy_(torch.cat([p.bias for p in parts]))
        theirs.out_proj.weight.copy_(ours.out.weight)
        theirs.out_proj.bias.copy_(ours.out.bias)
    query, other = torch.randn(3, 5, 8), torch.randn(3, 4, 8)
    mask = torch.arange(4) < torch.tensor([4, 2, 1])[:, None]
    expected, _ = theirs(query, other, other, key_padding_mask=~mask)
    torch.testing.assert_close(ours(query, other, mask), expected)


def test_attention_to_nothing_says_nothing() -> None:
    found = CrossAttention(8, 2)(
        torch.randn(1, 5, 8), torch.randn(1, 4, 8), torch.zeros(1, 4, dtype=torch.bool)
    )
    assert (found == 0).all()


# Dropout


def test_dropout_drops_its_part_and_keeps_the_mean() -> None:
    x = torch.ones(200, 500)
    dropped = drop(x, probability=0.3, seed=torch.tensor(7), place=3)
    assert (dropped == 0).double().mean().item() == pytest.approx(0.3, abs=0.01)
    assert dropped.mean().item() == pytest.approx(1, abs=0.01)
    rows = (dropped == 0).double().mean(dim=1)
    assert rows.std().item() == pytest.approx((0.21 / 500) ** 0.5, rel=0.2)


def test_dropout_is_a_function_of_seed_and_place() -> None:
    x, seed = torch.ones(1000), torch.tensor(2**31 - 2)
    first = drop(x, probability=0.5, seed=seed, place=0)
    assert torch.equal(first, drop(x, probability=0.5, seed=seed, place=0))
    for other in (
        drop(x, probability=0.5, seed=seed + 1, place=0),
        drop(x, probability=0.5, seed=seed, place=1),
    ):
        assert ((first > 0) == (other > 0)).double().mean().item() == pytest.approx(0.5, abs=0.06)


def test_dropout_of_lanes_is_that_of_each_alone() -> None:
    x, seeds = torch.randn(2, 50), torch.tensor([3, 4])
    lanes = vmap(lambda x, seed: drop(x, probability=0.2, seed=seed, place=1))(x, seeds)
    for lane in range(2):
        assert torch.equal(lanes[lane], drop(x[lane], probability=0.2, seed=seeds[lane], place=1))


def test_no_dropout_returns_the_very_tensor() -> None:
    x = torch.randn(3)
    assert drop(x, probability=0.0, seed=torch.tensor(0), place=0) is x
