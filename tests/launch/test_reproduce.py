"""Runs that are made again; their rows are written here, `tests/cli` trains real ones."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from hpcexp.errors import UsageError
from hpcexp.launch.prepare import prepare
from hpcexp.launch.reproduce import Verdict, find_original, find_reproduced, judge, rebuild
from hpcexp.store.experiment import read_plan, read_run_config
from hpcexp.store.files import read_json
from hpcexp.store.find import list_experiments
from hpcexp.store.layout import ExperimentDir, RunDir
from hpcexp.store.snapshot import is_unchanged, read_snapshot
from hpcexp.store.status import State, read_status, write_status
from hpcexp.template import load_template
from tests.store.metrics.rows import make_rows, write_run
from tests.store.trees import PLAIN_GIT, make_tree, plain_git, write_files

__all__ = ["plain_git"]

BASE = """\
workload: sps
params: {batch_size: 4}
"""
TEMPLATE = """\
extends: base.yaml
name: tiny
grid: {rnn_width: [4, 6], lr: [0.1, 0.2]}
rand_inits: 3
seed: 11
notify: {command: echo over}
resources: {cpus: 1, gpus: 1, timeout: 2h}
"""
RUN = "rnn_width=6,lr=0.1_rand_2"
MACHINE = {"device": "cpu", "num_threads": 3, "torch": "2.11", "instructions": "AVX2"}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lab's tree, and an experiment that was launched from it."""
    directory = tmp_path_factory.mktemp("prepared")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in PLAIN_GIT.items():
            patch.setenv(name, value)
        files = {"base.yaml": BASE, "tiny.yaml": TEMPLATE, "lab_model.py": "WIDTH = 1\n"}
        patch.chdir(make_tree(directory / "lab", files))
        template = load_template(Path("tiny.yaml"))
        prepare(template, experiments_dir=directory / "experiments")
    return directory


@pytest.fixture
def experiment(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ExperimentDir:
    """One of its runs has five epochs of metrics."""
    shutil.copytree(prepared, tmp_path, dirs_exist_ok=True, symlinks=True)
    monkeypatch.chdir(tmp_path / "lab")
    (made,) = list_experiments(tmp_path / "experiments")
    finish(made.run(RUN))
    return made


def finish(run_dir: RunDir, *, num_epochs: int = 5, state: State = State.COMPLETED) -> None:
    write_run(run_dir.path, make_rows(1, num_epochs))
    status = read_status(run_dir)
    write_status(run_dir, status.replace(state=state, step=8 * num_epochs, machine=MACHINE))


def make_again(experiment: ExperimentDir, directory: Path) -> ExperimentDir:
    return rebuild(find_original(experiment, RUN), directory=directory)


# ------------------------------------------------------------------------------- the experiment


def test_a_reproduction_has_the_one_run_with_its_configuration(
    experiment: ExperimentDir, tmp_path: Path
) -> None:
    made = make_again(experiment, tmp_path / "again")
    plan, original = read_plan(made), read_plan(experiment)
    assert [run.name for run in plan.runs] == [RUN]
    assert [group.name for group in plan.groups] == ["rnn_width=6,lr=0.1"]
    assert plan.grid == {"rnn_width": [6], "lr": [0.1]}
    assert (plan.seed, plan.rand_inits, plan.workload) == (11, 1, "sps")
    assert plan.primary_metric == original.primary_metric
    assert read_run_config(made.run(RUN)) == read_run_config(experiment.run(RUN))
    assert read_run_config(made.run(RUN)).rand_init == 2
    assert read_status(made.run(RUN)).state == State.PENDING


def test_what_the_run_itself_says_counts_more_than_the_plan(
    experiment: ExperimentDir, tmp_path: Path
) -> None:
    path = experiment.run(RUN).config_path
    config = read_json(path)
    config["params"]["max_epoch"] = 77
    path.write_text(json.dumps(config | {"seed": 5}))
    made = make_again(experiment, tmp_path / "again")
    assert read_run_config(made.run(RUN)).params["max_epoch"] == 77
    assert (read_run_config(made.run(RUN)).seed, read_plan(made).seed) == (5, 5)


def test_it_asks_for_what_the_run_had_and_tells_nobody(
    experiment: ExperimentDir, tmp_path: Path
) -> None:
    plan = read_plan(make_again(experiment, tmp_path / "again"))
    assert (plan.resources["cpus"], plan.resources["gpus"]) == (3, 0)
    assert plan.resources["timeout"] == read_plan(experiment).resources["timeout"]
    assert not any(plan.notify.values())


def test_its_code_is_that_of_the_original_whatever_the_tree_holds_now(
    experiment: ExperimentDir, tmp_path: Path
) -> None:
    write_files(tmp_path / "lab", {"lab_model.py": "WIDTH = 2\n"})
    write_files(experiment.code_dir, {"tree/__pycache__/lab_model.pyc": "x"})
    made = make_again(experiment, tmp_path / "again")
    snapshot = read_snapshot(made)
    assert snapshot is not None
    assert snapshot == read_snapshot(experiment)
    assert is_unchanged(made, snapshot)
    assert (made.code_dir / "tree/lab_model.py").read_text() == "WIDTH = 1\n"
    assert not list(made.code_dir.rglob("__pycache__"))


def test_it_names_the_original_and_keeps_where_that_came_from(
    experiment: ExperimentDir, tmp_path: Path
) -> None:
    made = make_again(experiment, tmp_path / "again")
    record = read_json(made.provenance_dir / "provenance.json")
    assert record["reproduces"] == {"experiment": str(experiment.path), "run": RUN}
    kept = made.provenance_dir / "original"
    for name in ("provenance.json", "packages.txt", "snapshot.json"):
        assert (kept / name).read_bytes() == (experiment.provenance_dir / name).read_bytes()
    assert find_reproduced(made) == (experiment.run(RUN), made.run(RUN))


def test_templates_keep_their_names(experiment: ExperimentDir, tmp_path: Path) -> None:
    made = make_again(experiment, tmp_path / "again")
    names = {path.name: path.read_text() for path in made.template_dir.iterdir()}
    assert names == {"tiny.yaml": TEMPLATE, "extends_1_base.yaml": BASE}


def test_a_reproduction_can_be_reproduced_and_all_lie_in_one_directory(
    experiment: ExperimentDir,
) -> None:
    original = find_original(experiment, RUN)
    assert original.default_dir == experiment.path.parent / "reproduced"
    made = rebuild(original, directory=original.default_dir)
    finish(made.run(RUN))
    again = find_original(made, RUN)
    assert again.default_dir == original.default_dir
    assert find_reproduced(rebuild(again, directory=again.default_dir))[0] == made.run(RUN)


def test_reproductions_are_not_among_the_experiments(experiment: ExperimentDir) -> None:
    original = find_original(experiment, RUN)
    rebuild(original, directory=original.default_dir)
    assert [e.name for e in list_experiments(experiment.path.parent)] == [experiment.name]


def test_without_a_copy_of_the_code_it_gets_one_of_today(
    tmp_path: Path, experiment: ExperimentDir
) -> None:
    shutil.rmtree(experiment.code_dir)
    experiment.snapshot_path.unlink()
    write_files(tmp_path / "lab", {"lab_model.py": "WIDTH = 2\n"})
    made = make_again(experiment, tmp_path / "again")
    assert (made.code_dir / "tree/lab_model.py").read_text() == "WIDTH = 2\n"


# --------------------------------------------------------------------------------- what is wrong


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "rnn_width=6,lr=0.1_rand_3",
            "has no run 'rnn_width=6,lr=0.1_rand_3'; did you mean rnn_wi",
        ),
        (
            "rnn_width=6,lr=0.1",
            "is a group: name one of its runs, such as rnn_width=6,lr=0.1_rand_0",
        ),
        ("../..", r"has no run '../..'; for instance rnn_width=4,lr=0.1_rand_0"),
        ("rnn_width=4,lr=0.1_rand_0", "is pending and has no metrics yet"),
    ],
)
def test_a_run_that_cannot_be_made_again_is_refused(
    experiment: ExperimentDir, name: str, said: str
) -> None:
    with pytest.raises(UsageError) as caught:
        find_original(experiment, name)
    assert said in str(caught.value)


@pytest.mark.parametrize("command", ["edit", "delete"])
def test_code_that_is_not_what_it_was_is_refused(experiment: ExperimentDir, command: str) -> None:
    if command == "edit":
        (experiment.code_dir / "tree/lab_model.py").write_text("WIDTH = 3\n")
        said = "was changed since the launch"
    else:
        shutil.rmtree(experiment.code_dir)
        said = r"cannot be read \(No such file or directory"
    with pytest.raises(UsageError, match=rf"code {said}.*; bring it back"):
        find_original(experiment, RUN)


def test_a_source_of_a_warm_start_that_is_gone_is_refused(experiment: ExperimentDir) -> None:
    path = experiment.run(RUN).config_path
    config = read_json(path)
    config["params"]["warm_start"] = {"run": "/gone/runs/x_rand_{rand_init}"}
    path.write_text(json.dumps(config))
    with pytest.raises(UsageError, match="/gone/runs/x_rand_2 is no run"):
        find_original(experiment, RUN)


def test_a_place_that_cannot_be_written_is_refused(
    experiment: ExperimentDir, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"file/x: cannot be made \(Not a directory\).*--to"):
        make_again(experiment, tmp_path / "file/x")


def test_what_reproduces_nothing_cannot_be_compared(experiment: ExperimentDir) -> None:
    with pytest.raises(UsageError, match="reproduces no run; hpcexp reproduce EXP_DIR RUN makes"):
        find_reproduced(experiment)


def test_an_original_that_is_gone_cannot_be_compared(
    experiment: ExperimentDir, tmp_path: Path
) -> None:
    made = make_again(experiment, tmp_path / "again")
    shutil.rmtree(experiment.path)
    with pytest.raises(UsageError, match="the run that was reproduced is not there any more"):
        find_reproduced(made)


# ------------------------------------------------------------------------------------ the verdict


def judge_after(
    experiment: ExperimentDir, directory: Path, *, num_epochs: int, state: State
) -> Verdict:
    """The reproduction ended so, with the original's rows."""
    made = make_again(experiment, directory)
    if num_epochs:
        finish(made.run(RUN), num_epochs=num_epochs, state=state)
    else:
        write_status(made.run(RUN), read_status(made.run(RUN)).replace(state=state))
    return judge(experiment.run(RUN), made.run(RUN))


def test_equal_ends_are_identical(experiment: ExperimentDir, tmp_path: Path) -> None:
    verdict = judge_after(experiment, tmp_path / "again", num_epochs=5, state=State.COMPLETED)
    assert (verdict.is_identical, verdict.problem, verdict.changes) == (True, "", ())


def test_an_original_that_is_not_done_is_compared_as_far_as_it_got(
    experiment: ExperimentDir, tmp_path: Path
) -> None:
    original = experiment.run(RUN)
    write_status(original, read_status(original).replace(state=State.RUNNING))
    verdict = judge_after(experiment, tmp_path / "again", num_epochs=9, state=State.COMPLETED)
    assert (verdict.is_identical, verdict.comparison.num_rows) == (True, 10)


@pytest.mark.parametrize(
    ("num_epochs", "state", "problem"),
    [
        (3, State.FAILED, "the reproduction is failed"),
        (3, State.INTERRUPTED, "the reproduction is interrupted"),
        (0, State.FAILED, "the reproduction is failed"),
        (
            3,
            State.STOPPED,
            "the original completed after 40 steps and 10 rows, "
            "the reproduction stopped early after 24 steps and 6 rows",
        ),
        (
            5,
            State.DIVERGED,
            "the original completed after 40 steps and 10 rows, "
            "the reproduction diverged after 40 steps and 10 rows",
        ),
    ],
)
def test_equal_rows_are_not_enough_where_the_ends_differ(
    experiment: ExperimentDir, tmp_path: Path, num_epochs: int, state: State, problem: str
) -> None:
    verdict = judge_after(experiment, tmp_path / "again", num_epochs=num_epochs, state=state)
    assert verdict.comparison.difference is None
    assert (verdict.is_identical, verdict.problem) == (False, problem)
