"""The small job that takes the next look when the jobs of its runs have ended."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from hpcexp.launch.code import make_python_command, make_shell_lines
from hpcexp.launch.slurm.hand_over import mark_held
from hpcexp.launch.slurm.queue import ask_slurm, find_array
from hpcexp.launch.slurm.sbatch import call_sbatch
from hpcexp.launch.slurm.script import check_path, spell_in_pattern, to_submitit_parameters
from hpcexp.store.deciding import LookJob, read_deciding, write_deciding
from hpcexp.store.files import write_text
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.submissions import Stage, Submission, read_submissions
from hpcexp.template import Resources

NEEDS = {"gpus": 0, "cpus": 1, "mem_gb": 2, "timeout": "1h"}


def submit_look(experiment: ExperimentDir, resources: Resources) -> None:
    """Submit the job of the next look, under the submission lock, unless it waits already.

    Where no job of the experiment is in the queue there is nothing to wait for, and the look is
    left to `hpcexp resume`. Where the cluster takes no more jobs, those that end try again.
    """
    deciding = read_deciding(experiment)
    if deciding is None or deciding.is_over:
        return
    after = list_live_arrays(experiment)
    number = len(deciding.looks) + 1
    if not after or _is_waiting(deciding.job, number, after):
        return
    job = LookJob(_make_name(experiment, number, after), after, time.time(), look=number)
    path = experiment.look_dir(number) / "look.sh"
    path.parent.mkdir(exist_ok=True)
    write_text(path, write_look_script(experiment, job, resources))
    # A job of which nobody knows takes its look all the same, or finds it taken.
    write_deciding(experiment, dataclasses.replace(deciding, job=job))
    job_id, done = call_sbatch(path, job_name=job.job_name)
    job = dataclasses.replace(job, job_id=job_id, problem="" if job_id else done.problem)
    write_deciding(experiment, dataclasses.replace(deciding, job=job))
    mark_held(experiment)


def write_look_script(experiment: ExperimentDir, job: LookJob, resources: Resources) -> str:
    """The text for sbatch: `hpcexp look`, once the arrays have ended in whatever way."""
    # Not resolved through symlinks: compute nodes may mount a file system elsewhere.
    place = ExperimentDir(type(experiment.path)(os.path.abspath(experiment.path)))  # noqa: PTH100
    check_path(place.path)
    folder = place.look_dir(job.look)
    named = Submission(job.job_name, "slurm", job.job_name, job.created, ((),))
    return write_dependent_script(
        place, "look", named, folder=folder, after=job.after, resources=resources
    )


def write_dependent_script(
    place: ExperimentDir,
    subcommand: str,
    named: Submission,
    *,
    folder: Path,
    after: Sequence[str],
    resources: Resources,
) -> str:
    """The text for sbatch of a small job that runs `hpcexp SUBCOMMAND EXP_DIR --slurm`.

    It begins once the arrays `after` have ended in whatever way. The copy of the code that the
    launch made is used if it knows the subcommand.
    """
    from submitit.slurm.slurm import _make_sbatch_string

    has_copy = any(place.code_dir.glob(f"**/hpcexp/cli/{subcommand}.py"))
    arguments = (subcommand, str(place.path), "--slurm")
    command = (
        make_python_command(place, "hpcexp", *arguments)
        if has_copy
        else [sys.executable, "-u", "-m", "hpcexp", *arguments]
    )
    small = resources.model_copy(update=NEEDS)
    parameters = to_submitit_parameters(
        small, named, log=f"{spell_in_pattern(folder)}/{subcommand}.log"
    )
    del parameters["srun_args"]
    if setup := [*resources.setup, *(make_shell_lines(place) if has_copy else [])]:
        parameters["setup"] = setup
    text: str = _make_sbatch_string(
        command=shlex.join(command),
        folder=folder,
        dependency=f"afterany:{':'.join(after)}",
        use_srun=False,  # it submits jobs itself
        **parameters,
    )
    return text


def list_live_arrays(experiment: ExperimentDir) -> tuple[str, ...]:
    """Arrays with an element in the queue; none where Slurm does not answer."""
    submissions = [s for s in read_submissions(experiment) if s.stage == Stage.SUBMITTED]
    names = {name for name, _ in ask_slurm(submissions).live}
    arrays = {
        job_id.partition("_")[0]
        for submission in submissions
        if submission.job_name in names
        for job_id in submission.job_ids
    }
    return tuple(sorted(arrays, key=lambda array_id: (len(array_id), array_id)))


def _is_waiting(job: LookJob | None, number: int, after: tuple[str, ...]) -> bool:
    if job is None or (job.look, job.after) != (number, after):
        return False
    is_this = bool(job.job_id) and job.job_id == os.environ.get("SLURM_JOB_ID")
    return not is_this and bool(find_array(job.job_name))


def _make_name(experiment: ExperimentDir, number: int, after: tuple[str, ...]) -> str:
    """Unique on the cluster: the arrays that it waits for are part of it."""
    place = str(experiment.path.resolve())
    digest = hashlib.blake2s(f"{place}:{after}:{time.time()}".encode(), digest_size=3).hexdigest()
    return f"{experiment.short_name}.{experiment.timestamp}.look{number}.{digest}"
