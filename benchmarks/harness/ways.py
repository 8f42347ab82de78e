"""Ways in which the training step could have been written, beside the one it is written in."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import grad_and_value

from benchmarks.harness.configurations import build_workload, make_inputs
from hpcexp.train.optimizer import UPDATE_RULES, clip_by_norm, init_state
from hpcexp.train.seeding import RandomStreams
from hpcexp.train.step import StepFunction

AROUND = "gradient around the lanes (ours)"
INSIDE = "gradient inside, torch.func.grad"
FLAT = "update of one flat vector (ours)"
EACH = "update of each tensor by itself"
FUSED = "torch.optim.Adam, fused"


def make_ways(name: str, device: torch.device) -> dict[str, Callable[[], object]]:
    """Whole steps, then updates alone, each as a function without arguments."""
    workload, streams = build_workload(name), RandomStreams(0, 0)
    with streams.initialising():
        model = workload.build_model().to(device)
    function = StepFunction(model, "adam")
    state, inputs = function.init_state(), make_inputs(workload, streams, device)

    def step_inside() -> None:
        def measure(parameters: dict[str, Tensor]) -> tuple[Tensor, object]:
            losses, buffers = function._loss(parameters, state.buffers, inputs)
            return losses[0], (losses, buffers)

        gradients, (_, (losses, buffers)) = grad_and_value(measure, has_aux=True)(state.parameters)
        with torch.no_grad():
            function._update(state, inputs, gradients, buffers, losses)

    flat = torch.cat([p.flatten() for p in state.parameters.values()])
    moments = init_state("adam", flat)

    def update_flat() -> None:
        gradient, _ = clip_by_norm(flat, inputs.values["grad_clip"])
        UPDATE_RULES["adam"](flat, gradient, moments, state.step, inputs.values)

    tensors = list(state.parameters.values())
    each = [init_state("adam", tensor) for tensor in tensors]

    def update_each() -> None:
        for tensor, moment in zip(tensors, each, strict=True):
            gradient, _ = clip_by_norm(tensor, inputs.values["grad_clip"])
            UPDATE_RULES["adam"](tensor, gradient, moment, state.step, inputs.values)

    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    fused = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
    return {
        AROUND: lambda: function(state, inputs),
        INSIDE: step_inside,
        FLAT: update_flat,
        EACH: update_each,
        FUSED: fused.step,
    }
