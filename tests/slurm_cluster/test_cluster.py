"""The cluster of the cluster tests is a real one: it schedules, accounts, requeues, and ends."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import submitit

from tests.slurm_cluster.cluster import ClusterError, SlurmCluster
from tests.slurm_cluster.daemon import Daemon
from tests.slurm_cluster.processes import find_processes, is_alive
from tests.slurm_cluster.waiting import wait_until

pytestmark = pytest.mark.slurm

TIMEOUT_S = 60


@pytest.fixture(autouse=True)
def nothing_left_over(slurm_cluster: SlurmCluster) -> Iterator[None]:
    """Undo what a test did, so that one that fails does not take the next one with it."""
    yield
    slurm_cluster.reset()


def test_an_array_job_gets_gpus_and_completes(slurm_cluster: SlurmCluster, tmp_path: Path) -> None:
    job_id = slurm_cluster.sbatch(
        "--array=0-1",
        "--gres=gpu:1",
        f"--output={tmp_path}/%a.out",
        "--wrap=srun bash -c 'echo $SLURM_ARRAY_TASK_ID $CUDA_VISIBLE_DEVICES'",
    )
    rows = slurm_cluster.wait_for_state(job_id, "COMPLETED", num_jobs=2, timeout_s=TIMEOUT_S)
    assert {row["JobID"] for row in rows} == {f"{job_id}_0", f"{job_id}_1"}
    assert all("gres/gpu=1" in row["AllocTRES"] for row in rows)
    printed = [(tmp_path / f"{index}.out").read_text().split() for index in range(2)]
    assert [index for index, _ in printed] == ["0", "1"]
    assert all(device in {"0", "1"} for _, device in printed)


def test_srun_spans_two_nodes(slurm_cluster: SlurmCluster, tmp_path: Path) -> None:
    job_id = slurm_cluster.sbatch(
        "--nodes=2",
        f"--output={tmp_path}/out",
        "--wrap=srun bash -c 'echo $SLURM_PROCID $SLURMD_NODENAME'",
    )
    slurm_cluster.wait_for_state(job_id, "COMPLETED", timeout_s=TIMEOUT_S)
    assert sorted((tmp_path / "out").read_text().splitlines()) == ["0 n1", "1 n2"]


def test_a_cancelled_job_is_cancelled(slurm_cluster: SlurmCluster) -> None:
    job_id = slurm_cluster.sbatch("--output=/dev/null", "--wrap=sleep 600")
    slurm_cluster.wait_until_running(job_id, timeout_s=TIMEOUT_S)
    assert [row["State"] for row in slurm_cluster.squeue()] == ["RUNNING"]
    slurm_cluster.run("scancel", job_id)
    slurm_cluster.wait_for_state(job_id, "CANCELLED", timeout_s=TIMEOUT_S)
    slurm_cluster.wait_until_idle(timeout_s=TIMEOUT_S)
    assert slurm_cluster.squeue() == []


def test_a_requeued_job_restarts_with_a_higher_count(
    slurm_cluster: SlurmCluster, tmp_path: Path
) -> None:
    starts_path = tmp_path / "starts"
    script = f"echo ${{SLURM_RESTART_COUNT:-0}} >>{starts_path}; sleep 600"
    job_id = slurm_cluster.sbatch("--output=/dev/null", f"--wrap={script}")

    def counts() -> list[str]:
        return starts_path.read_text().split() if starts_path.exists() else []

    wait_until(lambda: counts() == ["0"], timeout_s=TIMEOUT_S)
    slurm_cluster.run("scontrol", "requeue", job_id)
    wait_until(lambda: counts() == ["0", "1"], timeout_s=TIMEOUT_S)
    slurm_cluster.run("scancel", job_id)
    slurm_cluster.wait_for_state(job_id, "CANCELLED", timeout_s=TIMEOUT_S)
    attempts = slurm_cluster.sacct(job_id, restarts=True)
    assert [row["State"].split()[0] for row in attempts] == ["REQUEUED", "CANCELLED"]


def test_submitit_returns_the_result(slurm_cluster: SlurmCluster, tmp_path: Path) -> None:
    with slurm_cluster.activated():
        executor = submitit.AutoExecutor(folder=tmp_path, cluster="slurm")
        executor.update_parameters(timeout_min=2, cpus_per_task=2, gpus_per_node=1)
        job = executor.submit(divmod, 17, 5)
        slurm_cluster.wait_for_state(job.job_id, "COMPLETED", timeout_s=TIMEOUT_S)
        assert job.result() == (3, 2)


def test_a_node_that_is_down_loses_its_jobs_and_comes_back(slurm_cluster: SlurmCluster) -> None:
    job_id = slurm_cluster.sbatch(
        "--nodelist=n1", "--no-requeue", "--output=/dev/null", "--wrap=sleep 600"
    )
    slurm_cluster.wait_until_running(job_id, timeout_s=TIMEOUT_S)
    slurm_cluster.set_node_down("n1")
    slurm_cluster.wait_for_state(job_id, "NODE_FAIL", timeout_s=TIMEOUT_S)
    slurm_cluster.resume_node("n1")
    assert slurm_cluster.node_state("n1") == "idle"


@pytest.mark.parametrize("name", ["slurmctld", "slurmdbd", "n2"])
def test_a_daemon_can_be_away_while_a_job_runs(
    slurm_cluster: SlurmCluster, tmp_path: Path, name: str
) -> None:
    may_end_path = tmp_path / "may_end"
    script = f"until [ -e {may_end_path} ]; do sleep 0.1; done"
    job_id = slurm_cluster.sbatch("--nodelist=n2", "--output=/dev/null", f"--wrap={script}")
    slurm_cluster.wait_until_running(job_id, timeout_s=TIMEOUT_S)
    slurm_cluster.stop_daemon(name)
    assert name not in slurm_cluster.pids
    slurm_cluster.start_daemon(name)
    may_end_path.touch()
    slurm_cluster.wait_for_state(job_id, "COMPLETED", timeout_s=TIMEOUT_S)


def test_a_stopped_cluster_leaves_nothing_behind(slurm_cluster: SlurmCluster) -> None:
    with SlurmCluster(num_nodes=1) as other:
        root_dir = other.root_dir
        daemon_pids = set(other.pids.values())
        assert len(daemon_pids) == 5
        # A process in a session of its own, which Slurm itself would not find again.
        other.sbatch("--output=/dev/null", "--wrap=setsid --fork sleep 600; sleep 600")
        pids = _wait_for_sleepers(root_dir, num_sleepers=2)
        assert daemon_pids < set(pids)
        assert slurm_cluster.squeue() == []
    assert not root_dir.exists()
    assert [pid for pid in pids if is_alive(pid)] == []


def test_a_killed_session_leaves_nothing_behind() -> None:
    session = subprocess.Popen(
        [sys.executable, "-m", "tests.slurm_cluster", "--num-nodes=1"],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        text=True,
    )
    with session:
        assert session.stdout is not None
        conf_path = Path(session.stdout.readline().strip().removeprefix("export SLURM_CONF="))
        root_dir = conf_path.parent
        job = ["sbatch", "--output=/dev/null", "--wrap=sleep 600"]
        subprocess.run(job, env={**os.environ, "SLURM_CONF": str(conf_path)}, check=True)
        pids = _wait_for_sleepers(root_dir, num_sleepers=1)
        session.kill()
    wait_until(lambda: not root_dir.exists(), timeout_s=TIMEOUT_S)
    assert [pid for pid in pids if is_alive(pid)] == []


def test_limits_count_where_they_are_enforced() -> None:
    with SlurmCluster(num_nodes=1, max_array_size=3, enforce_limits=True) as strict:
        strict.run("sacctmgr", "--immediate", "modify", "user", "root", "set", "MaxSubmitJobs=2")
        with pytest.raises(ClusterError, match="Invalid job array"):
            strict.sbatch("--array=0-3", "--wrap=true")
        with pytest.raises(ClusterError, match="violates accounting/QOS policy"):
            strict.sbatch("--array=0-2", "--wrap=true")
        strict.sbatch("--array=0-1", "--output=/dev/null", "--wrap=sleep 600")


def test_a_daemon_that_does_not_start_is_reported_with_its_log(tmp_path: Path) -> None:
    daemon = Daemon(
        name="slurmctld",
        command=["sh", "-c", "echo no such port; exit 3"],
        env={},
        work_dir=tmp_path,
        log_path=tmp_path / "log",
        is_up=lambda: False,
    )
    daemon.launch()
    with pytest.raises(
        ClusterError, match=r"slurmctld ended with exit status 3(?s:.*)no such port"
    ):
        daemon.wait_until_up()


def _wait_for_sleepers(root_dir: Path, *, num_sleepers: int) -> list[int]:
    """All processes of the cluster, once the job on it runs as many `sleep`."""

    def pids_once_asleep() -> list[int]:
        pids = find_processes(root_dir)
        names = [Path("/proc", str(pid), "comm").read_text().strip() for pid in pids]
        return pids if names.count("sleep") == num_sleepers else []

    return wait_until(pids_once_asleep, timeout_s=TIMEOUT_S)
