"""`python -m hpcexp.worker EXPERIMENT SUBMISSION [INDEX [RUN...]]`: a bundle in its own process."""

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

    The index is that of the element of the job array, unless it is given. Of a bundle that is
    trained by several processes, each is given its runs.
    """
    path, submission_id, *rest = sys.argv[1:]
    index = int(rest[0] if rest else os.environ["SLURM_ARRAY_TASK_ID"])
    try:
        end = run_bundle(open_experiment(path), submission_id, index, only=rest[1:])
    except (HpcexpError, OSError) as error:
        with suppress(OSError):
            sys.stderr.write(f"{show(error)}\n")
        return error.exit_code if isinstance(error, HpcexpError) else UNWRITTEN
    if end.interruption.signal is None:
        # A child that died of a signal dies for its parent, too: the batch shell asks for that.
        died = [128 - code for code in end.exit_codes if code < 0]
        if died or end.unwritten or any(end.exit_codes):
            return died[0] if died else UNWRITTEN
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
