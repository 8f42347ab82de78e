"""What is concluded from run directories, owners and Slurm's answers."""

from __future__ import annotations

import os
import re
import shutil
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from hpcexp.errors import HpcexpError, RunOwnedError, SupersededError, UsageError
from hpcexp.launch import observe as observe_module
from hpcexp.launch.cancel import cancel
from hpcexp.launch.observe import Observation, observe, observe_all
from hpcexp.launch.resume import Choice, choose_resumable, choose_retriable, make_chooser
from hpcexp.launch.selection import select_runs
from hpcexp.launch.slurm.queue import QueueAnswer, ask_slurm
from hpcexp.launch.suggest import suggest_command
from hpcexp.store.files import write_json
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.ownership import acquire, read_process_start
from hpcexp.store.status import RunStatus, State, read_status, write_status
from hpcexp.store.submissions import (
    Driver,
    Submission,
    make_submission,
    read_submissions,
    write_submission,
)

RUNS = [f"rnn_width={width}_rand_{rand}" for width in (4, 6) for rand in (0, 1)]

PlaySlurm = Callable[..., None]


@pytest.fixture
def play_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PlaySlurm:
    """Puts `squeue`, `sacct` and `scancel` on the PATH that print what a test wants.

    The real ones are in test_slurm_cluster.py; here answers are needed that a healthy
    cluster does not give.
    """
    directory = tmp_path / "bin"
    directory.mkdir()
    monkeypatch.setenv("PATH", f"{directory}{os.pathsep}{os.environ['PATH']}")

    def play(*, squeue: str | None = "", sacct: str = "") -> None:
        for name, output in {"squeue": squeue, "sacct": sacct, "scancel": ""}.items():
            script = directory / name
            body = "exit 1" if output is None else f"cat <<'END'\n{output}\nEND"
            script.write_text(f"#!/bin/sh\necho {name} >> {directory}/calls\n{body}\n")
            script.chmod(0o755)

    return play


@pytest.fixture
def job_name(experiment: ExperimentDir) -> str:
    """All runs were submitted to Slurm as one array."""
    submission = make_submission(
        experiment, number=1, executor="slurm", bundles=[[name] for name in RUNS]
    )
    write_submission(experiment, submission)
    return submission.job_name


def states(observation: Observation) -> list[str]:
    return [str(status.state) for status in observation.statuses.values()]


def set_status(experiment: ExperimentDir, name: str, status: RunStatus) -> None:
    write_status(experiment.run(name), status)


def test_runs_are_pending_before_anything_was_submitted(experiment: ExperimentDir) -> None:
    observation = observe(experiment)
    assert states(observation) == ["pending"] * 4
    assert choose_resumable(observation) == RUNS


def test_the_queue_explains_which_runs_wait_and_accounting_why_others_are_gone(
    experiment: ExperimentDir, job_name: str, play_slurm: PlaySlurm, tmp_path: Path
) -> None:
    play_slurm(
        squeue=f"9_1|{job_name}|PENDING|Resources|\n9_2|{job_name}|RUNNING|None|n1",
        sacct=f"9_0|{job_name}|NODE_FAIL|0:0|n2\n9_3|{job_name}|CANCELLED by 0|0:0|",
    )
    observation = observe(experiment)
    assert states(observation) == ["node_failure", "submitted", "submitted", "cancelled"]
    reasons = [status.reason for status in observation.statuses.values()]
    assert reasons == [
        "node n2 failed (NODE_FAIL)",
        "waits in the queue (Resources)",
        "its job is running on n1",
        "its job was cancelled by 0, not with hpcexp",
    ]
    assert choose_resumable(observation) == [RUNS[0]]
    assert choose_resumable(observation, Choice(states=[State.CANCELLED])) == [RUNS[3]]
    assert (tmp_path / "bin" / "calls").read_text().split() == ["squeue", "sacct"]


def test_a_query_that_fails_is_no_verdict_and_nothing_is_resumed(
    experiment: ExperimentDir, job_name: str, play_slurm: PlaySlurm
) -> None:
    play_slurm(squeue=None)
    observation = observe(experiment)
    assert not observation.is_queue_known
    assert states(observation) == ["pending"] * 4
    for status in observation.statuses.values():
        assert re.match(r"unknown since .*: squeue did not answer \(exit code 1\)", status.reason)
    with pytest.raises(HpcexpError, match="squeue did not answer"):
        choose_resumable(observation)


def test_an_element_of_a_job_of_another_name_is_not_ours(
    experiment: ExperimentDir, job_name: str, play_slurm: PlaySlurm
) -> None:
    play_slurm(squeue="9_0|somebody_else|RUNNING|None|n1")
    assert states(observe(experiment)) == ["pending"] * 4


def test_a_run_whose_process_is_gone_is_lost_and_one_that_lives_is_running(
    experiment: ExperimentDir, job_name: str, play_slurm: PlaySlurm
) -> None:
    play_slurm(sacct=f"9_0|{job_name}|FAILED|0:9|n1")
    for name in RUNS[:2]:
        set_status(experiment, name, RunStatus(state=State.RUNNING, attempt=1))
    acquire(experiment.run(RUNS[1]))  # by this process, which is alive
    observation = observe(experiment)
    assert states(observation)[:2] == ["lost", "running"]
    assert observation.statuses[RUNS[0]].reason == "its process was killed by signal 9 on n1"
    assert RUNS[0] in choose_resumable(observation)
    assert RUNS[1] not in choose_resumable(observation)


def test_accounting_that_lags_behind_the_queue_names_no_end(
    experiment: ExperimentDir, job_name: str, play_slurm: PlaySlurm
) -> None:
    play_slurm(squeue="", sacct=f"9_0|{job_name}|RUNNING|0:0|n1")
    accepted = replace(read_submissions(experiment)[0], job_ids=("9_0", "9_1", "9_2", "9_3"))
    write_submission(experiment, accepted)
    set_status(experiment, RUNS[0], RunStatus(state=State.RUNNING, attempt=1))
    status = observe(experiment).statuses[RUNS[0]]
    assert status.state == State.LOST
    assert status.reason == (
        "its process is gone (its job has left the queue, and accounting does not say how it ended)"
    )


def test_slurm_is_not_asked_when_no_run_is_silent(
    experiment: ExperimentDir, job_name: str, play_slurm: PlaySlurm, tmp_path: Path
) -> None:
    play_slurm()
    for name in RUNS:
        set_status(experiment, name, RunStatus(state=State.COMPLETED))
    assert states(observe(experiment)) == ["completed"] * 4
    assert not (tmp_path / "bin" / "calls").exists()


@pytest.mark.parametrize(("is_alive", "state"), [(True, "submitted"), (False, "pending")])
def test_local_runs_wait_for_as_long_as_their_launcher_lives(
    experiment: ExperimentDir, is_alive: bool, state: str
) -> None:
    pid = os.getppid() if is_alive else 2**22 + 1
    submission = make_submission(
        experiment,
        number=1,
        executor="local",
        bundles=[[name] for name in RUNS],
        driver=Driver(socket.gethostname(), pid, read_process_start(pid)),
    )
    write_submission(experiment, submission)
    assert states(observe(experiment)) == [state] * 4


def test_a_damaged_status_is_shown_and_does_not_hide_the_others(
    experiment: ExperimentDir,
) -> None:
    experiment.run(RUNS[0]).status_path.write_text("{")
    observation = observe(experiment)
    assert states(observation) == ["lost", "pending", "pending", "pending"]
    assert "damaged" in observation.statuses[RUNS[0]].reason


def test_runs_are_selected_by_name_or_group_and_a_wrong_name_is_explained(
    experiment: ExperimentDir,
) -> None:
    observation = observe(experiment)
    assert select_runs(observation, ["rnn_width=6"]) == RUNS[2:]
    assert select_runs(observation, [RUNS[3], "rnn_width=6"]) == [RUNS[3], RUNS[2]]
    with pytest.raises(UsageError, match="did you mean rnn_width=6"):
        select_runs(observation, ["rnn_width=7"])


def test_cancelled_runs_are_resumed_only_when_named_and_are_pending_then(
    experiment: ExperimentDir,
) -> None:
    cancelled = cancel(experiment, RUNS[:1])
    assert cancelled.ended == (RUNS[0],)
    assert read_status(experiment.run(RUNS[0])).state == State.CANCELLED
    assert choose_resumable(observe(experiment)) == RUNS[1:]
    assert make_chooser(experiment, Choice(RUNS[:1]))() == RUNS[:1]
    assert read_status(experiment.run(RUNS[0])).state == State.PENDING
    assert not experiment.run(RUNS[0]).cancel_path.exists()


def test_a_run_that_failed_and_was_submitted_again_counts_as_submitted(
    experiment: ExperimentDir, job_name: str, play_slurm: PlaySlurm
) -> None:
    """What it ended with last time must not hide its new job: it would be submitted twice."""
    play_slurm(squeue=f"9_0|{job_name}|PENDING|Priority|")
    set_status(experiment, RUNS[0], RunStatus(state=State.FAILED, attempt=1))
    play_slurm(squeue="")
    assert RUNS[0] in make_chooser(experiment, Choice())()
    play_slurm(squeue=f"9_0|{job_name}|PENDING|Priority|")
    assert RUNS[0] not in choose_resumable(observe(experiment))


def test_several_experiments_are_one_question_and_a_damaged_one_hides_no_other(
    experiment: ExperimentDir, job_name: str, play_slurm: PlaySlurm, tmp_path: Path
) -> None:
    play_slurm(squeue=f"9_0|{job_name}|PENDING|Priority|")
    second, damaged = (ExperimentDir(tmp_path / "experiments" / name) for name in ("b", "c"))
    shutil.copytree(experiment.path, second.path)
    shutil.copytree(experiment.path, damaged.path)
    damaged.plan_path.write_text("{")
    observations, problems = observe_all([experiment, damaged, second])
    assert [o.experiment for o in observations] == [experiment, second]
    assert list(problems) == ["c"]
    assert "damaged" in problems["c"]
    assert (tmp_path / "bin" / "calls").read_text().split() == ["squeue", "sacct"]


VERDICTS = {
    "TIMEOUT|0:0|n1": ("timed_out", "its job's time was up after step 7"),
    "DEADLINE|0:0|n1": ("timed_out", "its job's time was up after step 7"),
    "PREEMPTED|0:0|n1": ("preempted", "its job was preempted on n1 after step 7"),
    "NODE_FAIL|0:0|n1": ("node_failure", "node n1 failed after step 7 (NODE_FAIL)"),
    "BOOT_FAIL|0:0|n1": ("node_failure", "node n1 failed after step 7 (BOOT_FAIL)"),
    "OUT_OF_MEMORY|0:125|n1": (
        "out_of_memory",
        "out of memory of the host: the kernel killed its process on n1 after step 7",
    ),
    "CANCELLED by 1000|0:0|n1": (
        "cancelled",
        "its job was cancelled by 1000 after step 7, not with hpcexp",
    ),
    "FAILED|0:9|n1": ("lost", "its process was killed by signal 9 on n1 after step 7"),
    "FAILED|137:0|n1": ("lost", "its process was killed by signal 9 on n1 after step 7"),
    "FAILED|1:0|n1": ("lost", "its process is gone (its job ended as FAILED on n1)"),
    "COMPLETED|0:0|n1": ("lost", "its process is gone (its job ended as COMPLETED on n1)"),
}


@pytest.mark.parametrize("verdict", VERDICTS)
def test_a_run_that_is_silent_in_training_is_explained_by_its_jobs_end(
    experiment: ExperimentDir, job_name: str, play_slurm: PlaySlurm, verdict: str
) -> None:
    set_status(experiment, RUNS[0], RunStatus(state=State.RUNNING, attempt=1, step=7))
    play_slurm(sacct=f"9_0|{job_name}|{verdict}")
    observation = observe(experiment)
    status = observation.statuses[RUNS[0]]
    assert (str(status.state), status.reason) == VERDICTS[verdict]
    assert experiment.name in suggest_command(observation, RUNS[0])
    is_retried = RUNS[0] in choose_retriable(observation)
    assert is_retried == (status.state != State.CANCELLED)


def test_what_a_run_wrote_down_itself_is_not_overruled(
    experiment: ExperimentDir, job_name: str, play_slurm: PlaySlurm
) -> None:
    reason = "the job's time limit is near"
    set_status(experiment, RUNS[0], RunStatus(State.TIMED_OUT, attempt=1, step=7, reason=reason))
    play_slurm(sacct=f"9_0|{job_name}|FAILED|75:0|n1")
    experiment.submission_dir("submission_001").mkdir()
    note = experiment.not_requeued_path("submission_001", 0)
    note.write_text("its time limit is near\nRequested operation is presently disabled\n")
    status = observe(experiment).statuses[RUNS[0]]
    assert status.state == State.TIMED_OUT
    assert status.reason == (
        f"{reason}; not started again: Requested operation is presently disabled"
    )
    play_slurm(squeue=f"9_0|{job_name}|PENDING|BeginTime|")
    status = observe(experiment).statuses[RUNS[0]]
    assert (status.state, status.reason) == (
        State.SUBMITTED,
        "timed out at step 7; waits in the queue (BeginTime)",
    )


def test_a_job_that_ended_before_its_run_began_has_failed(
    experiment: ExperimentDir, job_name: str, play_slurm: PlaySlurm
) -> None:
    play_slurm(sacct=f"9_0|{job_name}|FAILED|1:0|n1")
    observation = observe(experiment)
    status = observation.statuses[RUNS[0]]
    assert status.state == State.FAILED
    assert status.reason == "its job ended with exit code 1 on n1 before the run began"
    suggested = suggest_command(observation, RUNS[0])
    assert f"hpcexp logs {experiment.name} {RUNS[0]}" in suggested


def test_a_run_that_ended_while_slurm_was_asked_is_seen_to_have_ended(
    experiment: ExperimentDir, job_name: str, play_slurm: PlaySlurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_status(experiment, RUNS[0], RunStatus(state=State.RUNNING, attempt=1))
    play_slurm(sacct=f"9_0|{job_name}|COMPLETED|0:0|n1")
    ask = ask_slurm

    def end_then_ask(submissions: Sequence[Submission]) -> QueueAnswer:
        set_status(experiment, RUNS[0], RunStatus(state=State.COMPLETED, attempt=1))
        return ask(submissions)

    monkeypatch.setattr(observe_module, "ask_slurm", end_then_ask)
    assert observe(experiment).statuses[RUNS[0]].state == State.COMPLETED


def test_a_pattern_or_a_state_selects_runs(experiment: ExperimentDir) -> None:
    set_status(experiment, RUNS[1], RunStatus(state=State.FAILED))
    observation = observe(experiment)
    assert select_runs(observation, ["*_rand_0"]) == [RUNS[0], RUNS[2]]
    assert select_runs(observation, [], states=[State.FAILED]) == [RUNS[1]]
    assert select_runs(observation, ["*_rand_0"], states=[State.FAILED]) == []
    with pytest.raises(UsageError, match=r"no run or group that matches 'lr=\*'"):
        select_runs(observation, ["lr=*"])


def test_finished_runs_are_not_retried(experiment: ExperimentDir) -> None:
    set_status(experiment, RUNS[1], RunStatus(state=State.DIVERGED))
    set_status(experiment, RUNS[2], RunStatus(state=State.OUT_OF_MEMORY))
    observation = observe(experiment)
    assert choose_retriable(observation) == [RUNS[2]]
    with pytest.raises(UsageError, match="diverged has ended of its own"):
        choose_retriable(observation, Choice(states=[State.DIVERGED]))


def test_stealing_takes_a_run_from_an_owner_that_may_be_alive(experiment: ExperimentDir) -> None:
    set_status(experiment, RUNS[0], RunStatus(state=State.RUNNING, attempt=1))
    ownership = acquire(experiment.run(RUNS[0]))
    assert make_chooser(experiment, Choice(RUNS[:1]))() == []
    assert make_chooser(experiment, Choice(RUNS[:1], steal=True))() == RUNS[:1]
    with pytest.raises(SupersededError):
        ownership.check()
    assert acquire(experiment.run(RUNS[0])).attempt == 2


def test_the_owner_of_a_lost_run_is_evicted_so_that_its_next_attempt_need_not_wait(
    experiment: ExperimentDir, job_name: str, play_slurm: PlaySlurm
) -> None:
    """On another node, killed a moment ago: its heartbeat would count for minutes."""
    run_dir = experiment.run(RUNS[0])
    set_status(experiment, RUNS[0], RunStatus(state=State.RUNNING, attempt=1))
    owner = replace(acquire(run_dir).owner, host="n1")
    write_json(run_dir.owner_path, asdict(owner))
    past = time.time() - 100
    os.utime(run_dir.owner_path, (past, past))
    play_slurm(sacct=f"9_0|{job_name}|FAILED|0:9|n1")
    with pytest.raises(RunOwnedError):
        acquire(run_dir)
    assert RUNS[0] in make_chooser(experiment, Choice())()
    assert acquire(run_dir).attempt == 2


def test_how_a_worker_died_is_known_before_accounting_tells(
    experiment: ExperimentDir, job_name: str, play_slurm: PlaySlurm
) -> None:
    """squeue still shows the job, without its exit code; the batch shell wrote it down."""
    set_status(experiment, RUNS[0], RunStatus(state=State.RUNNING, attempt=1, step=7))
    experiment.submission_dir("submission_001").mkdir()
    note = experiment.not_requeued_path("submission_001", 0)
    note.write_text("its process was killed by signal 9\nstarted again 0 times, the most\n")
    play_slurm(squeue=f"9_0|{job_name}|FAILED|NonZeroExitCode|n1")
    status = observe(experiment).statuses[RUNS[0]]
    assert (status.state, status.reason) == (
        State.LOST,
        "its process was killed by signal 9 on n1 after step 7; "
        "not started again: started again 0 times, the most",
    )
