"""The batch script of the job with which the doctor looks at a compute node."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from hpcexp.launch.doctor.target import Target

TIME_LIMIT_MIN = 6
MEM_GB = 4  # of which a GPU's driver and torch take two or three

# Files in the scratch directory, by which the two sides talk.
HELLO, SEEN, RESULT = "hello.json", "seen.json", "result.json"
LOGIN_LOCK, NODE_LOCK = "login.lock", "node.lock"
JOB_LOG, NO_PYTHON, SRUN_CODE = "job.log", "no_python", "srun_code"
REQUEUE_CODE, REQUEUE_ANSWER = "requeue_code", "requeue_answer"

# As an experiment's job does it: srun around Python, then the batch shell asks for a requeue.
SCRIPT = """\
#!/bin/bash
# Written by `hpcexp doctor --node`; it may be removed.
if [ "${SLURM_RESTART_COUNT:-0}" -gt 0 ]; then exit 0; fi
cd_to=%(scratch)s
if [ ! -d "$cd_to" ]; then
  echo "$cd_to is not there on $(hostname)" >&2
  exit 1
fi
if [ ! -x %(python)s ]; then
  hostname > "$cd_to"/%(no_python)s
  exit 1
fi
%(setup)s
srun --nodes=1 --ntasks=1 %(command)s
code=$?
if [ ! -e "$cd_to"/%(result)s ]; then
  echo $code > "$cd_to"/%(srun_code)s
  %(command)s
fi
trap '' TERM  # that comes with the requeue
scontrol requeue "$SLURM_JOB_ID" > "$cd_to"/%(requeue_answer)s 2>&1
echo $? > "$cd_to"/requeue.tmp
mv "$cd_to"/requeue.tmp "$cd_to"/%(requeue_code)s
sleep 60  # until Slurm ends this start of it, or the doctor cancels it
"""


def write_node_script(target: Target, scratch_dir: Path) -> str:
    """The text for sbatch."""
    command = [
        *(sys.executable, "-m", "hpcexp.launch.doctor.node"),
        *(str(scratch_dir), str(target.experiments_dir)),
        *target.list_node_arguments(),
    ]
    return SCRIPT % {
        "scratch": shlex.quote(str(scratch_dir)),
        "python": shlex.quote(sys.executable),
        "setup": "\n".join(target.setup),
        "command": shlex.join(command),
        "no_python": NO_PYTHON,
        "result": RESULT,
        "srun_code": SRUN_CODE,
        "requeue_code": REQUEUE_CODE,
        "requeue_answer": REQUEUE_ANSWER,
    }


def list_submit_options(target: Target, scratch_dir: Path, *, job_name: str) -> list[str]:
    """The options of sbatch for that script."""
    log = str(scratch_dir / JOB_LOG).replace("%", "%%")  # which Slurm would fill in
    return [
        "--parsable",
        f"--job-name={job_name}",
        f"--time={TIME_LIMIT_MIN}",
        f"--mem={MEM_GB}G",
        *("--nodes=1", "--ntasks=1", "--cpus-per-task=1", "--requeue"),
        f"--output={log}",
        *target.list_sbatch_options(),
    ]
