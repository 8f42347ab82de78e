"""`python -m hpcexp.worker EXPERIMENT SUBMISSION [INDEX]`: a bundle in a process of its own."""

from __future__ import annotations

import os
import sys

from hpcexp.errors import HpcexpError
from hpcexp.worker.bundle import open_experiment, run_bundle
from hpcexp.worker.exit_codes import ASK_SLURM, START_AGAIN
from hpcexp.worker.interruption import Interruption


def main() -> int:
    """Train the bundle; 0 also where runs failed, since their directories say so.

    The index is that of the element of the job array, unless it is given.
    """
    path, submission_id, *rest = sys.argv[1:]
    index = int(rest[0] if rest else os.environ["SLURM_ARRAY_TASK_ID"])
    try:
        interruption = run_bundle(open_experiment(path), submission_id, index)
    except HpcexpError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return choose_exit_code(interruption)


def choose_exit_code(interruption: Interruption) -> int:
    """What should become of the job: see `exit_codes`."""
    if interruption.signal is None:
        return 0
    return START_AGAIN if interruption.is_out_of_time else ASK_SLURM


if __name__ == "__main__":
    sys.exit(main())
