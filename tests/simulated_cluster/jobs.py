"""Jobs of the simulated cluster, and the script they were submitted with."""

from __future__ import annotations

import re
import shlex
from collections.abc import Generator
from dataclasses import dataclass, field

Program = Generator[float, None, int]
"""Yields how many seconds pass until it looks around again; returns its exit code."""


@dataclass(frozen=True)
class Script:
    """What sbatch reads: the options, and the last command, which is the worker."""

    text: str
    options: dict[str, str]

    @property
    def worker_arguments(self) -> list[str]:
        """What stands behind `hpcexp.worker`: the experiment and the submission."""
        line = next(line for line in self.text.splitlines() if line.startswith("srun"))
        words = shlex.split(line)
        return words[words.index("hpcexp.worker") + 1 :]

    @property
    def num_elements(self) -> int:
        """Elements of the array."""
        found = re.match(r"0-(\d+)", self.options["array"])
        assert found, self.options["array"]
        return int(found[1]) + 1

    @property
    def max_parallel(self) -> int:
        """Elements that run at once."""
        return int(self.options["array"].partition("%")[2] or self.num_elements)

    @property
    def time_limit_s(self) -> float:
        """The time limit of each element."""
        return 60.0 * int(self.options["time"])

    @property
    def signal_delay_s(self) -> float:
        """How long before the limit the worker is told."""
        return float(self.options["signal"].partition("@")[2])


def read_script(text: str) -> Script:
    """Parse the `#SBATCH` lines."""
    options = {}
    for line in text.splitlines():
        if line.startswith("#SBATCH --"):
            name, _, value = line.removeprefix("#SBATCH --").partition("=")
            options[name] = shlex.split(value)[0] if value else ""
    return Script(text, options)


@dataclass(frozen=True)
class Start:
    """One start of a job: its process, and what that sees."""

    process: Program
    generation: int
    pid: int
    environment: dict[str, str]


@dataclass(eq=False)
class Job:
    """One element of an array.

    `state` is the controller's view. `truth` lists what really happened to it, with the time:
    each start, and each end with its cause. `generation` counts its starts, and
    `ended_generation` is the last that has ended, whether or not the controller knows.
    """

    array_id: int
    index: int
    script: Script
    submitted: float
    is_requeueable: bool
    state: str = "PENDING"
    reason: str = "Priority"
    node: str = ""
    begin: float = 0.0
    is_held: bool = False
    restarts: int = 0
    ended: float | None = None
    exit_code: int = 0
    signal: int = 0
    by: str = ""
    process: Program | None = None
    pid: int = 0
    signals: list[str] = field(default_factory=list)
    truth: list[tuple[float, str]] = field(default_factory=list)
    generation: int = 0
    ended_generation: int = -1

    @property
    def id(self) -> str:
        """Such as `77_3`."""
        return f"{self.array_id}_{self.index}"

    @property
    def name(self) -> str:
        """The name that it was submitted with."""
        return self.script.options["job-name"]

    @property
    def environment(self) -> dict[str, str]:
        """What Slurm sets for its processes."""
        return {
            "SLURM_JOB_ID": str(self.array_id + self.index),
            "SLURM_ARRAY_JOB_ID": str(self.array_id),
            "SLURM_ARRAY_TASK_ID": str(self.index),
            "SLURM_RESTART_COUNT": str(self.restarts),
            "SLURMD_NODENAME": self.node,
        }

    @property
    def is_over(self) -> bool:
        """Whether it has ended for good."""
        return self.ended is not None
