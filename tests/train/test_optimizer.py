from __future__ import annotations

import math

import pytest
import torch

from hpcexp.train.optimizer import UPDATE_RULES, clip_by_global_norm, init_state

PEERS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}


def make_parameters() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "weight": torch.randn(5, 3, generator=generator, dtype=torch.float64),
        "bias": torch.randn(5, generator=generator, dtype=torch.float64),
    }


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("name", sorted(UPDATE_RULES))
def test_updates_are_those_of_torch_optim(name: str, weight_decay: float) -> None:
    ours = make_parameters()
    theirs = {k: v.clone().requires_grad_() for k, v in ours.items()}
    peer = PEERS[name](theirs.values(), lr=0.03, weight_decay=weight_decay)
    values = {
        "lr": torch.tensor(0.03, dtype=torch.float64),
        "weight_decay": torch.tensor(weight_decay, dtype=torch.float64),
    }
    state = init_state(name, ours)
    generator = torch.Generator().manual_seed(1)
    for step in range(20):
        gradients = {
            k: torch.randn(v.shape, generator=generator, dtype=torch.float64)
            for k, v in ours.items()
        }
        ours, state = UPDATE_RULES[name](ours, gradients, state, torch.tensor(step), values)
        for key, parameter in theirs.items():
            parameter.grad = gradients[key]
        peer.step()
    for key, parameter in theirs.items():
        torch.testing.assert_close(ours[key], parameter.detach(), rtol=1e-12, atol=1e-12)


def test_clipping_scales_to_the_bound_and_reports_the_norm_before() -> None:
    gradients = {"a": torch.tensor([3.0, 0.0]), "b": torch.tensor([[4.0]])}
    clipped, norm = clip_by_global_norm(gradients, torch.tensor(0.5))
    assert norm.item() == pytest.approx(5.0)
    assert clipped["a"][0].item() == pytest.approx(0.3, rel=1e-5)
    assert clipped["b"].item() == pytest.approx(0.4, rel=1e-5)


@pytest.mark.parametrize("bound", [10.0, math.inf])
def test_gradients_within_the_bound_keep_every_bit(bound: float) -> None:
    gradients = {"a": torch.rand(7)}
    clipped, _ = clip_by_global_norm(gradients, torch.tensor(bound))
    assert torch.equal(clipped["a"], gradients["a"])
