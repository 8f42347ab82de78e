"""`python -m hpcexp.worker.auto.probe`: measures how many lanes pay, in a process of its own.

Whatever it does to memory ends with it. Each measurement is printed as a line of JSON at once, so
that what was measured counts if the process is killed.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hpcexp.store.experiment import read_run_config
from hpcexp.store.layout import ExperimentDir
from hpcexp.worker.attempt import wants_capture
from hpcexp.worker.auto.choose import Measured, Room, count_fitting, fit_memory

SECONDS_EACH = 1.5
FALLING_PART = 0.95
"""Where more lanes reach less than this part of the best, still more are not tried."""


@dataclass(frozen=True)
class Request:
    """Which run is measured, in what room, and when it must be over (seconds since 1970)."""

    experiment: str
    run: str
    room: Room
    max_lanes: int
    deadline: float


def list_counts(most: int) -> list[int]:
    """1, 2, 4 ... and the most itself."""
    counts = [1]
    while counts[-1] * 2 < most:
        counts.append(counts[-1] * 2)
    return counts if most == 1 else [*counts, most]


def probe(request: Request) -> Iterator[Measured | Room]:
    """The room there is, as the device says it; then measurements, as far as there is time."""
    import torch

    from hpcexp.train.fit import FitOptions, Training
    from hpcexp.train.seeding import RandomStreams
    from hpcexp.train.sink import MemorySink
    from hpcexp.worker.auto.measure import measure_lanes
    from hpcexp.workloads import load_config_class, load_workload

    config = read_run_config(ExperimentDir(Path(request.experiment)).run(request.run))
    hyperparameters = load_config_class(config.workload).model_validate(config.params)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    room = request.room
    if device.type == "cuda":
        room = dataclasses.replace(room, memory_bytes=torch.cuda.mem_get_info()[0], is_gpu=True)
    yield room

    def make_training(index: int) -> Training:
        return Training(
            load_workload(config.workload, hyperparameters),
            streams=RandomStreams(config.seed, config.rand_init + index),
            sink=MemorySink(),
            options=FitOptions(
                device=device, checkpoint_every_s=float("inf"), captures=wants_capture()
            ),
        )

    thread_counts = [room.num_threads]
    if not room.is_gpu and room.num_threads > 1:
        thread_counts.append(1)
    done: list[Measured] = []
    for num_lanes in list_counts(request.max_lanes):
        if done and not _is_worth_trying(num_lanes, done, room, request.deadline):
            return
        for num_threads in thread_counts:
            done.append(
                measure_lanes(
                    make_training,
                    num_lanes=num_lanes,
                    num_threads=num_threads,
                    seconds=SECONDS_EACH,
                )
            )
            yield done[-1]


def _is_worth_trying(num_lanes: int, done: list[Measured], room: Room, deadline: float) -> bool:
    line = fit_memory([(m.num_lanes, m.memory_bytes) for m in done])
    if num_lanes > count_fitting(line, room):
        return False
    newest = [m for m in done if m.num_lanes == done[-1].num_lanes]
    expected_s = sum(SECONDS_EACH + 3 * num_lanes / max(m.run_steps_per_s, 1e-9) for m in newest)
    if time.time() + expected_s > deadline:
        return False
    best = {
        t: max(m.run_steps_per_s for m in done if m.num_threads == t)
        for t in {m.num_threads for m in newest}
    }
    return any(m.run_steps_per_s >= FALLING_PART * best[m.num_threads] for m in newest)


def main() -> None:
    """Print the room and each measurement as a line of JSON; the request is the argument."""
    values = json.loads(sys.argv[1])
    request = Request(**{**values, "room": Room(**values["room"])})
    for found in probe(request):
        sys.stdout.write(json.dumps({type(found).__name__: dataclasses.asdict(found)}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
