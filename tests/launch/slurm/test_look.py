"""The job of a look: what sbatch gets, and what becomes of it where the cluster refuses."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from hpcexp.cli.deciding_view import describe_wait
from hpcexp.launch.slurm import commands
from hpcexp.launch.slurm.commands import Completed
from hpcexp.launch.slurm.look import submit_look
from hpcexp.launch.standings import is_look_job_live
from hpcexp.store.deciding import Deciding, DecidingPlan, LookJob, read_deciding, write_deciding
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.status import RunStatus, State
from hpcexp.store.submissions import make_submission, write_submission
from hpcexp.template import Resources
from tests.launch.extending import make

NAMES = ["rnn_width=4_rand_0", "rnn_width=6_rand_0"]
PAIR = ("rnn_width=4", "rnn_width=6")
PLAN = DecidingPlan("", "", "", "mse", "1 pair", (PAIR,), (2, 4), 0.05, "quadratic", 0.1, None)
RESOURCES = Resources(gpus=2, cpus=8, mem_gb=64, timeout="2d", partition="gpu", qos="long")


@dataclass
class Queue:
    """Answers as squeue and sbatch do; `live` are jobs by id and name."""

    live: dict[str, str] = field(default_factory=dict)
    refusal: str = ""
    is_silent: bool = False
    scripts: list[str] = field(default_factory=list)
    asked: list[tuple[str, ...]] = field(default_factory=list)

    def __call__(self, *argv: str, timeout_s: float = 30.0) -> Completed:
        self.asked.append(argv)
        if argv[0] == "squeue":
            if self.is_silent:
                return Completed(1, stderr="slurm_load_jobs error")
            names = next(a for a in argv if a.startswith("--name=")).removeprefix("--name=")
            return Completed(
                0,
                "".join(
                    f"{job_id}|{name}|PENDING|Priority|\n"
                    for job_id, name in self.live.items()
                    if name in names.split(",")
                ),
            )
        if argv[0] != "sbatch":
            return Completed(0)
        if self.refusal:
            return Completed(1, stderr=self.refusal)
        self.scripts.append(Path(argv[-1]).read_text())
        return Completed(0, f"{900 + len(self.scripts)}\n")


@pytest.fixture
def experiment(tmp_path: Path) -> ExperimentDir:
    """Two runs wait in array 77, and a plan of looks is there."""
    experiment = make(tmp_path)
    submission = make_submission(
        experiment, number=1, executor="slurm", bundles=[[name] for name in NAMES]
    )
    submission = dataclasses.replace(submission, job_ids=("77_0", "77_1"), job_name="runs")
    write_submission(experiment, submission)
    write_deciding(experiment, Deciding(PLAN))
    return experiment


def read_job(experiment: ExperimentDir) -> LookJob | None:
    deciding = read_deciding(experiment)
    assert deciding is not None
    return deciding.job


def test_a_look_is_a_small_job_that_waits_for_the_arrays(experiment: ExperimentDir) -> None:
    queue = Queue(live={"77_[0-1]": "runs"})
    with commands.using(queue):
        submit_look(experiment, RESOURCES)
    (script,) = queue.scripts
    for line in (
        "#SBATCH --dependency=afterany:77",
        "#SBATCH --cpus-per-task=1",
        "#SBATCH --mem=2GB",
        "#SBATCH --partition=gpu",
        "#SBATCH --qos=long",
    ):
        assert line in script.splitlines()
    assert "--array" not in script
    assert "gpus" not in script
    assert "srun" not in script
    assert f"-m hpcexp look {experiment.path} --slurm" in script.replace("'", "")
    job = read_job(experiment)
    assert job is not None
    assert (job.look, job.after, job.job_id) == (1, ("77",), "901")


def test_one_job_takes_a_look_however_often_it_is_asked_for(experiment: ExperimentDir) -> None:
    queue = Queue(live={"77_[0-1]": "runs"})
    with commands.using(queue):
        submit_look(experiment, RESOURCES)
        job = read_job(experiment)
        assert job is not None
        queue.live["901"] = job.job_name
        submit_look(experiment, RESOURCES)
    assert len(queue.scripts) == 1


def test_the_job_itself_asks_for_another_where_runs_still_train(
    experiment: ExperimentDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = Queue(live={"77_[0-1]": "runs"})
    with commands.using(queue):
        submit_look(experiment, RESOURCES)
        job = read_job(experiment)
        assert job is not None
        queue.live["901"] = job.job_name
        monkeypatch.setenv("SLURM_JOB_ID", "901")
        submit_look(experiment, RESOURCES)
    assert len(queue.scripts) == 2


def test_without_jobs_in_the_queue_there_is_nothing_to_wait_for(experiment: ExperimentDir) -> None:
    with commands.using(queue := Queue()):
        submit_look(experiment, RESOURCES)
    assert queue.scripts == []
    assert read_job(experiment) is None


def test_where_the_queue_is_full_jobs_that_end_try_again(experiment: ExperimentDir) -> None:
    queue = Queue({"77_[0-1]": "runs"}, refusal="QOSMaxSubmitJobPerUserLimit: MaxSubmitJobs")
    with commands.using(queue):
        submit_look(experiment, RESOURCES)
        job = read_job(experiment)
        assert job is not None
        assert "MaxSubmitJobs" in job.problem
        assert experiment.held_path.exists()
        queue.refusal = ""
        submit_look(experiment, RESOURCES)
    job = read_job(experiment)
    assert job is not None
    assert (job.job_id, job.problem) == ("901", "")
    assert not experiment.held_path.exists()


# ------------------------------------------------------------- whether its job still lives


@pytest.mark.parametrize(
    ("happened", "is_live", "said"),
    [
        ("it waits", True, "job 901 takes it when the jobs before it have ended"),
        ("it was cancelled", False, "job 901, which was to take it, is not in the queue any more"),
        ("squeue is silent", None, "job 901 takes it when the jobs before it have ended"),
    ],
)
def test_status_asks_whether_the_job_of_a_look_lives(
    experiment: ExperimentDir, happened: str, is_live: bool | None, said: str
) -> None:
    queue = Queue(live={"77_[0-1]": "runs"})
    with commands.using(queue):
        submit_look(experiment, RESOURCES)
        deciding = read_deciding(experiment)
        assert deciding is not None
        assert deciding.job is not None
        if happened == "it waits":
            queue.live["901"] = deciding.job.job_name
        queue.is_silent = happened == "squeue is silent"
        found = is_look_job_live(deciding)
    assert found is is_live
    waiting = {name: RunStatus(state=State.SUBMITTED) for name in NAMES}
    lines = list(describe_wait(experiment, deciding, waiting, is_job_live=found))
    assert said in lines[1]
