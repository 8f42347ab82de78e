"""Clean up after a cluster, also where the process that started it was killed.

    python -m tests.slurm_cluster.guard DIRECTORY [--keep]

It waits until its standard input is closed, which is what the end of its parent does, whatever
that end was. Then it kills what is left of the cluster and removes the directory.
"""

import shutil
import sys
from pathlib import Path

from tests.slurm_cluster.processes import end_processes


def main(arguments: list[str]) -> None:
    """Wait, kill and remove; with --keep the directory stays."""
    cluster_dir = Path(arguments[0])
    sys.stdin.read()
    end_processes(cluster_dir)
    if "--keep" not in arguments:
        shutil.rmtree(cluster_dir)


if __name__ == "__main__":
    main(sys.argv[1:])
