"""The executables that the cluster needs, and where they are."""

import os
import shutil

# .ci/install-slurm looks for the same programs.
PROGRAMS = (
    "munged",
    "munge",
    "mariadbd",
    "mariadb-install-db",
    "slurmdbd",
    "slurmctld",
    "slurmd",
    "sbatch",
    "srun",
    "scancel",
    "scontrol",
    "squeue",
    "sinfo",
    "sacct",
    "sacctmgr",
)


def search_path() -> str:
    """The PATH to search: the caller's, and the folders that hold daemons on Debian."""
    return os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])


def find_program(name: str) -> str:
    """The path of an executable; its name alone where it is not installed."""
    return shutil.which(name, path=search_path()) or name


def find_missing_programs() -> list[str]:
    """Names of the executables that are not installed; empty where a cluster can start."""
    return [name for name in PROGRAMS if shutil.which(name, path=search_path()) is None]
