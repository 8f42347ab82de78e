"""Slurm's commands, behind one door: a real cluster, or in tests a simulated one."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

NOT_FOUND, TIMED_OUT = 127, 124
TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Completed:
    """How a command ended and what it printed."""

    returncode: int
    stdout: str = ""
    stderr: str = ""

    @property
    def is_ok(self) -> bool:
        """Whether the command ended with 0."""
        return self.returncode == 0

    @property
    def problem(self) -> str:
        """The last line of what went wrong."""
        lines = [line.strip() for line in (self.stderr or self.stdout).splitlines() if line.strip()]
        return lines[-1] if lines else f"exit code {self.returncode}"


class Commands(Protocol):
    """Anything that answers as Slurm's commands do. It never raises."""

    def __call__(self, *argv: str, timeout_s: float = TIMEOUT_S) -> Completed:
        """Run a command and wait for it."""
        ...


def _run_process(*argv: str, timeout_s: float = TIMEOUT_S) -> Completed:
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            env=make_environment(),
        )
    except subprocess.TimeoutExpired:
        return Completed(TIMED_OUT, stderr=f"{argv[0]} did not answer within {timeout_s:.0f} s")
    except OSError as error:
        return Completed(NOT_FOUND, stderr=f"{argv[0]}: {error.strerror}")
    return Completed(done.returncode, done.stdout, done.stderr)


CLUSTER_VARIABLES = frozenset({"SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_CLUSTERS"})
# Ours, whatever the user's own settings and a surrounding job are: formats that we can read.
FORMAT_VARIABLES = {"SLURM_BITSTR_LEN": "0", "SLURM_TIME_FORMAT": "standard"}
_HIDDEN_PREFIXES = ("SLURM_", "SBATCH_", "SQUEUE_", "SACCT_", "SCANCEL_", "SRUN_")


def make_environment() -> dict[str, str]:
    """This environment without a surrounding job's variables, which sbatch would inherit.

    Those that lead to the cluster stay.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in CLUSTER_VARIABLES or not name.startswith(_HIDDEN_PREFIXES)
    }
    return kept | FORMAT_VARIABLES


_commands: Commands = _run_process


def run_command(*argv: str, timeout_s: float = TIMEOUT_S) -> Completed:
    """Run one of Slurm's commands. Never raises: 127 is a missing command, 124 a time-out."""
    return _commands(*argv, timeout_s=timeout_s)


@contextmanager
def using(commands: Commands) -> Iterator[None]:
    """Within, another cluster answers, such as a simulated one."""
    global _commands
    before, _commands = _commands, commands
    try:
        yield
    finally:
        _commands = before
