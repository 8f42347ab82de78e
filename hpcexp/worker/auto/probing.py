"""A probe from outside: started, listened to for half a minute at most, and judged."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hpcexp.store.layout import ExperimentDir
from hpcexp.worker.auto.choose import (
    Measured,
    Packing,
    Room,
    choose_packing,
    choose_processes_alone,
)
from hpcexp.worker.auto.probe import Request
from hpcexp.worker.interruption import Interruption
from hpcexp.worker.processes import list_flags

logger = logging.getLogger("hpcexp.worker")

PROBE_S = 30.0
POLL_EVERY_S = 0.1


@dataclasses.dataclass(frozen=True)
class Probed:
    """What was chosen, and of what."""

    packing: Packing
    room: Room
    measured: tuple[Measured, ...]


def choose_on_node(
    experiment: ExperimentDir,
    names: list[str],
    *,
    obstacle: str,
    memory_bytes: float,
    num_threads: int,
    interruption: Interruption,
) -> Probed:
    """Probe the first of some runs that are alike, and choose how all of them are packed.

    `obstacle` is why they cannot be lanes; empty where they can. On a GPU its own memory counts
    instead of `memory_bytes`.
    """
    room = Room(memory_bytes, num_threads, len(names))
    request = Request(
        experiment=str(experiment.path),
        run=names[0],
        room=room,
        max_lanes=1 if obstacle else len(names),
        deadline=time.time() + PROBE_S,
    )
    measured = []
    for found in _listen(request, interruption):
        if isinstance(found, Room):
            room = found
        else:
            measured.append(found)
    if obstacle:
        packing = choose_processes_alone(measured, room)
        packing = dataclasses.replace(packing, why=f"{obstacle}; {packing.why}")
    else:
        packing = choose_packing(measured, room)
    return Probed(packing, room, tuple(measured))


def _listen(request: Request, interruption: Interruption) -> Iterator[Measured | Room]:
    """What the probe prints, until it ends or its time is over."""
    argument = json.dumps(dataclasses.asdict(request))
    command = [sys.executable, *list_flags(), "-m", "hpcexp.worker.auto.probe", argument]
    child = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert child.stdout is not None
    try:
        while child.poll() is None:
            if time.time() > request.deadline or interruption.signal is not None:
                logger.info("the probe is ended after %g s", PROBE_S)
                child.kill()
                break
            time.sleep(POLL_EVERY_S)
        printed, _ = child.communicate()
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()
    yield from _parse(printed.decode(errors="replace"))
    if child.returncode > 0:
        logger.warning("the probe failed (exit code %d): see above", child.returncode)


def _parse(printed: str) -> Iterator[Measured | Room]:
    """The whole lines; the last may have been cut off."""
    for line in printed.splitlines():
        try:
            values = json.loads(line)
        except ValueError:
            continue
        if "Room" in values:
            yield Room(**values["Room"])
        elif "Measured" in values:
            yield Measured(**values["Measured"])


def find_memory_bytes(resources: Mapping[str, Any]) -> float:
    """What the job may use of the node's memory: as Slurm says, else as the resources do.

    Never more than is free.
    """
    wanted = float(resources["mem_gb"]) * 2**30
    if os.environ.get("SLURM_MEM_PER_NODE", "").isdigit():
        wanted = float(os.environ["SLURM_MEM_PER_NODE"]) * 2**20
    return min(wanted, _read_free_bytes())


def _read_free_bytes() -> float:
    """Memory that is free or can be freed; without a word of the kernel, no limit."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return float("inf")
    sizes = dict(line.split(":", 1) for line in lines if ":" in line)
    return float(sizes["MemAvailable"].split()[0]) * 1024
