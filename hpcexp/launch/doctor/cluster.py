"""The checks of a Slurm cluster."""

from __future__ import annotations

import shutil

from hpcexp.launch.doctor import slurm_accounts, slurm_answers, slurm_config, slurm_partitions
from hpcexp.launch.doctor.checking import Check, run_checks
from hpcexp.launch.doctor.findings import Report, warn
from hpcexp.launch.doctor.target import Target

ANSWERS = ("version", "controller")

CLUSTER_CHECKS: tuple[Check[Target], ...] = (
    Check("commands", slurm_answers.check_commands),
    Check("version", slurm_answers.check_version, ("commands",)),
    Check("controller", slurm_answers.check_controller, ("version",)),
    Check("queue", slurm_answers.check_queue, ANSWERS),
    Check("config", slurm_config.check_config, ANSWERS),
    Check("sacct", slurm_accounts.check_sacct, ("version",)),
    Check("limits", slurm_accounts.check_limits, ("version",), timeout_s=30.0),
    Check("partitions", slurm_partitions.check_partitions, ANSWERS),
    Check("acceptance", slurm_partitions.check_acceptance, ANSWERS),
)


def examine_cluster(target: Target) -> Report:
    """Run the checks; where there is no Slurm at all, that is the finding."""
    if not any(shutil.which(name) for name in slurm_answers.NEEDED):
        return Report((warn(
            "commands",
            "no Slurm on this machine (no sbatch on PATH): runs train here",
            todo="nothing, if this is not a cluster; on one, log in to its login node, or load "
            "its Slurm module",
        ),))  # fmt: skip
    return run_checks(CLUSTER_CHECKS, target)
