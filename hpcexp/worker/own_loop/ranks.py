"""Several processes of one run: started by `torchrun` on each node of the job.

The worker runs on the first node only. On several nodes it starts an agent on each with `srun`,
in a step that shares the job's resources with its own.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hpcexp.errors import OwnLoopError
from hpcexp.store.experiment import read_plan
from hpcexp.store.layout import RunDir

_PYTHON = re.compile(r"python(\d+(\.\d+)?)?")
_EXCEPTION = re.compile(
    r"(\[[^\]]*\]:)?\s*(?P<said>[A-Za-z_][\w.]*(Error|Exception|Interrupt)\b.*)"
)
# Before a time limit Slurm signals every step of a job. The ranks are told by a file, and agree
# on the step after which they stop; an agent that died of the signal would leave them behind.
_ON_EACH_NODE = 'trap "" USR2; exec "$0" -m torch.distributed.run --node-rank="$SLURM_NODEID" "$@"'
# They describe the step that the worker is, and would limit the one that it starts.
_OF_A_STEP = ("SLURM_CPU_BIND", "SLURM_STEP", "SLURM_DISTRIBUTION", "SLURM_NTASKS", "SLURM_NNODES")


@dataclass(frozen=True)
class Ranks:
    """Processes of one run: so many on each node."""

    num_nodes: int
    per_node: int


def find_ranks(run_dir: RunDir) -> Ranks:
    """As the template's resources say, and on Slurm the job.

    Raises OwnLoopError where there are not so many nodes.
    """
    resources = read_plan(run_dir.experiment).resources
    num_nodes = int(resources.get("nodes", 1))
    given = os.environ.get("SLURM_JOB_NUM_NODES", "1")
    if given.isdigit() and int(given) < num_nodes:
        raise OwnLoopError(
            f"resources.nodes is {num_nodes}, and here is {given}: launch it on Slurm, or with "
            "--set resources.nodes=1"
        )
    return Ranks(num_nodes, int(resources.get("processes_per_node", 1)))


def wrap_words(words: Sequence[str], ranks: Ranks, *, log_dir: Path) -> list[str]:
    """The command that starts all ranks of a program; the logs of each are in `log_dir`."""
    python, program = _split(words)
    shared = [f"--nproc-per-node={ranks.per_node}", f"--log-dir={log_dir}", "--redirects=3"]
    shared += ["--tee=0:3", "--max-restarts=0"]
    if ranks.num_nodes == 1:
        return [python, "-m", "torch.distributed.run", "--standalone", *shared, *program]
    host, port = _find_meeting_point()
    agent = [
        *("sh", "-c", _ON_EACH_NODE, python),
        *(f"--nnodes={ranks.num_nodes}", f"--master-addr={host}", f"--master-port={port}"),
        *shared,
        *program,
    ]
    step = [f"--nodes={ranks.num_nodes}", f"--ntasks={ranks.num_nodes}", "--ntasks-per-node=1"]
    return ["srun", "--overlap", "--kill-on-bad-exit=1", "--unbuffered", *step, *agent]


def clean_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Without what would limit a step inside the worker's own."""
    return {n: v for n, v in environment.items() if not n.startswith(_OF_A_STEP)}


def find_cause(log_dir: Path, lines: Sequence[str]) -> str:
    """What a rank died of: the last exception in its log, else in what was printed."""
    logs = sorted(log_dir.rglob("stderr.log"))
    texts = [path.read_text(errors="replace").splitlines() for path in logs]
    for text in [*texts, list(lines)]:
        for line in reversed(text):
            found = _EXCEPTION.match(line)
            if found and "ChildFailedError" not in line and "SignalException" not in line:
                return found["said"]
    return ""


def _split(words: Sequence[str]) -> tuple[str, list[str]]:
    """The interpreter, and what it runs; torchrun starts a program without one as it is."""
    first, *rest = words
    if _PYTHON.fullmatch(Path(first).name):
        return first, [word for i, word in enumerate(rest) if (i, word) != (0, "-u")]
    return "python3", ["--no-python", *words]


def _find_meeting_point() -> tuple[str, int]:
    """A name of this host, the first of the job, and a port that is free now."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return socket.gethostname(), int(probe.getsockname()[1])
