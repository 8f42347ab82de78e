"""From Python: the same work as on the command line, the same words, and no end of the process."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import hpcexp
import hpcexp.launch.submit  # a package of its name is there as well, and still is
from hpcexp.api.recorded import spell_settings
from hpcexp.cli.app import COMMANDS
from tests.train.conftest import TINY


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("api")
    template = {"workload": "sps", "params": {**TINY, "max_epoch": 1}, "grid": {"lr": [0.1, 0.2]}}
    (path / "tiny.yaml").write_text(json.dumps(template))
    return path


@pytest.fixture(scope="module")
def launched(directory: Path, shared_data_cache: Path) -> hpcexp.Experiment:
    """A trained experiment; tests after it may add to it."""
    return hpcexp.launch(
        directory / "tiny.yaml", executor="inline", experiments_dir=directory / "experiments"
    )


def test_a_launch_trains_every_run(launched: hpcexp.Experiment) -> None:
    assert repr(launched) == (
        f"Experiment({launched.name}: 2 runs, 2 done, 0 running, 0 waiting, 0 failed)"
    )
    status = launched.status()
    assert status["states"] == {"completed": 2}
    assert status["usage"]["cpu_mean"] is None or status["usage"]["cpu_mean"] > 0
    assert list(launched.frames().runs["state"]) == ["completed", "completed"]


def test_a_second_launch_of_the_same_is_told_and_not_prevented(
    launched: hpcexp.Experiment, directory: Path
) -> None:
    planned = hpcexp.dry_run(directory / "tiny.yaml", experiments_dir=directory / "experiments")
    assert planned["existing"]["experiment"] == launched.name
    assert planned["existing"]["num_finished"] >= 2


def test_an_experiment_is_found_by_part_of_its_name(
    launched: hpcexp.Experiment, directory: Path
) -> None:
    found = hpcexp.Experiment("tiny", experiments_dir=directory / "experiments")
    assert found.path == launched.path
    names = [e.name for e in hpcexp.list_experiments(directory / "experiments")]
    assert names == [launched.name]


def test_runs_are_cancelled_and_resumed(launched: hpcexp.Experiment) -> None:
    assert launched.resume(executor="inline").run_names == ()
    assert launched.cancel().ended == ()
    change = launched.extend(rand_inits=2, only="lr=0.1", executor="inline")
    assert change.new_runs == ("lr=0.1_rand_1",)
    assert launched.status()["states"] == {"completed": 3}


def test_results_are_written_for_others(launched: hpcexp.Experiment, tmp_path: Path) -> None:
    assert (launched.export("csv", tmp_path) / "runs.csv").exists()
    written = launched.report(tmp_path / "report.html")
    assert written.path.stat().st_size == written.num_bytes
    with pytest.raises(hpcexp.HpcexpError, match=r"a report is written as \.html"):
        launched.report(tmp_path / "report.pdf")


def test_notes_are_written_and_read(launched: hpcexp.Experiment) -> None:
    launched.note("slower is better", tags="present_in_meeting", run="lr=0.1")
    (note,) = launched.notes()
    assert (note.text, note.tags, note.run) == (
        "slower is better", ("present_in_meeting",), "lr=0.1",
    )  # fmt: skip
    with pytest.raises(hpcexp.HpcexpError, match=r"lr=0\.7"):
        launched.note("which?", run="lr=0.7")


def test_trained_models_are_looked_into(launched: hpcexp.Experiment) -> None:
    report = launched.evaluate("lr=0.1_rand_0", kinds="decoder", sequences=[0])
    (looked,) = report.runs
    assert (looked.run.name, looked.is_done) == ("lr=0.1_rand_0", True)
    assert all(path.exists() for path in looked.files)
    (path,) = launched.history("lr=0.1_rand_0").values()
    assert path is not None
    assert path.exists()


def test_a_disturbed_comparison_is_decided_by_looks(directory: Path) -> None:
    experiment = hpcexp.launch(
        directory / "tiny.yaml",
        name="decided",
        rand_inits=2,
        executor="inline",
        experiments_dir=directory / "decided",
    )
    options = {"max_rand_inits": 6, "looks": 2, "executor": "inline"}
    planned = experiment.extend_until_decided(dry_run=True, **options)  # type: ignore[arg-type]
    assert list(planned["looks"]) == [2, 6]
    assert "deciding" not in [path.stem for path in experiment.path.iterdir()]
    standing = experiment.extend_until_decided(**options)  # type: ignore[arg-type]
    assert standing["is_over"]
    assert len(standing["looks_taken"]) in (1, 2)
    assert experiment.status()["states"] == {"completed": len(experiment.plan.runs)}
    with pytest.raises(hpcexp.HpcexpError, match="no such spending: all"):
        experiment.extend_until_decided(spending="all")


def test_a_search_goes_on_until_all_samples_are_made(directory: Path, tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    template = json.loads((directory / "tiny.yaml").read_text())
    axes = {"lr": {"log_uniform": [1e-4, 1e-2]}}
    template["sample"] = {"method": "tpe", "count": 3, "start": 2, "at_once": 1, "axes": axes}
    del template["grid"]
    (tmp_path / "search.yaml").write_text(json.dumps(template))
    experiment = hpcexp.launch(
        tmp_path / "search.yaml", executor="inline", experiments_dir=tmp_path / "e"
    )
    assert experiment.status()["states"] == {"completed": 3}
    assert experiment.search(samples=4, executor="inline").is_over
    assert len(experiment.plan.groups) == 4


def test_an_experiment_is_archived_unpacked_removed_and_restored(
    directory: Path, tmp_path: Path
) -> None:
    table = tmp_path / "found.csv"
    table.write_text("params.width,score\n8,0.5\n8,0.6\n16,0.2\n16,0.3\n")
    (made,) = hpcexp.import_results(table, name="found", metric="score", experiments_dir=tmp_path)
    assert made.disk_use().total > 0
    archived = made.archive(tmp_path / "found.tar.zst")
    packed = hpcexp.Experiment(archived.path)
    assert packed.frames().runs["state"].tolist() == ["completed"] * 4
    with pytest.raises(hpcexp.HpcexpError, match="is archived: it can be looked at"):
        packed.note("nothing is written into an archive")
    (tmp_path / "elsewhere").mkdir()
    assert packed.unpack(tmp_path / "elsewhere").name == made.name
    made.remove()
    assert hpcexp.list_experiments(tmp_path) == []
    assert hpcexp.restore(experiments_dir=tmp_path).name == made.name


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("hpcexp.launch('tiny.yaml', set={'params.batch_sise': 8})", "did you mean batch_size?"),
        ("hpcexp.launch('tiny.yaml', executor='slrum')", "there are slurm, local, inline"),
        ("hpcexp.Experiment('nothing_like_it')", "there are no experiments in "),
        ("hpcexp.launch('tiny.yaml', only=['lr=7'])", "tiny has no group 'lr=7'"),
        ("hpcexp.debug('tiny.yaml', groups='lr=7')", "tiny has no group 'lr=7'"),
        ("hpcexp.compare('latest', 'latest')", "there are no experiments in "),
        ("hpcexp.write_notebook('n.pdf')", "is written as .html or .md"),
    ],
)
def test_a_mistake_is_an_error_with_the_words_of_the_command_line(
    directory: Path, call: str, message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text((directory / "tiny.yaml").read_text())
    with pytest.raises(hpcexp.HpcexpError) as caught:
        eval(call, {"hpcexp": hpcexp})
    assert message in str(caught.value)
    assert not (tmp_path / "experiments").exists()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("replay()", "has diverged: there is nothing to replay"),
        ("evaluate(at='last', metric='loss')", "is for at='best'"),
        ("set_jobs()", "nothing to change: give max_parallel, partition or timeout"),
        ("search()", "has no sampled axes"),
        ("look()", "has no plan of looks"),
        ("extend(samples=8)", "has no sampled axes"),
    ],
)
def test_what_an_experiment_cannot_do_is_said(
    launched: hpcexp.Experiment, call: str, message: str
) -> None:
    with pytest.raises(hpcexp.HpcexpError) as caught:
        eval(f"launched.{call}", {"launched": launched})
    assert message in str(caught.value)


@pytest.mark.parametrize("state", ["timed-out", "timed_out", "timed out"])
def test_states_are_spelled_as_people_type_them(launched: hpcexp.Experiment, state: str) -> None:
    assert launched.resume(states=[state], executor="inline").run_names == ()
    with pytest.raises(hpcexp.HpcexpError, match="'tired' is no state; there are pending, "):
        launched.resume(states="tired")


def test_every_command_has_a_call_or_a_reason_in_the_documentation() -> None:
    page = (Path(__file__).parents[2] / "docs" / "python-api.md").read_text()
    tables = "\n".join(line for line in page.splitlines() if line.startswith("|"))
    assert [name for name in COMMANDS if not re.search(rf"`hpcexp {name}\b", tables)] == []
    calls = set(re.findall(r"`\.(\w+)\(", tables))
    assert [name for name in calls if not hasattr(hpcexp.Experiment, name)] == []
    assert set(re.findall(r"`hpcexp\.(\w+)\(", page)) <= set(hpcexp.__all__)


def test_settings_are_spelled_as_after_set() -> None:
    assert spell_settings({"params.lr": 0.01, "grid.x": None}) == ["params.lr=0.01", "grid.x=null"]
    assert spell_settings("params.lr=1") == ["params.lr=1"]


def test_the_import_is_light_and_names_everything() -> None:
    code = (
        "import sys, hpcexp; assert callable(hpcexp.launch);"
        "print([n for n in ('torch', 'pandas', 'numpy', 'pydantic', 'click') if n in sys.modules]);"
        "print([n for n in hpcexp.__all__ if getattr(hpcexp, n) is None])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["[]", "[]"]


def test_the_package_of_the_same_name_is_still_a_package() -> None:
    assert hpcexp.launch.submit.submit_runs.__name__ == "submit_runs"  # type: ignore[attr-defined]


NOTEBOOK = """
import hpcexp
experiment = hpcexp.launch({path!r}, executor="inline", experiments_dir={directory!r})
experiment
"""


def test_a_real_notebook_launches_and_shows_an_experiment(directory: Path, tmp_path: Path) -> None:
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    code = NOTEBOOK.format(path=str(directory / "tiny.yaml"), directory=str(tmp_path / "e"))
    cells = [
        nbformat.v4.new_code_cell(code),
        nbformat.v4.new_code_cell("hpcexp.Experiment('nothing', experiments_dir='nowhere')"),
        nbformat.v4.new_code_cell("print('alive')"),
    ]
    notebook = nbformat.v4.new_notebook(cells=cells)
    client = nbclient.NotebookClient(
        notebook, timeout=120, kernel_name="python3", allow_errors=True
    )
    client.execute()
    shown = [str(cell.outputs) for cell in notebook.cells]
    assert "2 runs, 2 done" in shown[0]
    assert "there are no experiments in nowhere/" in shown[1]
    assert "alive" in shown[2]
