"""`python -m hpcexp.launch.doctor.node SCRATCH EXPERIMENTS`: the part that runs on the node."""

from __future__ import annotations

import argparse
import os
import socket
import time
from pathlib import Path

from hpcexp.launch.doctor import slurm_answers, slurm_partitions
from hpcexp.launch.doctor.checking import Check, run_checks
from hpcexp.launch.doctor.findings import Report, report_to_json
from hpcexp.launch.doctor.locking import take_lock
from hpcexp.launch.doctor.machine import examine_machine
from hpcexp.launch.doctor.node_script import HELLO, LOGIN_LOCK, NODE_LOCK, RESULT, SEEN
from hpcexp.launch.doctor.target import Target
from hpcexp.store.files import write_json

# As long as file systems are known to show an old listing of a directory, and some more.
ANSWER_TIMEOUT_S = 90.0
POLL_S = 0.1

# What a job asks of the cluster when it ends: held runs are submitted, the job is requeued.
FROM_A_JOB: tuple[Check[Target], ...] = (
    Check("commands", slurm_answers.check_commands),
    Check("version", slurm_answers.check_version, ("commands",)),
    Check("controller", slurm_answers.check_controller, ("version",)),
    Check("queue", slurm_answers.check_queue, ("version",)),
    Check("acceptance", slurm_partitions.check_acceptance, ("version",)),
)


def greet(scratch_dir: Path) -> dict[str, float | str | None]:
    """Let the login node know that somebody is here, and note when it has seen that.

    Both times are of this host's clock; `noticed` is None where no answer came.
    """
    with take_lock(scratch_dir / LOGIN_LOCK) as login_lock:
        pass
    with take_lock(scratch_dir / NODE_LOCK):
        greeted = time.time()
        write_json(
            scratch_dir / HELLO,
            {"host": name_this_node(), "login_lock": login_lock, "greeted": greeted},
        )
        noticed = wait_for_file(scratch_dir / SEEN, timeout_s=ANSWER_TIMEOUT_S)
    return {"greeted": greeted, "noticed": noticed}


def name_this_node() -> str:
    """As Slurm calls it, which its commands take; hosts may call themselves something else."""
    return os.environ.get("SLURMD_NODENAME") or socket.gethostname()


def wait_for_file(path: Path, *, timeout_s: float) -> float | None:
    """When a file appeared, by this host's clock; None where it did not."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if path.exists():
            return time.time()
        time.sleep(POLL_S)
    return None


def main() -> None:
    """Greet, look around, and write down what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("scratch_dir", "experiments_dir"):
        parser.add_argument(name, type=Path)
    for name in ("partition", "account", "qos", "constraint"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--gpus", type=int, default=0)
    given = vars(parser.parse_args())
    scratch_dir: Path = given.pop("scratch_dir")
    target = Target(**given)
    times = greet(scratch_dir)
    here = examine_machine(target.experiments_dir)
    cluster = run_checks(FROM_A_JOB, target)
    report = Report((*here.findings, *cluster.findings), (*here.not_checked, *cluster.not_checked))
    write_json(scratch_dir / RESULT, {**times, "report": report_to_json(report)})


if __name__ == "__main__":
    main()
