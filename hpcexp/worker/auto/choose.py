"""From measurements of a few lanes to the packing of a job. Imports no torch.

Memory is a straight line in the number of lanes: a part that all share (the program, the data,
on a GPU its context) and a part that each has. Throughput is not extrapolated: only numbers of
lanes that were measured are chosen from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

SAFE_PART = 0.85
"""Of the memory that there is, what may be planned with: the line is right within a tenth."""
LEVEL_PART = 0.97
"""Fewer lanes are chosen where they reach this part of the best throughput."""
KNEE_PART = 0.75
"""Of its slope at the end: where the line of memory rises less, it has not begun yet."""
PROCESSES_GAIN = 1.1
"""Processes must promise this much more: what they would reach together is not measured."""
GPU_CONTEXT_BYTES = 600 << 20
"""What every process needs on a GPU besides its tensors."""


@dataclass(frozen=True)
class Measured:
    """So many lanes on so many threads: peak memory in bytes, and steps of all runs in a second."""

    num_lanes: int
    num_threads: int
    memory_bytes: int
    run_steps_per_s: float


@dataclass(frozen=True)
class MemoryLine:
    """Memory by number of lanes: base + per lane times lanes, but never below a floor, in bytes.

    The floor is what one run needs at its peak: few lanes may need less for a step than each
    needs for its evaluation, in which the lanes take turns.
    """

    base_bytes: float
    lane_bytes: float
    floor_bytes: float = 0.0

    def predict(self, num_lanes: int) -> float:
        """Bytes of one process with so many lanes."""
        return max(self.floor_bytes, self.base_bytes + self.lane_bytes * num_lanes)


@dataclass(frozen=True)
class Room:
    """What a job has: its memory (bytes; on a GPU, the GPU's), its threads, and runs to train."""

    memory_bytes: float
    num_threads: int
    num_runs: int
    is_gpu: bool = False


@dataclass(frozen=True)
class Packing:
    """How the runs of a job are trained: in how many processes, and how many at a time in each.

    `why` is a line for people.
    """

    num_lanes: int
    num_processes: int
    why: str


def fit_memory(points: Sequence[tuple[int, float]]) -> MemoryLine:
    """The line of least squares through (lanes, bytes); one point is all of the lanes'.

    Points before the line begins to rise belong to the floor. It never falls: what is freed and
    used again can make more lanes look smaller.
    Raises ValueError where there is no point.
    """
    if not points:
        raise ValueError("a line needs a point at least")
    ordered = sorted(points)
    floor, rising = ordered[0][1], _find_rising(ordered)
    count = len(rising)
    mean_n = sum(n for n, _ in rising) / count
    mean_bytes = sum(size for _, size in rising) / count
    spread = sum((n - mean_n) ** 2 for n, _ in rising)
    if spread == 0:
        return MemoryLine(0.0, mean_bytes / mean_n, floor)
    slope = sum((n - mean_n) * (size - mean_bytes) for n, size in rising) / spread
    slope = max(0.0, slope)
    return MemoryLine(max(0.0, mean_bytes - slope * mean_n), slope, floor)


def _find_rising(ordered: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """The last points, as far back as they rise about as steeply as at the end."""
    rising = list(ordered[-2:])
    if len(rising) < 2:
        return rising
    steepest = _slope(*rising)
    for point in reversed(ordered[:-2]):
        if _slope(point, rising[0]) < KNEE_PART * steepest:
            break
        rising.insert(0, point)
    return rising


def _slope(one: tuple[int, float], other: tuple[int, float]) -> float:
    return (other[1] - one[1]) / (other[0] - one[0])


def count_fitting(line: MemoryLine, room: Room, *, num_processes: int = 1) -> int:
    """The most lanes of each process that fit; 0 where not even one does."""
    context = GPU_CONTEXT_BYTES if room.is_gpu else 0
    planned = SAFE_PART * room.memory_bytes / num_processes - context
    if planned < line.predict(1):
        return 0
    if line.lane_bytes == 0:
        return room.num_runs
    return min(room.num_runs, max(1, int((planned - line.base_bytes) / line.lane_bytes)))


def choose_packing(measured: Sequence[Measured], room: Room) -> Packing:
    """The packing of the best throughput that fits into memory.

    On a CPU, several processes of one thread each count as so many times what one was measured
    to reach. Where nothing was measured, or nothing fits, runs are trained one after another.
    """
    if not measured:
        return Packing(1, 1, "nothing could be measured: one after another")
    line = fit_memory([(m.num_lanes, m.memory_bytes) for m in _newest_of_each(measured)])
    whole = [m for m in measured if m.num_threads == room.num_threads]
    fitting = [m for m in whole if m.num_lanes <= count_fitting(line, room)]
    if not fitting:
        return Packing(1, 1, "there is not memory enough for two: one after another")
    best = max(m.run_steps_per_s for m in fitting)
    level = [m for m in fitting if m.run_steps_per_s >= LEVEL_PART * best]
    chosen = min(level, key=lambda m: m.num_lanes)
    alone = _find_rate_alone(measured)
    packing = Packing(
        _spread(room.num_runs, chosen.num_lanes), 1, _explain(chosen.num_lanes, 1, best, alone)
    )
    spread = _choose_processes(measured, room, line)
    if spread is not None and spread[1] > PROCESSES_GAIN * best:
        share, total = spread
        lanes, processes = share
        return Packing(lanes, processes, _explain(lanes, processes, total, alone))
    return packing


def choose_processes_alone(measured: Sequence[Measured], room: Room) -> Packing:
    """For runs that cannot be lanes: as many processes as there are threads and memory for."""
    line = fit_memory([(m.num_lanes, m.memory_bytes) for m in measured]) if measured else None
    most = max(1, min(room.num_threads, room.num_runs))
    while most > 1 and line is not None and not count_fitting(line, room, num_processes=most):
        most -= 1
    what = "one after another" if most == 1 else f"{most} processes"
    return Packing(1, most, f"cannot be lanes of one program: {what}")


def _choose_processes(
    measured: Sequence[Measured], room: Room, line: MemoryLine
) -> tuple[tuple[int, int], float] | None:
    """(Lanes, processes) of one thread each, and what they would reach together."""
    if room.is_gpu or room.num_threads == 1:
        return None
    found = []
    for m in measured:
        if m.num_threads != 1:
            continue
        count = min(room.num_threads, -(-room.num_runs // m.num_lanes))
        if count > 1 and m.num_lanes <= count_fitting(line, room, num_processes=count):
            found.append(((m.num_lanes, count), count * m.run_steps_per_s))
    return max(found, key=lambda candidate: candidate[1], default=None)


def _newest_of_each(measured: Sequence[Measured]) -> list[Measured]:
    """One of each number of lanes: that of the most memory."""
    by_count: dict[int, Measured] = {}
    for m in measured:
        known = by_count.get(m.num_lanes)
        if known is None or m.memory_bytes > known.memory_bytes:
            by_count[m.num_lanes] = m
    return list(by_count.values())


def _find_rate_alone(measured: Sequence[Measured]) -> float | None:
    rates = [m.run_steps_per_s for m in measured if m.num_lanes == 1]
    return max(rates) if rates else None


def _spread(num_runs: int, num_lanes: int) -> int:
    """Lanes of rounds of about the same length: 16 runs, 10 at a time, are two rounds of 8."""
    rounds = -(-num_runs // num_lanes)
    return -(-num_runs // rounds)


def _explain(num_lanes: int, num_processes: int, rate: float, alone: float | None) -> str:
    what = f"{num_lanes} at a time as lanes" if num_lanes > 1 else "one after another"
    if num_processes > 1:
        what = f"{num_processes} processes, each {what}"
    against = f", one run alone {alone:.3g}" if alone is not None else ""
    return f"{what}: {rate:.3g} steps of a run in a second{against}"
