"""Training in this process: for a debugger, and for a first look at a template."""

from __future__ import annotations

import os
from collections.abc import Sequence

from hpcexp.launch.executor import AttachedExecutor, LaunchOptions, spell_count
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.submissions import Submission
from hpcexp.template import Resources


class InlineExecutor(AttachedExecutor):
    """All bundles one after another, here."""

    def describe(
        self, bundles: Sequence[Sequence[str]], resources: Resources, options: LaunchOptions
    ) -> str:
        """What a launch would do, in a line for people."""
        del resources, options
        return f"would train   {spell_count(len(bundles), 'job')} one after another in this process"

    def train(
        self,
        experiment: ExperimentDir,
        submission: Submission,
        resources: Resources,
        options: LaunchOptions,
    ) -> bool:
        """Train; False where it was interrupted."""
        from hpcexp.worker.bundle import run_bundle

        del options
        os.environ.setdefault("HPCEXP_THREADS", str(resources.cpus))
        for index in range(len(submission.bundles)):
            end = run_bundle(experiment, submission.id, index)
            if end.interruption.signal is not None:
                return False
        return True
