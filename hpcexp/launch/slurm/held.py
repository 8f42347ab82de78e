"""`python -m hpcexp.launch.slurm.held EXPERIMENT`: a job that ends submits what is held.

Many jobs may end at once: whoever comes while another one submits, or has just found no room,
leaves it at that.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from hpcexp.errors import HpcexpError
from hpcexp.launch.slurm.hand_over import settle, submit_held
from hpcexp.launch.submit import read_resources, submitting
from hpcexp.store.experiment import read_plan
from hpcexp.store.layout import ExperimentDir

TRY_EVERY_S = 30.0


def main() -> int:
    """Submit; 0 also where there is no room, since the next job will try again."""
    experiment = ExperimentDir(Path(sys.argv[1]))
    try:
        tried = experiment.held_path.stat().st_mtime
        if 0 <= time.time() - tried < TRY_EVERY_S:
            return 0
        with submitting(experiment, timeout_s=1.0):
            settle(experiment)
            submitted = submit_held(experiment, read_resources(read_plan(experiment)))
    except (HpcexpError, OSError) as error:
        sys.stdout.write(f"hpcexp: what is held stays held: {error}\n")
        return 0
    num_jobs = sum(len(s.bundles) for s in submitted)
    sys.stdout.write(f"hpcexp: submitted {num_jobs} jobs that were held\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
