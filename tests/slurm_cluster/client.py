"""Asking a cluster with Slurm's own commands."""

import contextlib
import os
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.slurm_cluster.daemon import ClusterError
from tests.slurm_cluster.waiting import wait_until

COMMAND_TIMEOUT_S = 60
SACCT_FIELDS = (
    "JobID",
    "JobIDRaw",
    "JobName",
    "Partition",
    "State",
    "ExitCode",
    "Submit",
    "Start",
    "End",
    "NodeList",
    "ReqTRES",
    "AllocTRES",
)
SQUEUE_FIELDS = {
    "JobID": "%i",
    "JobIDRaw": "%A",
    "JobName": "%j",
    "Partition": "%P",
    "State": "%T",
    "Reason": "%r",
    "NodeList": "%N",
}
# Names of jobs and reasons may contain the usual "|", but not the ASCII unit separator.
SEPARATOR = "\x1f"
# What a surrounding Slurm job, or a user's habits, would impose on these commands.
_SLURM_VARIABLE_PREFIXES = (
    "SLURM_",
    "SLURMD_",
    "SBATCH_",
    "SRUN_",
    "SALLOC_",
    "SACCT_",
    "SCANCEL_",
    "SCONTROL_",
    "SINFO_",
    "SQUEUE_",
)


def without_slurm_variables(env: Mapping[str, str]) -> dict[str, str]:
    """The environment without anything that changes what Slurm's commands do."""
    return {
        name: value for name, value in env.items() if not name.startswith(_SLURM_VARIABLE_PREFIXES)
    }


class SlurmClient(ABC):
    """Slurm's commands, talking to the cluster that one slurm.conf describes."""

    @property
    @abstractmethod
    def slurm_conf_path(self) -> Path:
        """The slurm.conf that describes the cluster."""

    @property
    def env(self) -> dict[str, str]:
        """The environment for a process that is to talk to this cluster and no other."""
        return without_slurm_variables(os.environ) | {"SLURM_CONF": str(self.slurm_conf_path)}

    @contextlib.contextmanager
    def activated(self) -> Iterator[None]:
        """Make this the cluster that this process's own Slurm commands talk to, for a while."""
        before = dict(os.environ)
        inside = self.env
        os.environ.clear()
        os.environ.update(inside)
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)

    def run(
        self,
        *command: str | Path,
        check: bool = True,
        cwd: Path | None = None,
        timeout_s: float = COMMAND_TIMEOUT_S,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the cluster's environment and return its output as text.

        Raises ClusterError where it fails (unless check is False), or hangs for timeout_s.
        """
        text = " ".join(map(str, command))
        try:
            completed = subprocess.run(
                command,
                env=self.env,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise ClusterError(f"no answer within {timeout_s:g} s: {text}") from error
        if check and completed.returncode != 0:
            raise ClusterError(
                f"exit status {completed.returncode}: {text}\n{completed.stdout}{completed.stderr}"
            )
        return completed

    def sbatch(self, *arguments: str | Path, cwd: Path | None = None) -> str:
        """Submit a batch job and return its id; arguments are those of sbatch."""
        return self.run("sbatch", "--parsable", *arguments, cwd=cwd).stdout.strip()

    def sacct(
        self,
        job_id: str | int | None = None,
        *,
        name: str | None = None,
        steps: bool = False,
        restarts: bool = False,
    ) -> list[dict[str, str]]:
        """What accounting says: a row for each job, or each job with that id or name.

        An element of a job array is a row of its own once it has started. With steps, also a row
        for each step; with restarts, also a row for each earlier attempt of a requeued job.
        Accounting lags behind the queue by a moment. The keys are SACCT_FIELDS.
        """
        command = ["sacct", "--noheader", "--parsable2", f"--delimiter={SEPARATOR}"]
        command += ["--starttime=now-1days", f"--format={','.join(SACCT_FIELDS)}"]
        command += [f"--jobs={job_id}"] if job_id is not None else []
        command += [f"--name={name}"] if name is not None else []
        command += [] if steps else ["--allocations"]
        command += ["--duplicates"] if restarts else []
        return _rows(self.run(*command).stdout, SACCT_FIELDS)

    def squeue(self) -> list[dict[str, str]]:
        """The queue: a row for each job or element of a job array. The keys are SQUEUE_FIELDS."""
        fields = SEPARATOR.join(SQUEUE_FIELDS.values())
        queue = self.run("squeue", "--noheader", "--array", f"--format={fields}")
        return _rows(queue.stdout, tuple(SQUEUE_FIELDS))

    def node_state(self, node: str) -> str:
        """The state that sinfo shows, such as idle, mixed, allocated or down; * if unreachable."""
        rows = self.run("sinfo", "--noheader", f"--nodes={node}", "--format=%T").stdout.split()
        return rows[0]

    def cancel_all_jobs(self, *, timeout_s: float = 30) -> None:
        """Cancel whatever is queued or running, and wait until it is gone."""
        self.run("scancel", "--user=root")
        self.wait_until_idle(timeout_s=timeout_s)

    def wait_until_idle(self, *, timeout_s: float = 60) -> None:
        """Wait until no job is queued, running or ending.

        Raises ClusterError, with the queue, where that takes longer than timeout_s.
        """
        try:
            wait_until(lambda: not self.squeue(), timeout_s=timeout_s, poll_s=0.1)
        except TimeoutError as error:
            raise ClusterError(f"not idle after {timeout_s:g} s: {self.squeue()}") from error

    def wait_until_running(self, job_id: str | int, *, timeout_s: float = 30) -> None:
        """Wait until the queue shows the job, and all elements of its array, as running.

        Raises ClusterError, with the queue, where that takes longer than timeout_s.
        """

        def states() -> set[str]:
            rows = self.squeue()
            return {row["State"] for row in rows if row["JobID"].split("_")[0] == str(job_id)}

        try:
            wait_until(lambda: states() == {"RUNNING"}, timeout_s=timeout_s, poll_s=0.1)
        except TimeoutError as error:
            raise ClusterError(
                f"job {job_id} does not run after {timeout_s:g} s: {self.squeue()}"
            ) from error

    def wait_for_state(
        self, job_id: str | int, state: str, *, num_jobs: int = 1, timeout_s: float = 30
    ) -> list[dict[str, str]]:
        """Wait until accounting has the job, or all num_jobs elements of its array, in a state.

        Returns the rows of sacct. For the end of a job: accounting is seconds late, so a state in
        between may never be seen. Raises ClusterError, with what accounting and the queue say,
        where that takes longer than timeout_s.
        """

        def rows_in_state() -> list[dict[str, str]]:
            rows = self.sacct(job_id)
            # "CANCELLED by 0" names the user.
            reached = [row for row in rows if row["State"].split()[0] == state]
            return reached if len(reached) == len(rows) == num_jobs else []

        try:
            return wait_until(rows_in_state, timeout_s=timeout_s, poll_s=0.1)
        except TimeoutError as error:
            raise ClusterError(
                f"job {job_id} is not {state} after {timeout_s:g} s\n"
                f"  sacct: {self.sacct(job_id)}\n  squeue: {self.squeue()}"
            ) from error


def _rows(text: str, fields: tuple[str, ...]) -> list[dict[str, str]]:
    return [
        dict(zip(fields, line.split(SEPARATOR), strict=True)) for line in text.splitlines() if line
    ]
