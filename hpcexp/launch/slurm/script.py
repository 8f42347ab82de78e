"""The script that sbatch gets: submitit's, around our own worker.

No pickle is written: a job needs only the experiment's path, its submission and its index in
the array, which all exist before sbatch is called. A launch that is killed at any moment
leaves jobs that can train.
"""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any

from hpcexp.errors import UsageError
from hpcexp.launch.code import make_python_command, make_shell_lines
from hpcexp.launch.slurm.python import make_container_lines, make_python_words
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.submissions import Submission
from hpcexp.template import Resources
from hpcexp.worker.exit_codes import ASK_SLURM, START_AGAIN

MIN_SIGNAL_DELAY_S, MAX_SIGNAL_DELAY_S = 20, 120

# Run by the batch shell when the worker has ended, which must work also where it was killed
# and where Python cannot start any more. Slurm itself starts a job again only if it was
# preempted or lost its node.
AFTER_THE_WORKER = """
hpcexp_code=$?
hpcexp_job="${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}"
hpcexp_note=%(folder)s/not_requeued_"${SLURM_ARRAY_TASK_ID}"
hpcexp_why=
case $hpcexp_code in
  0) ;;
  %(start_again)d) hpcexp_why="its time limit is near" ;;
  %(ask_slurm)d)  # asked to end: preempted, unless somebody cancelled it
    case "$(squeue --noheader --jobs="$hpcexp_job" --format=%%T)" in
      RUNNING) hpcexp_why="it was asked to end, and not cancelled" ;;
    esac ;;
  130|143) ;;  # asked to end before the worker could listen
  *) if [ $hpcexp_code -gt 128 ]; then
       hpcexp_why="its process was killed by signal $((hpcexp_code - 128))"
     fi ;;
esac
rm -f "$hpcexp_note"
if [ -n "$hpcexp_why" ]; then
  hpcexp_restarts=${SLURM_RESTART_COUNT:-0}
  if [ "$hpcexp_restarts" -ge %(max_restarts)d ]; then
    hpcexp_not="started again $hpcexp_restarts times, the most that the template allows"
  elif hpcexp_not=$(scontrol requeue "$hpcexp_job" 2>&1); then
    hpcexp_not=
    echo "hpcexp: $hpcexp_why; the job is started again"
    sleep 60  # until Slurm ends this start of it
  else
    hpcexp_not=${hpcexp_not:-scontrol requeue failed without a word}
  fi
  if [ -n "$hpcexp_not" ]; then
    echo "hpcexp: $hpcexp_why; not started again: $hpcexp_not"
    printf '%%s\\n' "$hpcexp_why" "$hpcexp_not" > "$hpcexp_note"
  fi
elif [ -e %(held)s ]; then
  %(submit_held)s
fi
exit $hpcexp_code
"""


def write_script(experiment: ExperimentDir, submission: Submission, resources: Resources) -> str:
    """The text for sbatch: an array with one element for each bundle."""
    from submitit.slurm.slurm import _make_sbatch_string

    # Not resolved through symlinks: compute nodes may mount a file system elsewhere.
    place = ExperimentDir(type(experiment.path)(os.path.abspath(experiment.path)))  # noqa: PTH100
    check_path(place.path)
    folder = place.submission_dir(submission.id)
    worker = make_python_command(
        place,
        "hpcexp.worker",
        *(str(place.path), submission.id),
        python=make_python_words(place, resources),
    )
    log = f"{spell_in_pattern(folder)}/job_%a.log"
    parameters = to_submitit_parameters(resources, submission, log=log)
    # Last: a module that `setup` loads may set PYTHONPATH.
    lines = make_shell_lines(place)
    if setup := [*resources.setup, *lines, *make_container_lines(resources, lines)]:
        parameters["setup"] = setup
    text: str = _make_sbatch_string(
        command=shlex.join(worker),
        folder=folder,
        map_count=len(submission.bundles),
        **parameters,
        teardown=_write_teardown(place, submission, resources),
    )
    return text


def check_path(path: Path) -> None:
    """Raise UsageError for a path that a script of sbatch cannot spell.

    A line break ends its line of options, and what follows would be run. A backslash keeps
    Slurm from numbering the logs.
    """
    text = os.path.abspath(path)  # noqa: PTH100 (not resolved, see above)
    found = next((c for c in text if not c.isprintable() or c == "\\"), None)
    if found is not None:
        raise UsageError(
            f"{text!r}: the character {found!r} in the path cannot be given to Slurm; choose a "
            "directory without with --experiments-dir"
        )


def spell_in_pattern(folder: Path) -> str:
    """Of Slurm's patterns for file names, `%%` stands for a percent sign."""
    return str(folder).replace("%", "%%")


def _write_teardown(
    experiment: ExperimentDir, submission: Submission, resources: Resources
) -> list[str]:
    values = {
        "folder": shlex.quote(str(experiment.submission_dir(submission.id))),
        "held": shlex.quote(str(experiment.held_path)),
        "submit_held": shlex.join(
            make_python_command(experiment, "hpcexp.launch.slurm.held", str(experiment.path))
        ),
        "start_again": START_AGAIN,
        "ask_slurm": ASK_SLURM,
        "max_restarts": resources.max_restarts,
    }
    return (AFTER_THE_WORKER.strip() % values).splitlines()


def to_submitit_parameters(
    resources: Resources, submission: Submission, *, log: str
) -> dict[str, Any]:
    """Our resources in submitit's and sbatch's words; `log` is where a job prints."""
    options = {
        "partition": resources.partition,
        "account": resources.account,
        "qos": resources.qos,
        "constraint": resources.constraint,
        "exclude": ",".join(resources.exclude) or None,
        "gpus_per_node": resources.gpus or None,
    }
    return {
        "job_name": submission.job_name,
        "time": resources.timeout_min,
        "mem": f"{resources.mem_gb}GB",
        "cpus_per_task": resources.cpus,
        "nodes": resources.nodes,
        "ntasks_per_node": 1,
        # Slurm's own default throttles nothing; submitit's is 256.
        "array_parallelism": resources.max_parallel or len(submission.bundles),
        "signal_delay_s": choose_signal_delay_s(resources.timeout_min),
        "stderr_to_stdout": True,
        "wckey": None,  # submitit's default is refused by clusters that check keys
        # Since Slurm 22.05 srun does not inherit --cpus-per-task.
        "srun_args": [
            f"--output={log}",
            "--open-mode=append",
            f"--cpus-per-task={resources.cpus}",
            # The worker runs once, on the first node, and starts what runs on all of them.
            *(["--nodes=1", "--ntasks=1"] if resources.nodes > 1 else []),
        ],
        "additional_parameters": {"output": log, **_choose_other_options(resources)},
        **{name: value for name, value in options.items() if value is not None},
    }


def _choose_other_options(resources: Resources) -> dict[str, str | int | bool]:
    given = {n.replace("_", "-"): v for n, v in resources.sbatch.items() if v is not False}
    return given if "no-requeue" in given else {"requeue": True, **given}


def choose_signal_delay_s(timeout_min: int) -> int:
    """How long before the time limit a job is told: a fifth of it, 20 s to 2 minutes."""
    return min(MAX_SIGNAL_DELAY_S, max(MIN_SIGNAL_DELAY_S, timeout_min * 60 // 5))
