"""What Slurm's commands print, and what it means; a table stands for the commands."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from hpcexp.launch.doctor import slurm_config
from hpcexp.launch.doctor.cluster import examine_cluster
from hpcexp.launch.doctor.findings import Finding, Level
from hpcexp.launch.doctor.slurm_accounts import check_limits, check_sacct
from hpcexp.launch.doctor.slurm_answers import check_controller, judge_version
from hpcexp.launch.doctor.slurm_config import JUDGES, check_config, parse_config
from hpcexp.launch.doctor.slurm_partitions import (
    advise,
    check_acceptance,
    judge_partitions,
    parse_sinfo,
)
from hpcexp.launch.doctor.target import Target
from hpcexp.launch.slurm.commands import Completed, using

TARGET = Target(Path("experiments"))

# As `scontrol show config` prints it.
CONFIG = """\
Configuration data as of 2026-01-05T10:00:00
AccountingStorageEnforce = associations,limits,qos
AccountingStorageType   = accounting_storage/slurmdbd
JobRequeue              = 1
KillWait                = 30 sec
MaxArraySize            = 1001
MaxJobCount             = 10000
MinJobAge               = 300 sec
PreemptMode             = OFF
SchedulerParameters     = (null)
SlurmctldParameters     = rl_enable,rl_bucket_size=40
"""

SINFO = """\
cpu*|up|infinite|10/2/4/16|(null)
gpu|up|1-00:00:00|1/0/1/2|gpu:a100:4(S:0-1)
gpu|up|1-00:00:00|0/3/0/3|gpu:h100:8,nvme:1
old|down|infinite|0/1/0/1|(null)
"""


class Answers:
    """Stands for the commands: answers by the words that a call holds, else fails."""

    def __init__(self, answers: Mapping[str, str | Completed]) -> None:
        self.answers = answers

    def __call__(self, *argv: str, timeout_s: float = 30.0) -> Completed:
        call = " ".join(argv)
        for words, answer in self.answers.items():
            if words in call:
                return Completed(0, answer) if isinstance(answer, str) else answer
        return Completed(1, stderr=f"{argv[0]}: error: no answer to {call}")


def judge(name: str, **settings: str) -> Finding:
    return JUDGES[name]({**parse_config(CONFIG), **settings})


def test_an_ordinary_configuration_passes() -> None:
    with using(Answers({"show config": CONFIG})):
        findings = check_config(TARGET)
    assert [f.check for f in findings] == list(JUDGES)
    assert {f.level for f in findings} == {Level.PASSED}


@pytest.mark.parametrize(
    ("name", "settings", "level", "words"),
    [
        ("MaxArraySize", {"MaxArraySize": "0"}, Level.ERROR, "no job arrays"),
        ("MaxArraySize", {"MaxArraySize": ""}, Level.WARN, "not told"),
        ("JobRequeue", {"JobRequeue": "0"}, Level.PASSED, "jobs ask for --requeue"),
        ("KillWait", {"KillWait": "5 sec"}, Level.WARN, "5 s to save"),
        ("PreemptMode", {"PreemptMode": "REQUEUE"}, Level.PASSED, "start again"),
        ("PreemptMode", {"PreemptMode": "CANCEL"}, Level.WARN, "cancelled"),
        ("PreemptMode", {"PreemptMode": "GANG,SUSPEND"}, Level.WARN, "keep their memory"),
        ("rate_limit", {}, Level.PASSED, "rl_enable,rl_bucket_size=40"),
        ("rate_limit", {"SlurmctldParameters": ""}, Level.PASSED, "none"),
        ("accounting", {"AccountingStorageType": "accounting_storage/none"}, Level.WARN, "none"),
        ("accounting", {"AccountingStorageType": ""}, Level.WARN, "not set"),
        ("enforcement", {"AccountingStorageEnforce": "none"}, Level.PASSED, "advice"),
    ],
)
def test_settings_are_judged(
    name: str, settings: Mapping[str, str], level: Level, words: str
) -> None:
    finding = judge(name, **settings)
    assert finding.level == level
    assert words in finding.found


def test_without_accounting_it_says_for_how_long_a_jobs_end_is_known() -> None:
    finding = judge("accounting", AccountingStorageType="", MinJobAge="60 sec")
    assert finding.todo.startswith("60 sec after a job has ended")
    assert judge("MinJobAge", AccountingStorageType="", MinJobAge="60 sec").level == Level.WARN


def test_a_judgement_that_breaks_is_an_error_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def break_(_: Mapping[str, str]) -> Finding:
        raise ValueError("an unforeseen value")

    monkeypatch.setattr(slurm_config, "JUDGES", {**JUDGES, "KillWait": break_})
    with using(Answers({"show config": CONFIG})):
        findings = {f.check: f for f in check_config(TARGET)}
    assert findings["KillWait"].level == Level.ERROR
    assert findings["MinJobAge"].level == Level.PASSED


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("slurm 25.11.1", Level.PASSED),
        ("slurm-wlm 22.05.8", Level.PASSED),
        ("slurm 20.02.0-0pre1", Level.PASSED),
        ("slurm 19.05.5", Level.ERROR),
        ("a new name", Level.WARN),
    ],
)
def test_versions_are_judged(text: str, level: Level) -> None:
    assert judge_version(text).level == level


@pytest.mark.parametrize(
    ("answer", "level"),
    [
        (Completed(0, "Slurmctld(primary) at head is UP\n"), Level.PASSED),
        (Completed(0, "Slurmctld(primary) is DOWN\nSlurmctld(backup) is UP\n"), Level.PASSED),
        (Completed(1, "Slurmctld(primary) at head is DOWN\n"), Level.ERROR),
        (Completed(124, stderr="scontrol did not answer within 12 s"), Level.ERROR),
    ],
)
def test_a_controller_is_up_while_one_of_them_is(answer: Completed, level: Level) -> None:
    with using(Answers({"ping": answer})):
        assert check_controller(TARGET).level == level


def test_accounting_that_does_not_answer_costs_causes_only() -> None:
    refused = Completed(1, stderr="sacct: error: Problem talking to the database: refused")
    with using(Answers({"sacct": refused})):
        finding = check_sacct(TARGET)
    assert finding.level == Level.WARN
    assert "Problem talking to the database" in finding.found
    assert "nothing is lost" in finding.todo


def test_limits_say_which_of_them_are_obeyed() -> None:
    answers = {
        "show assoc": "lab||normal,high|100||20||gres/gpu=8|||\nguests|cpu|normal||||||||\n",
        "show qos high,normal": "normal||||||\nhigh|50||||gres/gpu=4|1-00:00:00\n",
    }
    with using(Answers(answers)):
        finding = check_limits(TARGET)
    assert finding.level == Level.PASSED
    assert "account lab, guests; with limits:" in finding.found
    assert finding.details[0] == (
        "account lab: MaxSubmitJobs 100 (obeyed: jobs that end submit the rest)"
    )
    assert "account lab: MaxJobs 20 (the rest waits in the queue)" in finding.details
    assert any(line.startswith("QOS high: MaxTRESPerUser gres/gpu=4") for line in finding.details)
    assert len(finding.details) == 6


def test_limits_of_one_account_are_shown_where_one_is_named() -> None:
    answers = {"show assoc": "lab|||100|||||||\nguests|||7|||||||\n"}
    with using(Answers(answers)):
        finding = check_limits(Target(Path("experiments"), account="guests"))
    assert [line.split(" (")[0] for line in finding.details] == ["account guests: MaxSubmitJobs 7"]


def test_an_account_that_is_not_ones_own_is_told_with_those_that_are() -> None:
    with using(Answers({"show assoc": "lab||||||||||\n"})):
        finding = check_limits(Target(Path("experiments"), account="theirs"))
    assert finding.level == Level.WARN
    assert finding.found == "you are not in account theirs (yours: lab)"


def test_limits_that_nobody_tells_are_a_warning() -> None:
    with using(Answers({})):
        assert check_limits(TARGET).level == Level.WARN


def test_partitions_are_put_together_from_their_kinds_of_nodes() -> None:
    partitions = parse_sinfo(SINFO)
    assert [p.describe() for p in partitions] == [
        "cpu: 16 nodes (4 away), no GPUs, no time limit",
        "gpu: 5 nodes (1 away), gpu:a100:4(S:0-1) gpu:h100:8, at most 1-00:00:00",
        "old: 1 node, no GPUs, no time limit, closed",
    ]
    assert [p.name for p in partitions if p.is_default] == ["cpu"]


@pytest.mark.parametrize(
    ("wanted", "level", "words"),
    [
        (None, Level.PASSED, "default: cpu"),
        ("gpu", Level.PASSED, "asked for: gpu"),
        ("old", Level.WARN, "is closed"),
        ("none", Level.ERROR, "there are: cpu, gpu, old"),
    ],
)
def test_the_partition_that_jobs_use_is_judged(
    wanted: str | None, level: Level, words: str
) -> None:
    finding = judge_partitions(parse_sinfo(SINFO), wanted=wanted)
    assert finding.level == level
    assert words in finding.found


def test_without_a_default_partition_templates_must_name_one() -> None:
    finding = judge_partitions(parse_sinfo(SINFO.replace("*", "")), wanted=None)
    assert finding.level == Level.WARN
    assert "resources.partition" in finding.todo


def test_a_partition_all_of_whose_nodes_are_away_is_a_warning() -> None:
    finding = judge_partitions(parse_sinfo("cpu*|up|infinite|0/0/4/4|(null)"), wanted=None)
    assert "no node that takes jobs" in finding.found


def test_a_job_that_needs_an_account_is_an_error_that_says_how_to_name_one() -> None:
    said = "allocation failure: Invalid account or account/partition combination specified\n"
    with using(Answers({"--test-only": Completed(1, stderr=said)})):
        finding = check_acceptance(TARGET)
    assert finding.level == Level.ERROR
    assert "Invalid account" in finding.found
    assert "resources.account" in finding.todo


def test_a_job_is_tried_as_it_would_be_submitted() -> None:
    target = Target(Path("experiments"), "gpu", "lab", "high", "a100", 2)
    wanted = "--partition=gpu --account=lab --qos=high --constraint=a100 --gpus-per-node=2 --wrap"
    said = "sbatch: Job 7 to start at 2026-01-05T10:00:00 using 1 processors on nodes n1\n"
    with using(Answers({wanted: Completed(0, stderr=said)})):
        finding = check_acceptance(target)
    assert finding.level == Level.PASSED
    assert finding.found.endswith("start at 2026-01-05T10:00:00")


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        ("Invalid partition name specified", "resources.partition"),
        ("Invalid qos specification", "resources.qos"),
        ("Requested node configuration is not available", "%G"),
        ("Job violates accounting/QOS policy (job submit limit, user's size)", "as many jobs"),
        ("Lua says no", "administrators"),
    ],
)
def test_advice_fits_the_refusal(said: str, advice: str) -> None:
    assert advice in advise(said)


def test_a_machine_without_slurm_gets_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    report = examine_cluster(TARGET)
    (finding,) = report.findings
    assert finding.level == Level.WARN
    assert "no Slurm on this machine" in finding.found
    assert report.not_checked == ()
