from __future__ import annotations

from pathlib import Path

from hpcexp.launch.executors import EXECUTORS
from hpcexp.launch.plan import make_bundles, make_plan, split_bundles
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


def test_arrays_stay_below_slurms_usual_limit_and_lose_no_run() -> None:
    limit = EXECUTORS["slurm"].max_bundles
    assert limit == 1000
    names = [f"run_{i}" for i in range(2 * limit + 1)]
    arrays = split_bundles(make_bundles(names), max_bundles=limit)
    assert [len(array) for array in arrays] == [limit, limit, 1]
    assert [name for array in arrays for bundle in array for name in bundle] == names


def test_an_executor_without_a_limit_gets_everything_at_once_and_nothing_of_nothing() -> None:
    bundles = make_bundles([f"run_{i}" for i in range(3000)])
    assert split_bundles(bundles, max_bundles=None) == [bundles]
    assert split_bundles([], max_bundles=None) == []
