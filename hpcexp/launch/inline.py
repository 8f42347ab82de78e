"""Training in this process: for a debugger, and for a first look at a template."""

from __future__ import annotations

import os

from hpcexp.store.layout import ExperimentDir
from hpcexp.store.submissions import Submission
from hpcexp.template import Resources


def run_inline(experiment: ExperimentDir, submission: Submission, resources: Resources) -> bool:
    """Train all bundles here, one after another; False where it was interrupted."""
    from hpcexp.worker.bundle import run_bundle

    os.environ.setdefault("HPCEXP_THREADS", str(resources.cpus))
    for index in range(len(submission.bundles)):
        if run_bundle(experiment, submission.id, index).signal is not None:
            return False
    return True
