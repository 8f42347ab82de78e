"""Memory and throughput of a number of lanes, by training them for a moment."""

from __future__ import annotations

import gc
import resource
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext

import torch

from hpcexp.train.fit import Training
from hpcexp.train.lanes import Lane, Program
from hpcexp.worker.auto.choose import Measured

MakeTraining = Callable[[int], Training]


def measure_lanes(
    make_training: MakeTraining, *, num_lanes: int, num_threads: int, seconds: float
) -> Measured:
    """Train so many runs as lanes for about so long: as they are trained, evaluations included.

    Peak memory is what was allocated on the GPU, or what this process has ever used on a CPU:
    measure small numbers first. The first step is not timed, unless there is time for one only.
    """
    torch.set_num_threads(num_threads)
    is_gpu = torch.cuda.is_available()
    gc.collect()
    if is_gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    trainings = [make_training(index) for index in range(num_lanes)]
    lanes = [
        Lane(index, training, lambda _: nullcontext()) for index, training in enumerate(trainings)
    ]
    deadline = time.monotonic() + seconds
    ended = [lane.begin() for lane in lanes]
    program = Program(trainings) if num_lanes > 1 else None
    begun, num_steps, is_warm = time.monotonic(), 0, False
    while not any(ended):
        num_taken = _take_steps(program, lanes)
        num_steps += num_taken
        ended = [lane.look_around(num_taken) for lane in lanes]
        if is_gpu:
            torch.cuda.synchronize()
        now = time.monotonic()
        if now >= deadline:
            break
        if not is_warm:
            begun, num_steps, is_warm = now, 0, True
    elapsed = max(time.monotonic() - begun, 1e-9)
    return Measured(
        num_lanes=num_lanes,
        num_threads=num_threads,
        memory_bytes=torch.cuda.max_memory_allocated() if is_gpu else read_peak_bytes(),
        run_steps_per_s=num_lanes * num_steps / elapsed,
    )


def read_peak_bytes() -> int:
    """The most memory that this process has ever had resident."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _take_steps(program: Program | None, lanes: list[Lane]) -> int:
    if program is None:
        lanes[0].training.take_step()
        return 1
    num_taken = program.take_steps(min(lane.num_free for lane in lanes))
    program.give_back()
    return num_taken
