"""Reading the GPUs of this job: NVIDIA's, by its library or else its command.

AMD's and Intel's are not read: their jobs have CPU and memory in their records, and a word
about that.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_QUERY = "index,uuid,name,utilization.gpu,memory.used,memory.total"
_MIB = 2**20


@dataclass(frozen=True)
class GpuReading:
    """One GPU at one moment: utilisation in percent, memory in bytes."""

    name: str
    utilization: int
    memory_used: int
    memory_total: int


ReadGpus = Callable[[], Sequence[GpuReading]]


@dataclass(frozen=True)
class GpuReader:
    """How the GPUs are read, how often that is cheap enough, or why they are not."""

    source: str
    read: ReadGpus
    every_s: float
    problem: str = ""


def open_gpus(environ: Mapping[str, str]) -> GpuReader:
    """The reader that works on this machine, for the GPUs that the job was given."""
    visible = list_visible(environ)
    if visible == []:
        return GpuReader("", lambda: (), 30.0)
    if any(name.startswith("MIG-") for name in visible or ()):
        return GpuReader("", lambda: (), 30.0, "NVIDIA does not tell the utilisation of MIG slices")
    try:
        return GpuReader("nvml", _open_nvml(visible), 5.0)
    except Exception as error:  # no library, no driver, no permission: each its own class
        problem = str(error) or type(error).__name__
    if shutil.which("nvidia-smi"):
        return GpuReader("nvidia-smi", lambda: run_nvidia_smi(visible), 30.0)
    if shutil.which("rocm-smi") or shutil.which("amd-smi"):
        return GpuReader("", lambda: (), 30.0, "AMD's GPUs are not sampled")
    return GpuReader("", lambda: (), 30.0, problem if visible else "")


def list_visible(environ: Mapping[str, str]) -> list[str] | None:
    """Indices or ids of the job's GPUs; None where nothing was said: all that there are."""
    text = environ.get("CUDA_VISIBLE_DEVICES")
    if text is None:
        return None
    names = [name.strip() for name in text.split(",") if name.strip()]
    return [] if names[:1] in (["-1"], ["NoDevFiles"]) else names


def _open_nvml(visible: Sequence[str] | None) -> ReadGpus:
    import pynvml

    pynvml.nvmlInit()
    if visible is None:
        handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
    else:
        handles = [
            pynvml.nvmlDeviceGetHandleByIndex(int(name))
            if name.isdigit()
            else pynvml.nvmlDeviceGetHandleByUUID(name)
            for name in visible
        ]

    def read(handle: Any) -> GpuReading:
        memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
        name = pynvml.nvmlDeviceGetName(handle)
        used = pynvml.nvmlDeviceGetUtilizationRates(handle).gpu
        return GpuReading(str(name), int(used), int(memory.used), int(memory.total))

    return lambda: [read(handle) for handle in handles]


def run_nvidia_smi(visible: Sequence[str] | None) -> list[GpuReading]:
    """What the command says; raises OSError or subprocess.SubprocessError where it does not."""
    done = subprocess.run(
        ["nvidia-smi", f"--query-gpu={_QUERY}", "--format=csv,noheader,nounits"],
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    return parse_nvidia_smi(done.stdout, visible)


def parse_nvidia_smi(text: str, visible: Sequence[str] | None) -> list[GpuReading]:
    """Lines of values, of the job's GPUs; one that says `[N/A]` of itself is left out."""
    readings = []
    for line in text.splitlines():
        index, uuid, name, *numbers = [part.strip() for part in line.split(",")]
        is_ours = visible is None or index in visible or any(uuid.startswith(v) for v in visible)
        if is_ours and len(numbers) == 3 and all(number.isdigit() for number in numbers):
            utilization, used, total = (int(number) for number in numbers)
            readings.append(GpuReading(name, utilization, used * _MIB, total * _MIB))
    return readings


def read_environment() -> GpuReader:
    """The reader for this process."""
    return open_gpus(os.environ)
