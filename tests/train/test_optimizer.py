from __future__ import annotations

import math

import pytest
import torch

from hpcexp.train.optimizer import UPDATE_RULES, clip_by_norm, init_state

PEERS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("name", sorted(UPDATE_RULES))
def test_updates_are_those_of_torch_optim(name: str, weight_decay: float) -> None:
    generator = torch.Generator().manual_seed(0)
    ours = torch.randn(20, generator=generator, dtype=torch.float64)
    theirs = ours.clone().requires_grad_()
    peer = PEERS[name]([theirs], lr=0.03, weight_decay=weight_decay)
    values = {
        "lr": torch.tensor(0.03, dtype=torch.float64),
        "weight_decay": torch.tensor(weight_decay, dtype=torch.float64),
    }
    state = init_state(name, ours)
    for step in range(20):
        gradient = torch.randn(20, generator=generator, dtype=torch.float64)
        ours, state = UPDATE_RULES[name](ours, gradient, state, torch.tensor(step), values)
        theirs.grad = gradient
        peer.step()
    torch.testing.assert_close(ours, theirs.detach(), rtol=1e-12, atol=1e-12)


def test_clipping_scales_to_the_bound_and_reports_the_norm_before() -> None:
    clipped, norm = clip_by_norm(torch.tensor([3.0, 0.0, 4.0]), torch.tensor(0.5))
    assert norm.item() == pytest.approx(5.0)
    assert clipped.tolist() == pytest.approx([0.3, 0.0, 0.4], rel=1e-5)


@pytest.mark.parametrize("bound", [10.0, math.inf])
def test_a_gradient_within_the_bound_keeps_every_bit(bound: float) -> None:
    gradient = torch.rand(7)
    clipped, _ = clip_by_norm(gradient, torch.tensor(bound))
    assert torch.equal(clipped, gradient)
