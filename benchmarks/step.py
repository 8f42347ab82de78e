"""A training step of the quickstart's model against the ways it could have been written.

Run it by itself on an idle core: `python benchmarks/step.py [--smoke]`. The variants take
turns, so that a noisy machine hits all of them; the table has medians and ratios.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch.func import grad_and_value

from hpcexp.train.inputs import make_block
from hpcexp.train.optimizer import UPDATE_RULES, clip_by_norm, init_state
from hpcexp.train.seeding import RandomStreams
from hpcexp.train.step import StepFunction
from hpcexp.workloads.sps.config import Config
from hpcexp.workloads.sps.workload import SpsWorkload

QUICKSTART = {
    "dataset": {"resolution": 16, "ball_radius": 1.0},
    "vae_channels": [16, 32],
    "encoder_batch_norm": True,
    "batch_size": 8,
    "train_set_size": 64,
    "validate_set_size": 8,
}


def make_variants() -> dict[str, Callable[[], object]]:
    """Whole steps, then updates alone, each as a function without arguments."""
    workload = SpsWorkload(Config(**QUICKSTART))  # type: ignore[arg-type]
    streams = RandomStreams(0, 0)
    with streams.initialising():
        model = workload.build_model()
    function = StepFunction(model, "adam")
    state = function.init_state()
    cpu = torch.device("cpu")
    block = make_block(workload, streams, block=0, device=cpu, dtype=torch.float32)
    inputs = block.select(0, workload.load_data()["train"])
    adam = torch.optim.Adam(model.parameters(), lr=1e-3)

    def step_plainly() -> None:
        adam.zero_grad()
        (model(*inputs) * inputs.values["loss_weights"]).sum().backward()
        adam.step()

    def step_inside() -> None:
        def measure(parameters: dict[str, torch.Tensor]) -> tuple[torch.Tensor, object]:
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

    return {
        "step: plain loop, torch.optim.Adam": step_plainly,
        "step: ours, gradient around the lanes": lambda: function(state, inputs),
        "step: gradient inside (torch.func.grad)": step_inside,
        "update: ours, one flat vector": update_flat,
        "update: a dozen operations a tensor": update_each,
    }


def time_in_turns(variants: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median milliseconds of each variant."""
    times: dict[str, list[float]] = {name: [] for name in variants}
    for turn in range(rounds + 2):
        for name, run in variants.items():
            begun = time.perf_counter()
            run()
            if turn >= 2:  # the first two warm up
                times[name].append(1000 * (time.perf_counter() - begun))
    return {name: statistics.median(values) for name, values in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="a tiny size, to see that it runs")
    rounds = 2 if parser.parse_args().smoke else 60
    torch.set_num_threads(1)
    medians = time_in_turns(make_variants(), rounds)
    first = {name.split(":")[0]: value for name, value in reversed(medians.items())}
    print(f"median of {rounds} turns, one thread, torch {torch.__version__}\n")
    print("| variant | ms | ratio |\n|---|---|---|")
    for name, value in medians.items():
        print(f"| {name} | {value:.2f} | {value / first[name.split(':')[0]]:.2f} |")


if __name__ == "__main__":
    main()
