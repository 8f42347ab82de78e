"""Job arrays on Slurm, through submitit."""

from __future__ import annotations

import dataclasses
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from hpcexp.errors import HpcexpError, UsageError
from hpcexp.launch.executor import Executor, LaunchOptions, describe_needs, spell_count
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.submissions import Submission, write_submission
from hpcexp.template import Resources

CLUSTER_VARIABLES = frozenset({"SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_CLUSTERS"})
MAX_ARRAY_JOBS = 1000  # Slurm's usual MaxArraySize is 1001, and counts indices from 0
MIN_SIGNAL_DELAY_S, MAX_SIGNAL_DELAY_S = 20, 120


def has_slurm() -> bool:
    """Whether jobs can be submitted here: a login node of a cluster, not one of its jobs."""
    commands_exist = all(shutil.which(name) for name in ("sbatch", "srun", "squeue"))
    return commands_exist and "SLURM_JOB_ID" not in os.environ


class SlurmExecutor(Executor):
    """A job array, one element for each bundle."""

    is_detached = True
    max_bundles = MAX_ARRAY_JOBS

    def check(self) -> None:
        """Raise UsageError where there is no Slurm."""
        if not all(shutil.which(name) for name in ("sbatch", "srun")):
            raise UsageError(
                "there is no Slurm on this machine (no sbatch on PATH): nothing was created; "
                "train here with --local, or log in to the cluster"
            )

    def describe(self, num_bundles: int, resources: Resources, options: LaunchOptions) -> str:
        """What a launch would do, in a line for people."""
        del options
        arrays = spell_count(-(-num_bundles // MAX_ARRAY_JOBS), "array")
        where = f"partition {resources.partition}" if resources.partition else "default partition"
        return (
            f"would submit  {spell_count(num_bundles, 'job')} in {arrays}, {where}, "
            f"{describe_needs(resources)}, {resources.timeout} each"
        )

    def write_script(
        self, experiment: ExperimentDir, submission: Submission, resources: Resources
    ) -> str:
        """The script that `train` would hand to sbatch, without a Slurm at hand."""
        from submitit.slurm.slurm import _make_sbatch_string

        folder = experiment.submitit_dir(submission.id).absolute()
        python, place = shlex.quote(sys.executable), shlex.quote(str(folder))
        count = len(submission.bundles)
        text: str = _make_sbatch_string(
            command=f"{python} -u -m submitit.core._submit {place}",
            folder=folder,
            map_count=count if count > 1 else None,
            **to_submitit_parameters(resources, submission),
        )
        return text

    def train(
        self,
        experiment: ExperimentDir,
        submission: Submission,
        resources: Resources,
        options: LaunchOptions,
    ) -> bool:
        """Submit, and add the job ids to the submission's record.

        Raises UsageError where there is no Slurm, HpcexpError where sbatch refuses.
        """
        self.check()
        import submitit

        from hpcexp.worker.job import BundleJob

        del options
        executor = submitit.SlurmExecutor(folder=experiment.submitit_dir(submission.id))
        executor.update_parameters(**to_submitit_parameters(resources, submission))
        # Not resolved through symlinks: compute nodes may mount a file system elsewhere.
        job = BundleJob(os.path.abspath(experiment.path), submission.id)  # noqa: PTH100
        try:
            with outside_of_any_job():
                jobs = executor.map_array(job, range(len(submission.bundles)))
        except (submitit.core.utils.FailedJobError, subprocess.CalledProcessError) as error:
            raise HpcexpError(_describe_refusal(error, experiment)) from error
        job_ids = tuple(str(job.job_id) for job in jobs)
        write_submission(experiment, dataclasses.replace(submission, job_ids=job_ids))
        return True


@contextmanager
def outside_of_any_job() -> Iterator[None]:
    """Within, the variables of a surrounding job are gone, which sbatch would inherit.

    Those that lead to the cluster stay: submitit's own `clean_env` removes them too.
    """
    hidden = {
        name: value
        for name, value in os.environ.items()
        if name.startswith("SLURM_") and name not in CLUSTER_VARIABLES
    }
    for name in hidden:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(hidden)


def to_submitit_parameters(resources: Resources, submission: Submission) -> dict[str, Any]:
    """Our resources in submitit's and sbatch's words."""
    options = {
        "partition": resources.partition,
        "account": resources.account,
        "qos": resources.qos,
        "constraint": resources.constraint,
        "exclude": ",".join(resources.exclude) or None,
        "gpus_per_node": resources.gpus or None,
        "setup": list(resources.setup) or None,
    }
    return {
        "job_name": submission.job_name,
        "time": resources.timeout_min,
        "mem": f"{resources.mem_gb}GB",
        "cpus_per_task": resources.cpus,
        "nodes": 1,
        "ntasks_per_node": 1,
        # Slurm's own default throttles nothing; submitit's is 256.
        "array_parallelism": resources.max_parallel or len(submission.bundles),
        "signal_delay_s": choose_signal_delay_s(resources.timeout_min),
        "stderr_to_stdout": True,
        "wckey": None,  # submitit's default is refused by clusters that check keys
        # Since Slurm 22.05 srun does not inherit --cpus-per-task.
        "srun_args": [f"--cpus-per-task={resources.cpus}"],
        "additional_parameters": _choose_other_options(resources),
        **{name: value for name, value in options.items() if value is not None},
    }


def _choose_other_options(resources: Resources) -> dict[str, str | int | bool]:
    given = {name.replace("_", "-"): value for name, value in resources.sbatch.items()}
    return given if "no-requeue" in given else {"requeue": True, **given}


def choose_signal_delay_s(timeout_min: int) -> int:
    """How long before the time limit a job is told: a fifth of it, 20 s to 2 minutes."""
    return min(MAX_SIGNAL_DELAY_S, max(MIN_SIGNAL_DELAY_S, timeout_min * 60 // 5))


def cancel_jobs(job_ids: Sequence[str]) -> None:
    """Cancel jobs; those that have ended already are no error.

    Raises HpcexpError where Slurm does not answer.
    """
    if not job_ids:
        return
    done = subprocess.run(["scancel", "--quiet", *job_ids], capture_output=True, text=True)
    if done.returncode and "Invalid job id" not in done.stderr:
        raise HpcexpError(f"scancel failed: {done.stderr.strip()}")


def _describe_refusal(error: Exception, experiment: ExperimentDir) -> str:
    output = getattr(error, "stderr", None) or str(error)
    if isinstance(output, bytes):
        output = output.decode(errors="replace")
    last = [line for line in output.strip().splitlines() if line.strip()][-1:]
    return (
        f"sbatch refused: {' '.join(last)}\n"
        f"the experiment is kept; after mending the cause: hpcexp resume {experiment.name}"
    )
