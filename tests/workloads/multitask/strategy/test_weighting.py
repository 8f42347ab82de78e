"""Weightings against their closed forms, and against TorchJD where it has them."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torchjd.scalarization import DWA, FAMO, UW

from hpcexp.workloads.multitask.strategy.memory import Tensors
from hpcexp.workloads.multitask.strategy.weighting import Seen, Weighting, make_weighting
from tests.workloads.multitask.conftest import make_config

LOSSES = torch.tensor([0.04, 1.0, 100.0])
ONES = torch.ones(3)
NEVER, NOW = torch.tensor(False), torch.tensor(True)


def make(weighting: str, **changes: Any) -> Weighting:
    return make_weighting(make_config(weighting=weighting, **changes))


def run(
    weighting: Weighting,
    num_steps: int,
    *,
    losses: Tensor = LOSSES,
    active: Tensor = ONES,
    **seen: Any,
) -> Tensors:
    memory = weighting.start(ONES.to(losses.dtype))
    for _ in range(num_steps):
        memory = weighting.learn(memory, Seen(losses, active, ends_epoch=NEVER, **seen))
    return memory


def test_fixed_weights_are_one() -> None:
    assert make("fixed").weigh({}, LOSSES).tolist() == [1, 1, 1]


# Learned weights


def test_the_raw_form_is_ill_posed_and_falls_by_the_loss_at_every_step() -> None:
    raw = make("raw", learned={"lr": 0.1, "optimizer": "sgd"})
    weights = raw.weigh(run(raw, 100), LOSSES)
    assert weights.tolist() == pytest.approx([0.6, -9.0, -999.0], rel=1e-4)


def test_the_softmax_form_collapses_onto_the_smallest_loss_and_keeps_its_sum() -> None:
    softmax = make("softmax", learned={"lr": 0.1, "optimizer": "sgd"})
    weights = softmax.weigh(run(softmax, 100), LOSSES)
    assert weights.sum().item() == pytest.approx(3)
    assert (weights > 0).all()
    assert weights[0] > 2.5 > 0.5 > weights[1] > weights[2]


@pytest.mark.parametrize(
    ("name", "objective"),
    [
        ("softmax", lambda v, losses: (len(v) * v.softmax(0) * losses).sum()),
        ("raw", lambda w, losses: (w * losses).sum()),
        ("uncertainty", lambda s, losses: (0.5 * (torch.exp(-s) * losses + s)).sum()),
    ],
)
def test_the_gradient_of_learned_weights_is_that_of_their_objective(
    name: str, objective: Callable[[Tensor, Tensor], Tensor]
) -> None:
    weighting = make(name)
    point = torch.tensor([0.3, -0.2, 0.5], requires_grad=True)
    (expected,) = torch.autograd.grad(objective(point, LOSSES), point)
    memory = {**weighting.start(ONES), "point": point.detach()}
    seen = Seen(LOSSES, ONES, ends_epoch=NEVER)
    found = weighting.differentiate(memory, seen)  # type: ignore[attr-defined]
    torch.testing.assert_close(found, expected)


# Uncertainty


def test_log_variances_of_constant_losses_come_to_the_logarithms_of_the_losses() -> None:
    uncertainty = make("uncertainty", learned={"lr": 0.05})
    memory = run(uncertainty, 2000, losses=LOSSES.double())
    assert memory["point"].tolist() == pytest.approx([-3.2189, 0.0, 4.6052], abs=1e-4)
    weights = uncertainty.weigh(memory, LOSSES)
    assert weights.tolist() == pytest.approx([0.5 / v for v in LOSSES.tolist()], rel=1e-3)


def test_uncertainty_weights_are_those_of_torchjd() -> None:
    ours, theirs = make("uncertainty", learned={"lr": 0.025}), UW(3)
    optimizer = torch.optim.Adam(theirs.parameters(), lr=0.025)
    memory = ours.start(ONES)
    for step in range(20):
        losses = LOSSES * (1 + 0.1 * math.sin(step))
        optimizer.zero_grad()
        torch.autograd.backward(theirs(losses))
        optimizer.step()
        memory = ours.learn(memory, Seen(losses, ONES, ends_epoch=NEVER))
    torch.testing.assert_close(memory["point"], theirs.log_var.detach())


def test_log_variances_stay_within_bounds_so_that_weights_stay_finite() -> None:
    bounded = make("uncertainty", learned={"lr": 5.0, "max_log_variance": 3.0})
    memory = run(bounded, 20, losses=torch.tensor([1e-12, 1.0, 1e12]))
    assert memory["point"].tolist() == pytest.approx([-3, memory["point"][1].item(), 3])


# DWA


def test_dynamic_weight_averages_are_those_of_torchjd() -> None:
    ours, theirs = make("dwa"), DWA()
    memory = ours.start(ONES)
    generator = torch.Generator().manual_seed(0)
    for _epoch in range(4):
        for step in range(3):
            losses = torch.rand(3, generator=generator, requires_grad=True)
            (expected,) = torch.autograd.grad(theirs(losses), losses)
            torch.testing.assert_close(ours.weigh(memory, losses), expected)
            seen = Seen(losses.detach(), ONES, ends_epoch=NOW if step == 2 else NEVER)
            memory = ours.learn(memory, seen)
        theirs.step()


# FAMO


def test_famo_weighs_and_learns_as_torchjd_does() -> None:
    ours, theirs = make("famo"), FAMO(3)
    memory = ours.start(ONES)
    generator = torch.Generator().manual_seed(0)
    for _ in range(10):
        before = (LOSSES * torch.rand(3, generator=generator)).requires_grad_()
        after = LOSSES * torch.rand(3, generator=generator)
        (expected,) = torch.autograd.grad(theirs(before), before)
        theirs.update(after)
        torch.testing.assert_close(ours.weigh(memory, before.detach()), expected)
        again = partial(torch.clone, after)
        seen = Seen(before.detach(), ONES, ends_epoch=NEVER, measure_again=again)
        memory = ours.learn(memory, seen)
    torch.testing.assert_close(memory["point"], theirs._w.detach())


# GradNorm


def test_gradnorm_holds_its_target_constant_and_its_weights_sum_to_their_number() -> None:
    """The gradient is that of sum |w_i n_i - target_i| with the target detached."""
    gradnorm = make("gradnorm", gradnorm={"alpha": 1.5})
    norms, initial = torch.tensor([1.0, 3.0, 0.5]), torch.tensor([0.1, 1.0, 200.0])
    memory = {**gradnorm.start(ONES), "initial": initial}
    v = torch.zeros(3, requires_grad=True)
    weights = 3 * v.softmax(0)
    ratios = LOSSES / initial
    target = ((weights * norms).mean() * (ratios / ratios.mean()) ** 1.5).detach()
    (expected,) = torch.autograd.grad((weights * norms - target).abs().sum(), v)
    moved = gradnorm.learn(memory, Seen(LOSSES, ONES, ends_epoch=NEVER, norms_L=norms))
    torch.testing.assert_close(moved["exp_avg"], 0.1 * expected)  # Adam's first moment
    for _ in range(50):
        moved = gradnorm.learn(moved, Seen(LOSSES, ONES, ends_epoch=NEVER, norms_L=norms))
    assert gradnorm.weigh(moved, LOSSES).sum().item() == pytest.approx(3)


def test_gradnorm_takes_its_first_losses_or_ln_2_as_what_others_are_relative_to() -> None:
    first = make("gradnorm")
    memory = run(first, 2, norms_L=ONES)
    assert memory["initial"].tolist() == pytest.approx(LOSSES.tolist())
    logs = make("gradnorm", gradnorm={"initial_loss": "log_classes"})
    memory = run(logs, 1, norms_L=ONES)
    assert memory["initial"].tolist() == pytest.approx([math.log(2), math.log(2), 100.0])


@pytest.mark.parametrize("name", ["softmax", "uncertainty", "gradnorm", "famo"])
def test_a_task_that_rests_teaches_nothing(name: str) -> None:
    weighting, active = make(name), torch.tensor([1.0, 0.0, 1.0])
    seen: dict[str, Any] = {"norms_L": ONES, "measure_again": lambda: LOSSES / 2}
    memory = run(weighting, 3, active=active, **seen)
    other = run(weighting, 3, active=active, losses=torch.tensor([0.04, 7.0, 100.0]), **seen)
    if name in ("softmax", "uncertainty", "gradnorm"):
        torch.testing.assert_close(memory["point"], other["point"])
    assert memory["point"][1] == 0
