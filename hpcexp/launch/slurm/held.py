"""`python -m hpcexp.launch.slurm.held EXPERIMENT`: a job that ends submits what is held.

Many jobs may end at once. One of them waits until the others are out of the queue and tries
then; those that come while it waits leave it at that, since it will see the room that they
make.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from hpcexp.errors import HpcexpError
from hpcexp.launch.slurm.hand_over import settle, submit_held
from hpcexp.launch.slurm.look import submit_look
from hpcexp.launch.slurm.search import submit_search
from hpcexp.launch.submit import read_resources, submitting
from hpcexp.store.experiment import read_plan
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.locks import LockedError, locked

WAIT_S = 20.0


def main() -> int:
    """Wait and submit; 0 also where there is no room, since the next job will try again."""
    experiment = ExperimentDir(Path(sys.argv[1]))
    try:
        with locked(experiment.held_lock_path, timeout_s=0.0):
            time.sleep(WAIT_S)
            outcome = try_to_submit(experiment)
    except LockedError:
        outcome = "another job is about to submit what is held"
    except OSError as error:
        outcome = f"what is held stays held: {error}"
    sys.stdout.write(f"hpcexp: {outcome}\n")
    return 0


def try_to_submit(experiment: ExperimentDir) -> str:
    """Submit what is held, as far as there is room; says what came of it."""
    try:
        with submitting(experiment):
            settle(experiment)
            resources = read_resources(read_plan(experiment))
            submitted = submit_held(experiment, resources)
            submit_look(experiment, resources)
            submit_search(experiment, resources)
    except (HpcexpError, OSError) as error:
        return f"what is held stays held: {error}"
    return f"submitted {sum(len(s.bundles) for s in submitted)} jobs that were held"


if __name__ == "__main__":
    sys.exit(main())
