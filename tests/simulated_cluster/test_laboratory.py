"""Whole experiments on the simulated cluster, without faults and under limits."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpcexp.errors import HpcexpError
from hpcexp.launch.observe import observe
from hpcexp.launch.slurm.change import change_jobs, hold_jobs, release_jobs, share_throttle
from hpcexp.launch.submit import Wish, submit_runs
from hpcexp.store.experiment import read_plan
from hpcexp.store.status import State
from hpcexp.store.submissions import Stage, read_submissions
from tests.simulated_cluster.laboratory import Laboratory
from tests.simulated_cluster.worker import Work


def test_an_experiment_completes_each_run_once(tmp_path: Path) -> None:
    laboratory = Laboratory(tmp_path)
    with laboratory.open():
        experiment = laboratory.prepare(num_groups=3, rand_inits=4)
        handed = laboratory.launch(experiment)
        assert (handed.num_jobs, handed.num_held) == (12, 0)
        assert laboratory.slurm.num_calls == {"sbatch": 1, "scontrol": 1, "sacctmgr": 1}
        laboratory.cluster.run()
        observation = observe(experiment)
    assert observation.count(State.COMPLETED) == 12
    assert set(laboratory.worker.num_ends.values()) == {1}


def test_what_waits_and_what_runs_is_told_by_one_question(tmp_path: Path) -> None:
    laboratory = Laboratory(tmp_path, num_nodes=1, slots_per_node=2)
    with laboratory.open():
        experiment = laboratory.prepare()
        laboratory.launch(experiment)
        laboratory.slurm.num_calls.clear()
        laboratory.cluster.run(until=laboratory.cluster.clock.now + 60)
        observation = observe(experiment)
    assert observation.count(State.RUNNING) == 2
    assert observation.count(State.SUBMITTED) == 2
    assert laboratory.slurm.num_calls == {"squeue": 1}


def test_a_run_longer_than_its_time_limit_completes_through_requeues(tmp_path: Path) -> None:
    laboratory = Laboratory(tmp_path, work_of=lambda _: Work(num_steps=3000))
    with laboratory.open():
        experiment = laboratory.prepare(timeout="30m")
        laboratory.launch(experiment)
        laboratory.cluster.run()
        observation = observe(experiment)
    assert observation.count(State.COMPLETED) == 4
    assert all(s.attempt == 6 for s in observation.statuses.values())
    assert len(read_submissions(experiment)) == 1


def test_no_more_jobs_are_submitted_than_the_cluster_allows(tmp_path: Path) -> None:
    laboratory = Laboratory(tmp_path, max_submit_jobs=5)
    with laboratory.open():
        experiment = laboratory.prepare(num_groups=4, rand_inits=3)
        assert laboratory.launch(experiment).num_jobs == 5
        laboratory.cluster.run()
        observation = observe(experiment)
    assert observation.count(State.COMPLETED) == 12
    assert laboratory.slurm.num_calls["sbatch"] == 1


def test_where_there_is_room_for_some_jobs_the_others_are_submitted_by_those_that_end(
    tmp_path: Path,
) -> None:
    laboratory = Laboratory(tmp_path, max_submit_jobs=10)
    with laboratory.open():
        other, experiment = laboratory.prepare(rand_inits=3), laboratory.prepare(num_groups=6)
        laboratory.launch(other)
        handed = laboratory.launch(experiment)
        assert (handed.num_jobs, handed.num_held) == (4, 6)
        assert experiment.held_path.exists()
        assert observe(experiment).count(State.SUBMITTED) == 6  # two jobs have two runs
        laboratory.cluster.run()
        assert observe(experiment).count(State.COMPLETED) == 12
    assert not experiment.held_path.exists()
    assert set(laboratory.worker.num_ends.values()) == {1}


def test_what_waits_for_room_is_on_hold_as_well_until_it_is_released(tmp_path: Path) -> None:
    laboratory = Laboratory(tmp_path, max_submit_jobs=10, num_nodes=1, slots_per_node=2)
    with laboratory.open():
        other, experiment = laboratory.prepare(rand_inits=3), laboratory.prepare(num_groups=6)
        laboratory.launch(other)
        laboratory.launch(experiment)
        held = hold_jobs(experiment)
        assert (held.num_waiting, held.num_at_work, held.num_unsubmitted) == (4, 0, 6)
        laboratory.cluster.run(until=laboratory.cluster.clock.now + 30 * 24 * 3600)
        assert observe(other).count(State.COMPLETED) == 6
        assert observe(experiment).count(State.COMPLETED) == 0
        assert not laboratory.resume(experiment).submissions  # which submits what is held
        change_jobs(experiment, {"partition": "long"})
        release_jobs(experiment)
        assert {s.stage for s in read_submissions(experiment)} <= {"submitted", "given_up"}
        laboratory.finish(experiment)
        assert observe(experiment).count(State.COMPLETED) == 12
    scripts = [p.read_text() for p in sorted(experiment.jobs_dir.glob("*/submission.sh"))]
    assert ["--partition=long" in script for script in scripts] == [False, True]
    assert set(laboratory.worker.num_ends.values()) == {1}


def test_limits_that_nobody_tells_show_in_refusals(tmp_path: Path) -> None:
    laboratory = Laboratory(tmp_path, max_submit_jobs=5, tells_limits=False)
    with laboratory.open():
        experiment = laboratory.prepare(num_groups=4, rand_inits=4)
        handed = laboratory.launch(experiment)
        assert (handed.num_jobs, handed.num_held) == (4, 12)
        assert laboratory.slurm.num_calls["sbatch"] == 3
        laboratory.finish(experiment)
        assert observe(experiment).count(State.COMPLETED) == 16
    assert set(laboratory.worker.num_ends.values()) == {1}


def test_without_any_room_nothing_is_submitted_and_resume_does_it_later(tmp_path: Path) -> None:
    laboratory = Laboratory(tmp_path, max_submit_jobs=4)
    with laboratory.open():
        other, experiment = laboratory.prepare(), laboratory.prepare()
        laboratory.launch(other)
        with pytest.raises(HpcexpError, match="no job can be submitted now"):
            laboratory.launch(experiment)
        laboratory.cluster.run()
        assert laboratory.resume(experiment).num_jobs == 4
        laboratory.cluster.run()
        assert observe(experiment).count(State.COMPLETED) == 4


def test_an_answer_of_sbatch_that_was_lost_leads_to_no_second_submission(tmp_path: Path) -> None:
    laboratory = Laboratory(tmp_path)
    laboratory.slurm.lose_next_answers = 1
    with laboratory.open():
        experiment = laboratory.prepare()
        assert laboratory.launch(experiment).num_jobs == 4
        assert laboratory.cluster.count_queued() == 4
        (submission,) = read_submissions(experiment)
    assert submission.stage == Stage.SUBMITTED


def test_a_controller_that_comes_back_in_time_is_waited_for(tmp_path: Path) -> None:
    laboratory = Laboratory(tmp_path)
    with laboratory.open():
        experiment = laboratory.prepare()
        laboratory.cluster.stop_controller(20)
        assert laboratory.launch(experiment).num_jobs == 4


def test_where_the_controller_stays_away_resume_finds_out_what_happened(tmp_path: Path) -> None:
    laboratory = Laboratory(tmp_path)
    with laboratory.open():
        experiment = laboratory.prepare()
        laboratory.cluster.stop_controller(2000)
        with pytest.raises(HpcexpError, match="whether the jobs are in the queue is not known"):
            laboratory.launch(experiment)
        with pytest.raises(HpcexpError, match="squeue does not answer"):
            laboratory.resume(experiment)
        laboratory.cluster.run(until=laboratory.cluster.clock.now + 3000)
        assert laboratory.resume(experiment).num_jobs == 4
        laboratory.finish(experiment)
        assert observe(experiment).count(State.COMPLETED) == 4
    assert [s.stage for s in read_submissions(experiment)] == [Stage.GIVEN_UP, Stage.SUBMITTED]


def test_max_parallel_is_kept(tmp_path: Path) -> None:
    laboratory = Laboratory(tmp_path)
    with laboratory.open():
        experiment = laboratory.prepare(num_groups=3)
        plan = experiment.plan_path
        plan.write_text(plan.read_text().replace('"max_parallel": null', '"max_parallel": 2'))
        laboratory.launch(experiment)
        laboratory.cluster.run(until=laboratory.cluster.clock.now + 60)
        assert len(laboratory.cluster.list_running()) == 2


def test_max_parallel_holds_for_all_arrays_of_an_experiment_together(tmp_path: Path) -> None:
    laboratory = Laboratory(tmp_path)
    with laboratory.open():
        experiment = laboratory.prepare(num_groups=4)
        plan = experiment.plan_path
        plan.write_text(plan.read_text().replace('"max_parallel": null', '"max_parallel": 2'))
        names = [run.name for run in read_plan(experiment).runs]
        submit_runs(experiment, lambda: names[:3], Wish("slurm"))
        handed = submit_runs(experiment, lambda: names[3:], Wish("slurm"))
        assert (handed.num_jobs, handed.num_held) == (0, 5)
        assert handed.held_reason == "max_parallel: 2 jobs of the experiment at a time"
        cluster, most = laboratory.cluster, 0
        while len(running := cluster.list_running()) or cluster.count_queued():
            most = max(most, len(running))
            cluster.run(until=cluster.clock.now + 10)
        assert most == 2
        # Without a word from anybody: jobs that ended submitted what was held.
        assert observe(experiment).count(State.COMPLETED) == 8
    assert set(laboratory.worker.num_ends.values()) == {1}


@pytest.mark.parametrize(
    ("num_jobs", "shares"), [(5, [3, 2]), (2, [1, 1]), (1, [1, 1]), (0, [0, 0])]
)
def test_a_throttle_is_divided_among_arrays(num_jobs: int, shares: list[int]) -> None:
    assert share_throttle(num_jobs, 2) == shares
