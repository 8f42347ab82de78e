from __future__ import annotations

from pathlib import Path

from hpcexp.launch.plan import make_bundles, make_plan
from hpcexp.template import load_template


def test_a_plan_holds_every_run_and_each_groups_whole_configuration(tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    path.write_text("workload: sps\ngrid: {rnn_width: [4, 6], lr: [0.1]}\nrand_inits: 3\n")
    plan = make_plan(load_template(path))
    assert len(plan.runs) == 6
    assert plan.runs[4].name == "rnn_width=6,lr=0.1_rand_1"
    assert plan.configs["rnn_width=6,lr=0.1"]["rnn_width"] == 6
    assert plan.configs["rnn_width=6,lr=0.1"]["batch_size"] == 16


def test_only_some_groups_may_be_planned(tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    path.write_text("workload: sps\ngrid: {rnn_width: [4, 6]}\nrand_inits: 2\n")
    plan = make_plan(load_template(path), only=["rnn_width=6"])
    assert [run.name for run in plan.runs] == ["rnn_width=6_rand_0", "rnn_width=6_rand_1"]
    assert [group.name for group in plan.groups] == ["rnn_width=6"]


def test_there_is_a_job_for_each_run_if_there_are_jobs_enough() -> None:
    assert make_bundles([["a"], ["b"]], num_jobs=1000) == [["a"], ["b"]]
    assert make_bundles([["a"], ["b"]]) == [["a"], ["b"]]
    assert make_bundles([], num_jobs=10) == []


def test_else_a_job_trains_several_of_all_groups_and_none_is_lost() -> None:
    names = [f"group_{group}_rand_{rand}" for group in range(3) for rand in range(3)]
    bundles = make_bundles([[name] for name in names], num_jobs=3)
    assert sorted(name for bundle in bundles for name in bundle) == names
    for bundle in bundles:
        assert {name.rpartition("_rand")[0] for name in bundle} == {"group_0", "group_1", "group_2"}


def test_jobs_differ_by_one_run_at_most() -> None:
    bundles = make_bundles([[f"run_{i}"] for i in range(1001)], num_jobs=1000)
    assert sorted({len(bundle) for bundle in bundles}) == [1, 2]
