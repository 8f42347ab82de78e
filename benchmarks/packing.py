"""1, 4, 16, 64 initialisations: lanes, processes, one after another, round robin in one process.

    python benchmarks/packing.py [--only quickstart notebook] [--counts 1 4 16 64]
        [--precisions fp32 bf16] [--threads 2] [--seconds 5] [--at-most 90] [--smoke]

Each way trains for some seconds after it has warmed up, and the steps of all runs are counted:
run-steps per second. Round robin takes a step of each run in turn, in the plainest eager PyTorch:
what the notebook's own framework did. Utilisation is the arithmetic of those steps (by torch's
counter, forward and backward) over what a large product of matrices reaches on the same machine
in the same precision. Runs on a CPU, and on a GPU where there is one. What would not fit into
memory, or take too long, is left out with the reason.
"""

from __future__ import annotations

import argparse
import logging
import math
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from queue import Empty
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.harness.configurations import CONFIGURATIONS, build_workload, make_inputs
from benchmarks.harness.stopwatch import MIN_STEPS, WARM_UP_STEPS, Stopwatch, StopwatchSink
from benchmarks.harness.tables import describe_machine, print_table
from benchmarks.harness.turns import synchronise
from hpcexp.train.config import Precision
from hpcexp.train.fit import FitOptions, Training, train_alone
from hpcexp.train.footprint import foresee_lane_bytes
from hpcexp.train.lanes import fit_lanes
from hpcexp.train.precision import autocasting, computing_in, cpu_has_bf16
from hpcexp.train.seeding import RandomStreams

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
ENDLESS = {"max_step": 10**9, "eval_every": 10**6, "validate_set_size": 8}
STARTED_WITHIN_S = 300.0
PROCESS_BYTES = 500 << 20
"""What Python and torch need by themselves."""
FILLED = 0.85
"""Of the memory that is free, what may be used."""

SHEETS = {
    "H100": {"fp32": 67.0, "tf32": 494.7, "bf16": 989.4},
    "H200": {"fp32": 67.0, "tf32": 494.7, "bf16": 989.4},
}
"""Dense TFLOP/s of the SXM cards in NVIDIA's data sheets."""


@dataclass(frozen=True)
class Case:
    """What is trained, and for how long each way is watched."""

    name: str
    precision: Precision
    seconds: float
    num_threads: int
    max_processes: int
    at_most_s: float = 90.0
    """A way is left out that would take longer to warm up and to step twice."""

    def build_training(
        self, rand_init: int, watch: Stopwatch, *, captures: bool = False
    ) -> Training:
        """One of the runs."""
        workload = build_workload(self.name, precision=self.precision, **ENDLESS)
        training = Training(
            workload,
            streams=RandomStreams(0, rand_init),
            sink=StopwatchSink(watch),
            options=FitOptions(device=DEVICE, read_back_every_s=1e9, captures=captures),
        )
        watch.trainings.append(training)
        return training


def run_lanes(case: Case, count: int, *, captures: bool = False) -> float:
    """All runs as lanes of one program: run-steps per second."""
    watch = Stopwatch(case.seconds)
    trainings = [case.build_training(i, watch, captures=captures) for i in range(count)]
    for end in fit_lanes(trainings):
        if isinstance(end.result, Exception):
            raise end.result
    return watch.rate


def run_one_after_another(case: Case, count: int) -> float:
    """A run alone has the machine: the rate is that of each of them in its turn."""
    del count
    watch = Stopwatch(case.seconds)
    train_alone(case.build_training(0, watch))
    return watch.rate


def run_round_robin(case: Case, count: int) -> float:
    """A step of each run in turn, in plain PyTorch, on samples that are at hand already."""
    runs = [make_plain_step(case, i) for i in range(count)]
    for step in runs[: min(count, 2)]:
        step()
    synchronise()
    begun, num_steps = time.perf_counter(), 0
    while num_steps < 2 or time.perf_counter() - begun < case.seconds:
        runs[num_steps % count]()
        num_steps += 1
        if DEVICE.type == "cuda" and num_steps % 64 == 0:
            synchronise()  # or the clock would run ahead of the GPU
    synchronise()
    return num_steps / (time.perf_counter() - begun)


def make_plain_step(case: Case, rand_init: int) -> Callable[[], None]:
    """The loop that anybody would write, with torch.optim.Adam."""
    workload, streams = build_workload(case.name), RandomStreams(0, rand_init)
    with streams.initialising():
        model = workload.build_model().to(DEVICE)
    inputs = make_inputs(workload, streams, DEVICE)
    adam = torch.optim.Adam(model.parameters(), lr=workload.config.lr)

    def step() -> None:
        adam.zero_grad()
        with computing_in(case.precision, DEVICE):
            with autocasting(case.precision, DEVICE):
                losses = model(*inputs)
            (losses * inputs.values["loss_weights"]).sum().backward()
        adam.step()

    return step


def run_processes(case: Case, count: int) -> float:
    """Workers of their own at the same time, as many as are allowed; their rates add up."""
    num_processes = min(count, case.max_processes)
    context = multiprocessing.get_context("spawn")
    ready, rates = context.Barrier(num_processes), context.Queue()
    num_threads = max(1, case.num_threads // num_processes)
    workers = [
        context.Process(target=train_beside_others, args=(case, i, num_threads, ready, rates))
        for i in range(num_processes)
    ]
    for worker in workers:
        worker.start()
    found: list[float] = []
    try:
        while len(found) < num_processes:
            found.append(rates.get(timeout=STARTED_WITHIN_S))
    except Empty:
        raise SystemExit(
            f"{num_processes - len(found)} of {num_processes} processes gave no rate within "
            f"{STARTED_WITHIN_S:.0f} s; fewer: --max-processes"
        ) from None
    finally:
        for worker in workers:
            worker.join(timeout=10)
            worker.kill()
    return sum(found)


def train_beside_others(case: Case, rand_init: int, num_threads: int, ready: Any, out: Any) -> None:
    """What each of the processes does; the clocks begin together."""
    torch.set_num_threads(num_threads)
    logging.getLogger("hpcexp").setLevel(logging.ERROR)
    watch = Stopwatch(case.seconds, begin=lambda: ready.wait(timeout=STARTED_WITHIN_S))
    train_alone(case.build_training(rand_init, watch))
    out.put(watch.rate)


WAYS: dict[str, Callable[[Case, int], float]] = {
    "round robin, plain PyTorch": run_round_robin,
    "one after another": run_one_after_another,
    "processes": run_processes,
    "lanes": run_lanes,
}
CAPTURED = "lanes, as a CUDA graph"
if DEVICE.type == "cuda":
    WAYS[CAPTURED] = partial(run_lanes, captures=True)


def count_flops(name: str) -> float:
    """Operations of a training step of one run: a multiplication and an addition are two."""
    workload, streams = build_workload(name), RandomStreams(0, 0)
    with streams.initialising():
        model = workload.build_model()
    inputs = make_inputs(workload, streams, torch.device("cpu"))
    with FlopCounterMode(display=False) as counter:
        model(*inputs).sum().backward()
    return float(counter.get_total_flops())


def measure_peak(precision: Precision, *, seconds: float = 1.0) -> float:
    """FLOP/s of a large product of matrices."""
    size = 8192 if DEVICE.type == "cuda" else 1024
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    a, b = (torch.randn(size, size, device=DEVICE).to(dtype) for _ in range(2))
    with computing_in(precision, DEVICE):
        a @ b
        synchronise()
        begun, num_products = time.perf_counter(), 0
        while time.perf_counter() - begun < seconds:
            a @ b
            num_products += 1
            if num_products % 8 == 0:
                synchronise()
        synchronise()
        return 2 * size**3 * num_products / (time.perf_counter() - begun)


def measure(case: Case, counts: Sequence[int]) -> None:
    """The table of one configuration in one precision."""
    flops, peak = count_flops(case.name), measure_peak(case.precision)
    print(f"\n{case.name}, {case.precision}: {flops / 1e9:.2f} GFLOP a step and run; ", end="")
    print(f"a product of matrices reaches {peak / 1e12:.2f} TFLOP/s{_quote_sheet(case.precision)}")
    rows = []
    for count in counts:
        base = 0.0
        for way, run in WAYS.items():
            reason = find_obstacle(case, way, count, base_rate=base)
            if reason is not None:
                rows.append((count, way, f"not measured: {reason}", "", ""))
                continue
            try:
                rate = run(case, count)
            except torch.OutOfMemoryError:
                rows.append((count, way, "out of memory", "", ""))
                continue
            base = base or rate
            used = rate * flops / peak
            rows.append((count, way, f"{rate:.2f}", f"{rate / base:.2f}", f"{100 * used:.1f} %"))
            print(".", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    header = ("runs", "way", "run-steps/s", "of round robin", "utilisation")
    print_table((f"{case.name}, {case.precision}: {header[0]}", *header[1:]), rows)


def find_obstacle(case: Case, way: str, count: int, *, base_rate: float) -> str | None:
    """Why a way is not measured: it needs more memory or time than there is. None: it can be.

    `base_rate` is in run-steps a second, 0 where nothing has been measured.
    """
    at_once = {"lanes": count, CAPTURED: count, "processes": min(count, case.max_processes)}.get(
        way
    )
    if at_once is None:
        return None
    if DEVICE.type == "cpu":
        own = PROCESS_BYTES * (at_once if way == "processes" else 1)
        needed, free = own + at_once * foresee_bytes(case.name), measure_free_bytes()
        if needed > FILLED * free:
            return f"needs about {needed / 2**30:.0f} GB of memory, {free / 2**30:.0f} are free"
    expected_s = at_once * (WARM_UP_STEPS + MIN_STEPS) / base_rate if base_rate else 0.0
    if expected_s > case.at_most_s:
        return f"would take {expected_s:.0f} s, --at-most {case.at_most_s:.0f}"
    return None


@cache
def foresee_bytes(name: str) -> int:
    """Memory of one lane on a CPU, from shapes alone."""
    workload = build_workload(name, **ENDLESS)
    few = build_workload(name, **ENDLESS, train_set_size=workload.config.batch_size)
    return foresee_lane_bytes(workload, dict(few.load_data()["train"]))


def measure_free_bytes() -> float:
    """What can be had without swapping, as the kernel estimates it; endless where it does not."""
    path = Path("/proc/meminfo")
    for line in path.read_text().splitlines() if path.exists() else ():
        if line.startswith("MemAvailable:"):
            return float(line.split()[1]) * 1024
    return math.inf


def _quote_sheet(precision: Precision) -> str:
    if DEVICE.type != "cuda":
        return ""
    name = torch.cuda.get_device_name()
    known = next((sheet for card, sheet in SHEETS.items() if card in name), None)
    return f" (data sheet: {known[precision]:g})" if known else ""


def choose_precisions() -> list[Precision]:
    """Those in which the hardware computes."""
    if DEVICE.type == "cuda":
        return ["fp32", "tf32", "bf16"]
    return ["fp32", "bf16"] if cpu_has_bf16() else ["fp32"]


def main() -> None:
    """Measure each configuration in each precision."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=CONFIGURATIONS, default=list(CONFIGURATIONS))
    parser.add_argument("--counts", type=int, nargs="+", default=[1, 4, 16, 64])
    parser.add_argument("--precisions", nargs="+", choices=("fp32", "tf32", "bf16"))
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--seconds", type=float, default=5.0, help="watched, of each way")
    parser.add_argument("--at-most", type=float, default=90.0, help="seconds that a way may take")
    parser.add_argument("--max-processes", type=int, default=max(4, 2 * (os.cpu_count() or 1)))
    parser.add_argument("--smoke", action="store_true", help="a tiny size, to see that it runs")
    given = parser.parse_args()
    torch.set_num_threads(1 if given.smoke else given.threads)
    logging.getLogger("hpcexp").setLevel(logging.ERROR)
    print(describe_machine())
    print(f"at most {given.max_processes} processes at a time, the others after them")
    if given.smoke:
        measure(Case("tiny", "fp32", 0.05, 1, 2), [2])
        return
    for name in given.only:
        for precision in given.precisions or choose_precisions():
            case = Case(
                name, precision, given.seconds, given.threads, given.max_processes, given.at_most
            )
            measure(case, given.counts)


if __name__ == "__main__":
    main()
