"""`python -m hpcexp.worker EXPERIMENT SUBMISSION INDEX`: a bundle in a process of its own."""

from __future__ import annotations

import sys

from hpcexp.errors import HpcexpError
from hpcexp.worker.bundle import open_experiment, run_bundle


def main() -> int:
    """Train the bundle; 0 also where runs failed, since their directories say so."""
    path, submission_id, index = sys.argv[1:]
    try:
        run_bundle(open_experiment(path), submission_id, int(index))
    except HpcexpError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
