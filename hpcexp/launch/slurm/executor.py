"""Job arrays on Slurm."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from hpcexp.errors import HpcexpError, UsageError
from hpcexp.launch.executor import (
    DetachedExecutor,
    LaunchOptions,
    describe_needs,
    describe_packs,
    spell_count,
)
from hpcexp.launch.slurm.commands import run_command
from hpcexp.launch.slurm.hand_over import hand_over, settle, submit_held
from hpcexp.launch.slurm.look import submit_look
from hpcexp.launch.slurm.script import check_path, write_script
from hpcexp.launch.slurm.search import submit_search
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.submissions import Submission
from hpcexp.template import Resources

MAX_IDS_PER_CALL = 500


def has_slurm() -> bool:
    """Whether jobs can be submitted here: a login node of a cluster, not one of its jobs."""
    commands_exist = all(shutil.which(name) for name in ("sbatch", "srun", "squeue"))
    return commands_exist and "SLURM_JOB_ID" not in os.environ


class SlurmExecutor(DetachedExecutor):
    """A job array, one element for each bundle."""

    def check(self, experiments_dir: Path) -> None:
        """Raise UsageError where there is no Slurm, or where a script cannot spell the path."""
        check_path(experiments_dir)
        if not all(shutil.which(name) for name in ("sbatch", "srun")):
            raise UsageError(
                "there is no Slurm on this machine (no sbatch on PATH): nothing was created; "
                "train here with --local, or log in to the cluster"
            )

    def describe(
        self, bundles: Sequence[Sequence[str]], resources: Resources, options: LaunchOptions
    ) -> str:
        """What a launch would do, in a line for people."""
        del options
        where = f"partition {resources.partition}" if resources.partition else "default partition"
        return (
            f"would submit  {spell_count(len(bundles), 'job')}{describe_packs(bundles, resources)} "
            f"in 1 array, {where}, "
            f"{describe_needs(resources)}, {resources.timeout} each"
        )

    def write_script(
        self, experiment: ExperimentDir, submission: Submission, resources: Resources
    ) -> str:
        """The script that sbatch would get, without a Slurm at hand."""
        return write_script(experiment, submission, resources)

    def settle(self, experiment: ExperimentDir) -> None:
        """Find out what became of submissions whose command was killed."""
        settle(experiment)

    def submit_held(self, experiment: ExperimentDir, resources: Resources) -> list[Submission]:
        """Submit what waits for room under the cluster's limits, as far as there is room."""
        return submit_held(experiment, resources)

    def submit(
        self,
        experiment: ExperimentDir,
        run_names: Sequence[str],
        resources: Resources,
        *,
        is_changed: bool,
    ) -> list[Submission]:
        """Submit runs; returns the records.

        Raises UsageError where there is no Slurm, HpcexpError where sbatch refuses.
        """
        self.check(experiment.path.parent)
        return hand_over(experiment, run_names, resources, is_changed=is_changed)

    def submit_look(self, experiment: ExperimentDir, resources: Resources) -> None:
        """Have the next look taken by a job that waits for those that are in the queue."""
        submit_look(experiment, resources)
        submit_search(experiment, resources)


def cancel_jobs(job_ids: Sequence[str]) -> None:
    """Cancel jobs; those that have ended already are no error.

    Raises HpcexpError where Slurm does not answer.
    """
    for start in range(0, len(job_ids), MAX_IDS_PER_CALL):
        done = run_command("scancel", "--quiet", *job_ids[start : start + MAX_IDS_PER_CALL])
        if not done.is_ok and "Invalid job id" not in done.stderr:
            raise HpcexpError(f"scancel failed: {done.problem}")
