"""The text that Slurm's commands print, and the errors that they end with."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

from hpcexp.launch.slurm.commands import Completed
from tests.simulated_cluster.cluster import MIN_JOB_AGE_S, Cluster
from tests.simulated_cluster.jobs import Job, read_script

USER = "1000"
AWAY = "Unable to contact slurm controller (connect failure)"
NO_DATABASE = "sacct: error: Problem talking to the database: Connection refused"


class SimulatedSlurm:
    """Answers as Slurm's commands do; an instance is what `hpcexp.launch.slurm.commands` calls."""

    def __init__(
        self,
        cluster: Cluster,
        *,
        max_array_size: int = 1001,
        max_submit_jobs: int | None = None,
        tells_limits: bool = True,
        has_accounting: bool = True,
        may_requeue: bool = True,
        bucket: tuple[int, float] | None = None,
    ) -> None:
        self.cluster = cluster
        self.max_array_size, self.max_submit_jobs = max_array_size, max_submit_jobs
        self.tells_limits, self.has_accounting = tells_limits, has_accounting
        self.may_requeue = may_requeue
        self.is_database_up = True
        self.bucket, self.tokens, self.refilled = bucket, float((bucket or (0, 0))[0]), 0.0
        self.num_calls: Counter[str] = Counter()
        self.longest_wait_s = 0.0
        self.lose_next_answers = 0
        self.before_call: Callable[[str], None] = lambda _: None

    def __call__(self, *argv: str, timeout_s: float = 30.0) -> Completed:
        """Run a command."""
        name, *arguments = argv
        self.before_call(name)
        self.num_calls[name] += 1
        self._take_token()
        if name not in ("sacct", "sacctmgr") and not self.cluster.is_controller_up:
            return self._refuse(name, AWAY)
        return {
            "sbatch": self._sbatch,
            "squeue": self._squeue,
            "sacct": self._sacct,
            "scancel": self._scancel,
            "scontrol": self._scontrol,
            "sacctmgr": self._sacctmgr,
        }[name](arguments)

    def _refuse(self, name: str, text: str) -> Completed:
        says = {
            "sbatch": f"sbatch: error: Batch job submission failed: {text}\n",
            "squeue": f"slurm_load_jobs error: {text}\n",
            "scontrol": f"slurm_load_ctl_conf error: {text}\n",
            "scancel": f"scancel: error: slurm_kill_jobs2 error: {text}\n",
        }
        return Completed(1, stderr=says[name])

    def _take_token(self) -> None:
        """Slurm makes a client wait that asks too often."""
        if self.bucket is None:
            return
        size, per_second = self.bucket
        now = self.cluster.clock.now
        self.tokens = min(float(size), self.tokens + (now - self.refilled) * per_second)
        self.refilled = now
        self.tokens -= 1.0
        if self.tokens < 0:
            wait_s = -self.tokens / per_second
            self.longest_wait_s = max(self.longest_wait_s, wait_s)
            if self.cluster.current is None:
                self.cluster.clock.run_until(now + wait_s)

    # ------------------------------------------------------------------------ sbatch

    def _sbatch(self, arguments: list[str]) -> Completed:
        script = read_script(Path(arguments[-1]).read_text())
        if script.num_elements > self.max_array_size:
            return self._refuse("sbatch", "Invalid job array specification")
        limit = self.max_submit_jobs
        if limit is not None and self.cluster.count_queued() + script.num_elements > limit:
            stderr = "sbatch: error: AssocMaxSubmitJobLimit\n" + (
                "sbatch: error: Batch job submission failed: Job violates accounting/QOS policy "
                "(job submit limit, user's size and/or time limits)\n"
            )
            return Completed(1, stderr=stderr)
        array_id = self.cluster.submit(script)
        if self.lose_next_answers:
            self.lose_next_answers -= 1
            return self._refuse("sbatch", "Socket timed out on send/recv operation")
        return Completed(0, f"{array_id}\n")

    # ------------------------------------------------------------------------ squeue

    def _squeue(self, arguments: list[str]) -> Completed:
        options = _read_options(arguments)
        names = set(options["name"].split(",")) if "name" in options else None
        ids = set(options["jobs"].split(",")) if "jobs" in options else None
        shows_ended = options.get("states") == "all"
        jobs = [
            job
            for job in self._list_jobs(names)
            if (ids is None or job.id in ids) and self._is_shown(job, shows_ended)
        ]
        if ids is not None and not jobs:
            return self._refuse("squeue", "Invalid job id specified")
        lines = list(_format_jobs(jobs, options["format"], is_expanded="array" in options))
        return Completed(0, "".join(f"{line}\n" for line in lines))

    def _list_jobs(self, names: set[str] | None) -> list[Job]:
        return [
            job
            for elements in self.cluster.jobs.values()
            if names is None or elements[0].name in names
            for job in elements
        ]

    def _is_shown(self, job: Job, shows_ended: bool) -> bool:
        if job.ended is None or job.state == "COMPLETING":
            return True
        return shows_ended and self.cluster.clock.now - job.ended < MIN_JOB_AGE_S

    # ------------------------------------------------------------------------- sacct

    def _sacct(self, arguments: list[str]) -> Completed:
        if not self.has_accounting:
            return Completed(1, stderr="Slurm accounting storage is disabled\n")
        if not self.is_database_up:
            return Completed(1, stderr=f"{NO_DATABASE}\n")
        options = _read_options(arguments)
        since = datetime.fromisoformat(options["starttime"]).timestamp()
        names = set(options["name"].split(","))
        lines = []
        for job in self._list_jobs(names):
            if job.ended is not None and job.ended < since:
                continue
            seen = [
                entry
                for entry in self.cluster.accounts.get(job.id, [])
                if entry[0] <= self.cluster.clock.now
            ]
            if seen:
                _, state, exit_code, signal, node = seen[-1]
                where = node or "None assigned"
                lines.append(f"{job.id}|{job.name}|{state}|{exit_code}:{signal}|{where}\n")
        return Completed(0, "".join(lines))

    # ----------------------------------------------------------- scancel and scontrol

    def _scancel(self, arguments: list[str]) -> Completed:
        for job_id in (a for a in arguments if not a.startswith("-")):
            job = self.cluster.find_job(job_id)
            if job is not None:
                self.cluster.cancel(job, by=USER)
        return Completed(0)

    def _scontrol(self, arguments: list[str]) -> Completed:
        if arguments[0] == "requeue":
            job = self.cluster.find_job(arguments[1])
            if (
                not self.may_requeue
                or job is None
                or not self.cluster.requeue(job, cause="REQUEUE")
            ):
                return Completed(1, stderr="Requested operation is presently disabled\n")
            return Completed(0)
        if arguments[0] == "update":
            return Completed(0)
        if arguments[0] in ("uhold", "release"):
            for job_id in arguments[1].split(","):
                job = self.cluster.find_job(job_id)
                assert job is not None
                self.cluster.set_held(job, arguments[0] == "uhold")
            return Completed(0)
        return Completed(0, f"MaxArraySize            = {self.max_array_size}\n")

    def _sacctmgr(self, arguments: list[str]) -> Completed:
        if not self.tells_limits or not self.has_accounting or not self.is_database_up:
            return Completed(1, stderr="sacctmgr: error: Connection refused\n")
        limit = "" if self.max_submit_jobs is None else str(self.max_submit_jobs)
        return Completed(0, f"{limit}|\n" if "assoc" in arguments else "|\n")


def _read_options(arguments: list[str]) -> dict[str, str]:
    pairs = (a.removeprefix("--").partition("=") for a in arguments if a.startswith("--"))
    return {name: value for name, _, value in pairs}


def _format_jobs(jobs: list[Job], template: str, *, is_expanded: bool) -> Iterator[str]:
    """One line for each job; waiting elements of an array share one unless expanded."""
    shared: dict[tuple[int, str], list[Job]] = {}
    for job in jobs:
        if job.state == "PENDING" and not is_expanded:
            shared.setdefault((job.array_id, job.reason), []).append(job)
        else:
            yield _format(template, job, job.id)
    for (array_id, _), members in shared.items():
        yield _format(template, members[0], f"{array_id}_[{_shorten(members)}]")


def _shorten(jobs: list[Job]) -> str:
    ranges: list[list[int]] = []
    for index in sorted(job.index for job in jobs):
        if ranges and ranges[-1][1] == index - 1:
            ranges[-1][1] = index
        else:
            ranges.append([index, index])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in ranges)


def _format(template: str, job: Job, job_id: str) -> str:
    node = "" if job.state == "PENDING" else job.node
    values = {"i": job_id, "j": job.name, "T": job.state, "r": job.reason, "N": node}
    return re.sub(r"%([a-zA-Z])", lambda found: values[found[1]], template)
