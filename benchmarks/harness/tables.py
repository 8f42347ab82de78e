"""Tables in Markdown, as the benchmarks print them and docs/results shows them."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch


def print_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """The first column on the left, numbers on the right."""
    print(f"\n| {' | '.join(header)} |")
    print(f"|---|{'--:|' * (len(header) - 1)}")
    for row in rows:
        print(f"| {' | '.join(str(cell) for cell in row)} |", flush=True)


def describe_machine() -> str:
    """Processor or GPU, cores, torch, and how busy it was."""
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    gpu = f"{torch.cuda.get_device_name()}, " if torch.cuda.is_available() else ""
    return (
        f"{gpu}{_name_processor()}, {cores} cores, {torch.get_num_threads()} threads{load}, "
        f"torch {torch.__version__}, Python {platform.python_version()}"
    )


def _name_processor() -> str:
    path = Path("/proc/cpuinfo")
    if path.exists():
        for line in path.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
