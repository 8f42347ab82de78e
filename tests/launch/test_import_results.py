from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from hpcexp.analysis import load
from hpcexp.errors import UsageError
from hpcexp.launch.import_results import ImportOptions, import_results
from hpcexp.launch.observe import observe
from hpcexp.launch.suggest import suggest_command
from hpcexp.store.experiment import read_plan
from tests.analysis import notebook

CSV = """\
params.batch_size,params.lr,rand_init,state,mse,loss
16,0.1,0,completed,0.2,1.5
16,0.1,1,diverged,,
32,0.1,0,,0.4,2.5
32,0.1,1,failed,,
"""


def write(directory: Path, content: Any, name: str = "results.json") -> Path:
    path = directory / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def make(directory: Path, content: Any, name: str = "results.json", **options: Any) -> Any:
    path = write(directory, content, name)
    (made,) = import_results(
        path, experiments_dir=directory / "experiments", options=ImportOptions(**options)
    )
    return load(made)


def fail(directory: Path, content: Any, name: str = "results.json", **options: Any) -> str:
    path = write(directory, content, name)
    experiments_dir = directory / "experiments"
    with pytest.raises(UsageError) as caught:
        import_results(path, experiments_dir=experiments_dir, options=ImportOptions(**options))
    assert caught.value.exit_code == 2
    assert not experiments_dir.exists()
    return str(caught.value)


def test_a_csv_becomes_an_experiment_that_is_read_like_any(tmp_path: Path) -> None:
    results = make(tmp_path, CSV, "results.csv", metric="mse", success_below=0.3)
    runs = results.runs.set_index("run")
    assert list(runs.index) == [f"batch_size={b}_rand_{i}" for b in (16, 32) for i in (0, 1)]
    assert list(runs["state"]) == ["completed", "diverged", "completed", "failed"]
    assert runs["final.mse"].tolist()[:3] == pytest.approx([0.2, math.inf, 0.4])
    assert math.isnan(runs["final.mse"].iloc[3])
    assert runs["reason"].tolist()[3] == "failed as results.csv says"
    assert runs["final.loss"].iloc[0] == pytest.approx(1.5)
    assert results.plan.comparison["paired"]
    assert results.metric.success_below == 0.3
    assert (results.experiment.template_dir / "results.csv").read_text() == CSV


def test_nobody_is_told_to_train_here_what_failed_elsewhere(tmp_path: Path) -> None:
    results = make(tmp_path, CSV, "results.csv", metric="mse")
    observation = observe(results.experiment)
    assert [suggest_command(observation, name) for name in observation.statuses] == [""] * 4


def test_the_notebooks_results_keep_their_names_and_times(tmp_path: Path) -> None:
    made = import_results(notebook.PATH, experiments_dir=tmp_path)
    assert len(made) == 8
    assert "2022_m12_d13@16_26_35_xj_batch_size" in {e.name for e in made}
    plan = read_plan(next(e for e in made if e.short_name == "max_epoch"))
    assert plan.rand_inits == 12
    assert plan.primary_metric["name"] == "linear_projection_mse"
    assert not plan.comparison["paired"]
    with pytest.raises(UsageError, match="exists already; nothing was made"):
        import_results(notebook.PATH, experiments_dir=tmp_path)


def test_what_plot_wrote_can_be_imported(tmp_path: Path) -> None:
    table = (
        "run,group,params.rnn_width,rand_init,state,epoch,metric,value,is_final\n"
        "a_rand_0,a,16,0,completed,20,mse,0.3,True\na_rand_1,a,16,1,diverged,20,mse,inf,True\n"
    )
    results = make(tmp_path, table, "mse.csv", metric="mse")
    assert results.runs["final.mse"].tolist() == pytest.approx([0.3, math.inf])
    assert results.runs["epoch"].tolist() == [20, 20]


def test_hyperparameters_of_a_workload_are_completed(tmp_path: Path) -> None:
    entry = {
        "workload": "sps",
        "params": {"max_epoch": 7},
        "groups": [{"params": {"rnn_width": w}, "values": [0.1, 0.2]} for w in (16, 32)],
    }
    results = make(tmp_path, entry)
    assert results.runs["epoch"].tolist() == [7] * 4
    assert results.group_axis.title == "rnn_width"


def entry(**changes: Any) -> dict[str, Any]:
    groups = [{"params": {"lr": lr}, "values": [0.1, 0.2]} for lr in (1, 2)]
    return {"metric": {"name": "mse"}, "groups": groups} | changes


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "results.json: 1 problem, nothing was created\n  is no JSON"),
        ([], "holds no experiment"),
        ({"groops": []}, "groops: no such key of an experiment; did you mean groups?"),
        (entry(groups=[]), "holds no run"),
        (entry(groups=[{"values": []}]), "groups[0].values: missing or empty"),
        (entry(groups=[{"values": [0.1, "x"]}]), "groups[0].values[1]: 'x' is no number"),
        (entry(groups=[{"values": [math.nan]}]), "is no outcome; write state diverged"),
        (entry(groups=[{"values": [None]}]), "has no mse; a run without one is failed"),
        (entry(metric={}), "metric: which metric judges runs? say it with --metric NAME"),
        (entry(metric={"name": "mse", "cap": "x"}), "metric.cap: 'x' is no number"),
        (entry(experiment="a b"), 'experiment: "a b" cannot name a directory'),
        (entry(experiment="2022@x"), "does not begin with a time"),
        (entry(variables=["rl"]), "variables: no such hyperparameter: rl; there are: lr"),
        (entry(variables=[]), "differs from other runs of base in lr; name what was varied"),
        (entry(comparison={"margin": -1}), "comparison.margin: -1 is out of range"),
        (entry(workload="sps", params={"batch_siz": 1}), "params.batch_siz: no such hyper"),
        (entry(workload="spss"), "no such workload: spss"),
        (entry(runs=[{"state": "done", "value": 1}]), "runs[0].state: no such state: done"),
        (entry(runs=[{"metrics": 1, "value": 1}]), "runs[0].metrics: must be an object, not 1"),
        (entry(runs=[3]), "runs[0]: is no object; a run has params"),
        (entry(metric={"name": "mse", "title": 3}), "metric.title: must be text, not 3"),
        (entry(runs=[{"epoch": 0, "value": 1}]), "runs[0].epoch: 0 is no whole number from 1"),
    ],
)
def test_a_faulty_json_is_answered_with_the_place_and_makes_nothing(
    content: Any, message: str, tmp_path: Path
) -> None:
    assert message in fail(tmp_path, content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "no column says what a run is of"),
        ("value\n0.1\n", "line 1  no column says what a run is of; add params.NAME"),
        ("params.a,params.a,value\n1,1,1\n", "a column is given twice: params.a"),
        ("params.a,value\n", "holds no run"),
        ("params.a,value\n1,0.2\n1\n", "line 3  has not the 2 cells of the first line"),
        ("params.a,value\n1,0.2\n1,fast\n", "line 3  value: 'fast' is no number"),
        ("params.a,rand_init,value\n1,0,0.2\n1,0,0.3\n", "rand_init 0 is given twice"),
        ("params.a,rand_init,value\n1,x,0.2\n", "rand_init: 'x' is no whole number from 0"),
    ],
)
def test_a_faulty_csv_is_answered_with_the_line_and_makes_nothing(
    content: str, message: str, tmp_path: Path
) -> None:
    assert message in fail(tmp_path, content, "results.csv", metric="mse")


def test_all_faults_of_a_file_are_told_at_once(tmp_path: Path) -> None:
    text = fail(tmp_path, "params.a,value\n1,x\n2,y\n3,0.1\n", "results.csv", metric="mse")
    assert "2 problems" in text


def test_a_file_that_is_no_table_is_refused(tmp_path: Path) -> None:
    assert "neither .csv nor .json" in fail(tmp_path, "x", "results.txt")
    with pytest.raises(UsageError, match="cannot be read"):
        import_results(tmp_path / "none.csv", experiments_dir=tmp_path)
    path = tmp_path / "bad.csv"
    path.write_bytes(b"params.a,value\n\xff,1\n")
    with pytest.raises(UsageError, match="no UTF-8 text"):
        import_results(path, experiments_dir=tmp_path)


def test_a_write_that_fails_leaves_no_experiment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("hpcexp.launch.import_results.write_status", refuse)
    path = write(tmp_path, CSV, "results.csv")
    options = ImportOptions(metric="mse")
    with pytest.raises(KeyboardInterrupt):
        import_results(path, experiments_dir=tmp_path / "experiments", options=options)
    assert list((tmp_path / "experiments").iterdir()) == []
