"""Checks of the terms of a loss, and of the strategy that trains them."""

from __future__ import annotations

import torch
from torch.func import functional_call

from hpcexp.train.inputs import STEPS_PER_BLOCK, make_block
from hpcexp.train.step import StepFunction
from hpcexp.train.strategy import HasStrategy
from hpcexp.worker.debug.bench import Bench
from hpcexp.worker.debug.findings import CheckFailedError, NothingToCheckError

NUM_STRATEGY_STEPS = 20


def check_terms(bench: Bench) -> str:
    """Every term of the loss that weighs something, and is not 0, has a gradient."""
    workload, model = bench.given, bench.build_model()
    inputs = bench.weigh_all(bench.make_inputs())
    buffers = {k: v.clone() for k, v in model.named_buffers()}
    weighted_L = inputs.values["loss_weights"] * functional_call(model, buffers, tuple(inputs))
    trained = [p for p in model.parameters() if p.requires_grad]
    total = weighted_L.abs().sum().item()
    without = []
    for name, term in zip(workload.loss_names, weighted_L.unbind(), strict=True):
        if term.item() == 0:
            continue
        gradients = (
            torch.autograd.grad(term, trained, retain_graph=True, allow_unused=True)
            if term.requires_grad
            else ()
        )
        if not any(g is not None and g.count_nonzero() for g in gradients):
            without.append(f"{name} is {abs(term.item()) / total:.0%} of the loss")
    if without:
        raise CheckFailedError(f"{', '.join(without)}, and no gradient of it reaches a parameter")
    count = len(workload.loss_names)
    return "the loss has a gradient" if count == 1 else f"all {count} terms have a gradient"


def check_strategy(bench: Bench) -> str:
    """Some steps by the strategy, on fresh batches, stay finite."""
    workload = bench.given
    if not isinstance(workload, HasStrategy):
        raise NothingToCheckError("the losses are added up with weights of a schedule")
    model = bench.build_model(workload)
    strategy = workload.make_strategy(model)
    function = StepFunction(model, workload.config.optimizer, strategy)
    state = function.init_state(bench.streams)
    block = make_block(workload, bench.streams, block=0, device=bench.device, dtype=torch.float32)
    num_steps = min(NUM_STRATEGY_STEPS, STEPS_PER_BLOCK)
    for step in range(num_steps):
        state, record = function(state, block.select(step, bench.data["train"]))
        if not state.alive:
            raise CheckFailedError(f"the loss or its gradient is not finite at step {step}")
    columns = record[len(workload.loss_names) + 2 :].tolist()
    named = dict(zip(strategy.column_names, columns, strict=True))
    weights = [
        f"{name.removeprefix('weight.')} {value:.2g}"
        for name, value in named.items()
        if name.startswith("weight.")
    ]
    return f"after {num_steps} steps the weights are {', '.join(weights)}"
