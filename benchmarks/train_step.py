"""A step of `fit` against the plainest loop of the same model and work, and against Lightning.

    python benchmarks/train_step.py [--only quickstart notebook] [--threads 2] [--smoke]

Variants take turns. The plain loop is eager PyTorch with torch.optim.Adam; its random numbers are
made beforehand and cost it nothing, and it reads no loss back. Overhead is what a run in its own
directory, with records, checks, a heartbeat and checkpoints, takes beyond the bare steps.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import logging
import os
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from torch import Tensor

from benchmarks.harness.configurations import CONFIGURATIONS, build_workload, make_inputs
from benchmarks.harness.tables import describe_machine, print_table
from benchmarks.harness.turns import (
    Clock,
    Turn,
    bound_ratio,
    compare,
    synchronise,
    take_turns,
    timed,
)
from benchmarks.harness.ways import AROUND, FLAT, INSIDE, make_ways
from hpcexp.train.fit import FitOptions, FitResult, Training
from hpcexp.train.precision import cpu_has_bf16
from hpcexp.train.seeding import RandomStreams
from hpcexp.train.sink import MemorySink
from hpcexp.train.step import StepFunction

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
STREAMS = RandomStreams(0, 0)
ENDLESS = {"max_step": 10**9, "eval_every": 10**6, "validate_set_size": 8}
CHECKPOINT_EVERY_S = 300.0

PLAIN = "plain loop, torch.optim.Adam"
CHANNELS_LAST = "the same, channels last"
BARE = "our step alone"
MEMORY = "fit, in memory"
DIRECTORY = "fit, in its directory"
SAVING = "the same, a checkpoint at every step"


class Stepper:
    """A run whose steps are taken one at a time."""

    def __init__(self, training: Training) -> None:
        self.training = training
        self.steps: Generator[int, int, FitResult] = training.run()
        next(self.steps)

    def __call__(self) -> None:
        self.training.take_step()
        self.steps.send(1)


def make_plain(name: str, *, is_channels_last: bool = False) -> Callable[[], None]:
    """The loop that anybody would write."""
    workload = build_workload(name)
    with STREAMS.initialising():
        model = workload.build_model().to(DEVICE)
    if is_channels_last:
        for parameter in model.parameters():
            if parameter.dim() == 4:
                parameter.data = parameter.data.to(memory_format=torch.channels_last)
    inputs = make_inputs(workload, STREAMS, DEVICE)
    images = workload.load_data()["train"]["images"].to(DEVICE)
    size = workload.config.batch_size
    adam = torch.optim.Adam(model.parameters(), lr=workload.config.lr)

    def step() -> None:
        batch = {"images": images[torch.randint(len(images), (size,), device=DEVICE)]}
        adam.zero_grad()
        losses = model(batch, inputs.noise, inputs.values)
        (losses * inputs.values["loss_weights"]).sum().backward()
        adam.step()

    return step


def make_bare(name: str) -> Callable[[], object]:
    """Our step on inputs that stay the same."""
    workload = build_workload(name)
    with STREAMS.initialising():
        model = workload.build_model().to(DEVICE)
    function = StepFunction(model, workload.config.optimizer)
    state, inputs = function.init_state(), make_inputs(workload, STREAMS, DEVICE)

    def step() -> None:
        nonlocal state
        state, _ = function(state, inputs)

    return step


def make_fit(name: str, **changes: Any) -> Stepper:
    """`fit` as from a notebook: records are kept in memory."""
    workload = build_workload(name, **{**ENDLESS, **changes})
    options = FitOptions(device=DEVICE)
    return Stepper(Training(workload, streams=STREAMS, sink=MemorySink(), options=options))


def make_worker(name: str, stack: ExitStack, *, checkpoint_every_s: float) -> Stepper:
    """`fit` as a worker runs it.

    Raises ModuleNotFoundError where there is only what training itself needs.
    """
    from benchmarks.harness.experiments import training_in_directory
    from hpcexp.worker.attempt import CHECKPOINT_VARIABLE

    directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    os.environ[CHECKPOINT_VARIABLE] = str(checkpoint_every_s)
    training = stack.enter_context(
        training_in_directory(
            directory,
            build_workload(name, **ENDLESS).config,
            num_threads=torch.get_num_threads(),
        )
    )
    return Stepper(training)


def make_lightning(name: str, *, num_steps: int, clock: Clock) -> Turn | None:
    """The same model in a LightningModule, without logging and checkpoints; None without it."""
    package = next((n for n in ("lightning", "pytorch_lightning") if _is_installed(n)), None)
    if package is None:
        return None
    warnings.filterwarnings("ignore")
    lightning: Any = importlib.import_module(
        "lightning.pytorch" if package == "lightning" else package
    )
    for logger in ("lightning", "lightning.pytorch", "pytorch_lightning"):
        logging.getLogger(logger).setLevel(logging.ERROR)
    workload = build_workload(name)
    with STREAMS.initialising():
        model = workload.build_model()
    inputs = make_inputs(workload, STREAMS, DEVICE)
    images = workload.load_data()["train"]["images"]

    class Module(lightning.LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = model
            self.first = self.last = 0.0

        def training_step(self, batch: list[Tensor], index: int) -> Tensor:
            synchronise()
            self.last = clock()
            self.first = self.first if index else self.last
            losses = self.model({"images": batch[0]}, inputs.noise, inputs.values)
            total: Tensor = (losses * inputs.values["loss_weights"]).sum()
            return total

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Adam(self.parameters(), lr=workload.config.lr)

    module = Module()
    loader = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(images),
        batch_size=workload.config.batch_size,
        sampler=torch.utils.data.RandomSampler(
            range(len(images)), replacement=True, num_samples=10**6
        ),
    )

    def take_turn() -> float:
        trainer = lightning.Trainer(
            max_steps=num_steps + 1,
            accelerator="gpu" if DEVICE.type == "cuda" else "cpu",
            devices=1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            default_root_dir=tempfile.gettempdir(),
        )
        trainer.fit(module, loader)
        seconds: float = (module.last - module.first) / num_steps
        return seconds

    return take_turn


def _is_installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def measure(name: str, *, rounds: int, times: int, clock: Clock = time.perf_counter) -> None:
    """The table of one configuration."""
    timed_in_turns = partial(timed, times=times, clock=clock)
    with ExitStack() as stack:
        variants: dict[str, Turn] = {
            PLAIN: timed_in_turns(make_plain(name)),
            CHANNELS_LAST: timed_in_turns(make_plain(name, is_channels_last=True)),
            BARE: timed_in_turns(make_bare(name)),
            MEMORY: timed_in_turns(make_fit(name)),
        }
        try:
            worker = make_worker(name, stack, checkpoint_every_s=CHECKPOINT_EVERY_S)
            saving = make_worker(name, stack, checkpoint_every_s=0.0)
            variants |= {DIRECTORY: timed_in_turns(worker), SAVING: timed(saving, clock=clock)}
        except ModuleNotFoundError as error:
            print(f"\nruns in directories: not measured ({error})")
        if (lightning := make_lightning(name, num_steps=times, clock=clock)) is not None:
            variants["Lightning, no logging"] = lightning
        for precision in choose_precisions(name):
            variants[f"fit, in memory, {precision}"] = timed_in_turns(
                make_fit(name, precision=precision)
            )
        seconds = take_turns(variants, rounds=rounds)
    title = (f"{name}: a step", "ms", "of the plain loop's time")
    print_seconds(title, seconds, peers=dict.fromkeys(seconds, PLAIN))
    if DIRECTORY in seconds:
        print_overhead(seconds)


def measure_ways(name: str, *, rounds: int, clock: Clock) -> None:
    """The step and the update alone, written in other ways."""
    variants = {way: timed(run, clock=clock) for way, run in make_ways(name, DEVICE).items()}
    seconds = take_turns(variants, rounds=rounds)
    peers = {way: AROUND if way in (AROUND, INSIDE) else FLAT for way in seconds}
    print_seconds((f"{name}: written in other ways", "ms", "of ours"), seconds, peers=peers)


def print_seconds(
    title: tuple[str, str, str], seconds: Mapping[str, list[float]], *, peers: Mapping[str, str]
) -> None:
    """The median of each variant, and its share of its peer's time."""
    rows = [
        (
            variant,
            f"{1000 * statistics.median(times_s):.2f}",
            f"{compare(seconds, variant, peer=peers[variant]):.2f}",
        )
        for variant, times_s in seconds.items()
    ]
    print_table(title, rows)


def choose_precisions(name: str) -> list[str]:
    """Those that the hardware has; bf16 is imitated at small sizes only, where that is bearable."""
    if DEVICE.type == "cuda":
        return ["tf32", "bf16"]
    return ["bf16"] if cpu_has_bf16() or name != "notebook" else []


def print_overhead(seconds: dict[str, list[float]]) -> None:
    """What a step takes beyond the bare one, checkpoints included as often as they are made."""
    checkpoint_s = statistics.median(
        saving - plain for saving, plain in zip(seconds[SAVING], seconds[DIRECTORY], strict=True)
    )
    share = max(checkpoint_s, 0.0) / CHECKPOINT_EVERY_S
    low, overhead, high = (
        100 * (ratio - 1 + share) for ratio in bound_ratio(seconds, DIRECTORY, peer=BARE)
    )
    print(
        f"\noverhead of inputs, records, checks and checkpoints: {overhead:+.1f} %, 95 % interval"
        f" {low:+.1f} to {high:+.1f} %\n(a checkpoint takes {1000 * checkpoint_s:.0f} ms; one is"
        f" made every {CHECKPOINT_EVERY_S:.0f} s)"
    )


def main() -> None:
    """Measure each configuration."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=CONFIGURATIONS, default=list(CONFIGURATIONS))
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, help="turns of each variant")
    parser.add_argument(
        "--cpu-time", action="store_true", help="processor time, on a busy machine; one thread"
    )
    parser.add_argument("--smoke", action="store_true", help="a tiny size, to see that it runs")
    given = parser.parse_args()
    torch.set_num_threads(1 if given.smoke or given.cpu_time else given.threads)
    logging.getLogger("hpcexp").setLevel(logging.ERROR)
    print(describe_machine() + (", processor time" if given.cpu_time else ""))
    clock = time.process_time if given.cpu_time else time.perf_counter
    if given.smoke:
        measure("tiny", rounds=1, times=1)
        measure_ways("tiny", rounds=1, clock=clock)
        return
    for name in given.only:
        quick = name == "quickstart" or DEVICE.type == "cuda"
        rounds, times = (24, 8) if quick else (7, 1)
        measure(name, rounds=given.rounds or rounds, times=times, clock=clock)
        if quick:
            measure_ways(name, rounds=given.rounds or 2 * rounds, clock=clock)
    if not (DEVICE.type == "cuda" or cpu_has_bf16()):
        print("\nbf16: this CPU has neither AVX512_BF16 nor AMX, and imitates it")
    if not (_is_installed("lightning") or _is_installed("pytorch_lightning")):
        print("\nLightning: not installed (pip install lightning)")


if __name__ == "__main__":
    main()
