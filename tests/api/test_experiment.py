"""From Python: the same work as on the command line, the same words, and no end of the process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import hpcexp
import hpcexp.launch.submit  # a package of its name is there as well, and still is
from hpcexp.api.launching import spell_settings
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


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("hpcexp.launch('tiny.yaml', set={'params.batch_sise': 8})", "did you mean batch_size?"),
        ("hpcexp.launch('tiny.yaml', executor='slrum')", "there are slurm, local, inline"),
        ("hpcexp.Experiment('nothing_like_it')", "there are no experiments in "),
        ("hpcexp.launch('tiny.yaml', only=['lr=7'])", "tiny has no group 'lr=7'"),
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


@pytest.mark.parametrize("state", ["timed-out", "timed_out", "timed out"])
def test_states_are_spelled_as_people_type_them(launched: hpcexp.Experiment, state: str) -> None:
    assert launched.resume(states=[state], executor="inline").run_names == ()
    with pytest.raises(hpcexp.HpcexpError, match="'tired' is no state; there are pending, "):
        launched.resume(states="tired")


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
