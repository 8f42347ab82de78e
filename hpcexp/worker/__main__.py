"""`python -m hpcexp.worker EXPERIMENT SUBMISSION [INDEX]`: a bundle in a process of its own."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

from hpcexp.errors import HpcexpError
from hpcexp.worker.bundle import open_experiment, run_bundle
from hpcexp.worker.exit_codes import ASK_SLURM, START_AGAIN, UNWRITTEN
from hpcexp.worker.interruption import Interruption
from hpcexp.worker.logs import let_go_of_full_streams
from hpcexp.worker.patience import show


def main() -> int:
    """Train the bundle; 0 also where runs failed, since their directories say so, else 1.

    The index is that of the element of the job array, unless it is given.
    """
    path, submission_id, *rest = sys.argv[1:]
    index = int(rest[0] if rest else os.environ["SLURM_ARRAY_TASK_ID"])
    try:
        end = run_bundle(open_experiment(path), submission_id, index)
    except (HpcexpError, OSError) as error:
        with suppress(OSError):
            sys.stderr.write(f"{show(error)}\n")
        return error.exit_code if isinstance(error, HpcexpError) else UNWRITTEN
    if end.interruption.signal is None and end.unwritten:
        return UNWRITTEN
    return choose_exit_code(end.interruption)


def choose_exit_code(interruption: Interruption) -> int:
    """What should become of the job: see `exit_codes`."""
    if interruption.signal is None:
        return 0
    return START_AGAIN if interruption.is_out_of_time else ASK_SLURM


if __name__ == "__main__":
    code = main()
    let_go_of_full_streams()
    sys.exit(code)
