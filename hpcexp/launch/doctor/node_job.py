"""Looking at a compute node through a short job: the part that runs on the login node."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hpcexp.errors import HpcexpError
from hpcexp.launch.doctor.findings import Finding, Report, error, passed, report_from_json, warn
from hpcexp.launch.doctor.job_watch import HOPELESS, JobWatch, describe_job
from hpcexp.launch.doctor.locking import take_lock
from hpcexp.launch.doctor.node_findings import (
    compare,
    judge_locks,
    judge_requeue,
    judge_sight,
    judge_skew,
    judge_srun,
)
from hpcexp.launch.doctor.node_script import (
    HELLO,
    JOB_LOG,
    LOGIN_LOCK,
    NO_PYTHON,
    NODE_LOCK,
    REQUEUE_ANSWER,
    REQUEUE_CODE,
    RESULT,
    SEEN,
    SRUN_CODE,
    list_submit_options,
    write_node_script,
)
from hpcexp.launch.doctor.place import Place
from hpcexp.launch.doctor.slurm_partitions import advise
from hpcexp.launch.doctor.target import Target
from hpcexp.launch.slurm.commands import run_command
from hpcexp.store.files import read_json, write_json, write_text

POLL_S = 0.1
SUBMIT_TIMEOUT_S = 60.0
HELLO_TIMEOUT_S = 120.0  # Python starts slowly where nobody has used it yet
# After the end of a job: what it wrote may take a while to be seen.
SIGHT_TIMEOUT_S = 20.0
RESULT_TIMEOUT_S = 240.0
REQUEUE_TIMEOUT_S = 30.0
END_TIMEOUT_S = 10.0
SHARED = (
    "experiments must lie on a file system that the nodes see under the same path and may write "
    "to: compare `ls -ld DIR` here and `srun ls -ld DIR`"
)


@dataclass(frozen=True)
class NodeReport:
    """What a job found on `node` by itself, and what both sides found about each other."""

    node: str = ""
    job_id: str = ""
    findings: tuple[Finding, ...] = ()
    on_node: Report = field(default_factory=Report)

    @property
    def has_errors(self) -> bool:
        """Whether anything will not work."""
        return self.on_node.has_errors or Report(self.findings).has_errors


class _CannotTellError(Exception):
    """The job did not come to look; `finding` says why."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.found)
        self.finding = finding


def examine_node(
    target: Target, login: Report, *, wait_s: float, announce: Callable[[str], None]
) -> NodeReport:
    """Submit a job that looks at a node, and compare; the job is gone when this returns.

    `login` is what the same checks found here. `announce` is told what the job waits for.
    Raises OSError where the directory of experiments cannot be written.
    """
    place = Place(target.experiments_dir)
    job_name = f"hpcexp-doctor-{uuid.uuid4().hex[:8]}"
    place.make_scratch()
    try:
        with _job(target, place.scratch_dir, job_name, announce) as watch:
            return _meet(target, login, place.scratch_dir, watch, wait_s=wait_s)
    except _CannotTellError as problem:
        return NodeReport(findings=(problem.finding,))
    finally:
        place.remove_scratch()


@contextmanager
def _job(
    target: Target, scratch_dir: Path, job_name: str, announce: Callable[[str], None]
) -> Iterator[JobWatch]:
    """Submit the job; cancel it at the end, whatever happens meanwhile."""
    script_path = scratch_dir / "node.sh"
    write_text(script_path, write_node_script(target, scratch_dir))
    options = list_submit_options(target, scratch_dir, job_name=job_name)
    watch = None
    try:
        told = run_command("sbatch", *options, str(script_path), timeout_s=SUBMIT_TIMEOUT_S)
        if not told.is_ok:
            found = f"sbatch refused it: {told.problem}"
            raise _CannotTellError(error("job", found, todo=advise(told.stderr)))
        watch = JobWatch(told.stdout.strip().partition(";")[0], announce=announce)
        yield watch
    finally:
        # By its name, since Ctrl-C may have come before its id was known.
        run_command("scancel", "--quiet", f"--name={job_name}")
        if watch is not None:
            _wait_until_gone(watch)


def _wait_until_gone(watch: JobWatch) -> None:
    """Until then it may still write into the directory that is removed next."""
    deadline = time.monotonic() + END_TIMEOUT_S
    quiet = JobWatch(watch.job_id, announce=lambda _: None)
    while quiet.look(at_once=True).job.is_live and time.monotonic() < deadline:
        time.sleep(0.3)


def _meet(
    target: Target, login: Report, scratch_dir: Path, watch: JobWatch, *, wait_s: float
) -> NodeReport:
    submitted = time.monotonic()
    with ExitStack() as locks:
        locks.enter_context(take_lock(scratch_dir / LOGIN_LOCK))
        hello = _wait_for_hello(scratch_dir, watch, wait_s=wait_s)
        seen, waited_s = time.time(), time.monotonic() - submitted
        with take_lock(scratch_dir / NODE_LOCK) as node_lock:
            pass
        answered = time.time()
        write_json(scratch_dir / SEEN, {"node_lock": node_lock})
        result = _wait_for_result(scratch_dir, watch)
    on_node = report_from_json(result["report"])
    code = _wait_for_text(scratch_dir / REQUEUE_CODE, timeout_s=REQUEUE_TIMEOUT_S)
    srun_code = _read_text(scratch_dir / SRUN_CODE)
    job = passed("job", f"{watch.job_id} ran on {hello['host']} after {waited_s:.0f} s")
    findings = [
        job if not srun_code else _fail("job", "ran without srun", scratch_dir, todo="see `srun`"),
        judge_srun(srun_code),
        judge_sight(result),
        judge_locks(hello["login_lock"], node_lock),
        judge_skew(result, seen=seen, answered=answered),
        *compare(login, on_node, target=target),
        judge_requeue(code, _read_text(scratch_dir / REQUEUE_ANSWER)),
    ]
    return NodeReport(
        hello["host"], watch.job_id, tuple(f for f in findings if f is not None), on_node
    )


def _wait_for_hello(scratch_dir: Path, watch: JobWatch, *, wait_s: float) -> dict[str, Any]:
    while (hello := _read_values(scratch_dir / HELLO)) is None:
        seen = watch.look()
        job, id_ = seen.job, watch.job_id
        if job.is_waiting and job.reason in HOPELESS:
            todo = (
                "with that reason it would wait for ever: give other options, such as --partition"
            )
            raise _CannotTellError(error("job", f"{id_} {describe_job(job)}", todo=todo))
        if job.is_waiting and seen.for_s > wait_s:
            found = f"{id_} still {describe_job(job)}, after {wait_s:.0f} s: cancelled"
            todo = "the node was not looked at: wait longer with --wait 1h, or choose another "
            raise _CannotTellError(warn("job", found, todo=f"{todo}--partition"))
        if job.is_live and not job.is_waiting and seen.for_s > HELLO_TIMEOUT_S:
            found = f"{id_} {describe_job(job)}, but nothing that it writes is seen here"
            raise _CannotTellError(_fail("job", found, scratch_dir, todo=SHARED))
        if not job.is_live:
            _explain_end(scratch_dir, watch, for_s=seen.for_s)
        time.sleep(POLL_S)
    return hello


def _explain_end(scratch_dir: Path, watch: JobWatch, *, for_s: float) -> None:
    """Raise why a job ended before it did its work, once that can be known."""
    found = f"{watch.job_id} {describe_job(watch.look().job)}"
    if host := _read_text(scratch_dir / NO_PYTHON):
        raise _CannotTellError(
            error(
                "job",
                f"{found}: this Python is not there on {host}",
                todo="make the environment on a file system that the nodes see under the same path",
            )
        )
    if _read_text(scratch_dir / JOB_LOG):
        todo = "its last lines say why; if a module must be loaded: --setup 'module load ...'"
        raise _CannotTellError(_fail("job", f"{found} early", scratch_dir, todo=todo))
    if for_s > SIGHT_TIMEOUT_S:
        nothing = f"{found}, and left nothing in {scratch_dir.parent}"
        raise _CannotTellError(error("job", nothing, todo=SHARED))


def _wait_for_result(scratch_dir: Path, watch: JobWatch) -> dict[str, Any]:
    deadline = time.monotonic() + RESULT_TIMEOUT_S
    while (result := _read_values(scratch_dir / RESULT)) is None:
        seen = watch.look()
        ended = not seen.job.is_live and seen.for_s > SIGHT_TIMEOUT_S
        if ended or time.monotonic() > deadline:
            found = f"{watch.job_id} {describe_job(seen.job)}, before it had looked at everything"
            raise _CannotTellError(
                _fail("job", found, scratch_dir, todo="try again; if it stays so, report it")
            )
        time.sleep(POLL_S)
    return result


def _fail(check: str, found: str, scratch_dir: Path, *, todo: str) -> Finding:
    last = _read_text(scratch_dir / JOB_LOG).splitlines()[-5:]
    return error(check, found, todo=todo, details=last)


def _wait_for_text(path: Path, *, timeout_s: float) -> str:
    deadline = time.monotonic() + timeout_s
    while not (text := _read_text(path)) and time.monotonic() < deadline:
        time.sleep(POLL_S)
    return text


def _read_text(path: Path) -> str:
    """Empty where there is nothing yet."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


def _read_values(path: Path) -> dict[str, Any] | None:
    """What the other side wrote; None where that cannot be seen yet."""
    if not path.exists():
        return None
    try:
        values: dict[str, Any] = read_json(path)
    except HpcexpError:  # a file system may show a name before what it stands for
        return None
    return values
