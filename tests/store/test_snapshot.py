from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from hpcexp.errors import HpcexpError
from hpcexp.store import further_code
from hpcexp.store import snapshot as snapshot_module
from hpcexp.store.experiment import Plan, create_experiment
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.snapshot import (
    Root,
    Snapshot,
    SnapshotPlan,
    is_unchanged,
    plan_snapshot,
    read_snapshot,
    write_snapshot,
)
from tests.store.conftest import PROVENANCE
from tests.store.trees import git, make_tree, plain_git, write_files

__all__ = ["plain_git"]

PACKAGE = {"hpcexp/__init__.py": "", "hpcexp/store/files.py": "x = 1\n", "hpcexp/py.typed": ""}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A lab's own checkout, with hpcexp in it."""
    return make_tree(tmp_path / "tree", {**PACKAGE, "lab/model.py": "width = 1\n", "run.sh": "#!"})


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """hpcexp where pip put it."""
    write_files(tmp_path / "site", {**PACKAGE, "hpcexp/__pycache__/x.pyc": "x", "other.py": ""})
    return tmp_path / "site/hpcexp"


Copy = Callable[[SnapshotPlan], tuple[ExperimentDir, Snapshot]]


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    """Write a snapshot to a new experiment."""
    made: list[ExperimentDir] = []

    def write(plan: SnapshotPlan) -> tuple[ExperimentDir, Snapshot]:
        made.append(ExperimentDir(tmp_path / f"experiments/e{len(made)}"))
        made[-1].provenance_dir.mkdir(parents=True)
        return made[-1], write_snapshot(made[-1], plan)

    return write


def list_files(directory: Path) -> dict[str, str]:
    found = {str(p.relative_to(directory)): p for p in directory.rglob("*") if p.is_file()}
    return {name: p.read_text() for name, p in found.items() if not name.startswith(".git/")}


def copy_tree(tree: Path, copy: Copy) -> tuple[ExperimentDir, Snapshot]:
    return copy(plan_snapshot(tree, package_dir=tree / "hpcexp"))


# ------------------------------------------------------------------------------ what is copied


def test_the_tree_is_copied_as_it_is_uncommitted_changes_included(tree: Path, copy: Copy) -> None:
    write_files(tree, {"lab/model.py": "width = 2\n", "lab/new.py": "new\n"})
    (tree / "run.sh").chmod(0o755)
    experiment, snapshot = copy_tree(tree, copy)
    copied = experiment.code_dir / "tree"
    expected = list_files(tree)
    assert list_files(copied) == expected
    assert os.access(copied / "run.sh", os.X_OK)
    assert not os.access(copied / "lab/new.py", os.X_OK)
    assert (snapshot.tree, snapshot.num_changes) == (str(tree), 3)
    assert (snapshot.num_files, snapshot.num_bytes) == (6, sum(map(len, expected.values())))
    assert (snapshot.package, snapshot.problem) == (None, "")


def test_an_edit_of_the_tree_does_not_reach_the_copy(tree: Path, copy: Copy) -> None:
    experiment, _ = copy_tree(tree, copy)
    with (tree / "lab/model.py").open("r+") as file:
        file.write("broken")
    assert (experiment.code_dir / "tree/lab/model.py").read_text() == "width = 1\n"


def test_a_file_is_no_more_readable_to_others_than_it_was(tree: Path, copy: Copy) -> None:
    (tree / "lab/model.py").chmod(0o400)
    experiment, _ = copy_tree(tree, copy)
    assert (experiment.code_dir / "tree/lab/model.py").stat().st_mode & 0o777 == 0o600


def test_links_are_links_again(tree: Path, copy: Copy) -> None:
    (tree / "newest").symlink_to(tree / "lab")
    experiment, _ = copy_tree(tree, copy)
    assert (experiment.code_dir / "tree/newest").readlink() == Path("lab")


def test_hpcexp_itself_is_copied_where_it_is_not_in_the_tree(
    tree: Path, installed: Path, copy: Copy
) -> None:
    experiment, snapshot = copy(plan_snapshot(tree, package_dir=installed))
    assert list_files(experiment.code_dir / "package") == PACKAGE
    assert (experiment.code_dir / "tree/lab/model.py").exists()
    assert snapshot.package == str(installed)


def test_an_owner_can_delete_it(tree: Path, copy: Copy) -> None:
    experiment, _ = copy_tree(tree, copy)
    shutil.rmtree(experiment.path)
    assert not experiment.path.exists()


# -------------------------------------------------------------------- where modules come from


def test_directories_of_the_tree_are_imported_from_the_copy_hpcexp_first(
    tree: Path, installed: Path
) -> None:
    paths = [tree / "lab", tree, tree / "missing", installed.parent]
    plan = plan_snapshot(tree, package_dir=tree / "hpcexp", python_path=paths)
    assert plan.roots == (Root(str(tree), "tree"), Root(str(tree / "lab"), "tree/lab"))
    plan = plan_snapshot(tree / "lab", package_dir=installed, python_path=paths)
    assert plan.roots == (
        Root(str(installed.parent), "package"),
        Root(str(tree / "lab"), "tree/lab"),
        Root(str(tree), "tree"),
    )


def test_a_working_directory_outside_of_git_is_imported_from_as_it_is(
    tmp_path: Path, installed: Path
) -> None:
    plan = plan_snapshot(tmp_path, package_dir=installed)
    assert plan.roots == (Root(str(installed.parent), "package"), Root(str(tmp_path), None))
    assert [root.is_whole for root in plan.roots] == [False, False]


# ------------------------------------------------------------------------- what was not copied


def test_outside_of_git_only_hpcexp_is_copied_and_it_says_so(
    tmp_path: Path, installed: Path, copy: Copy
) -> None:
    experiment, snapshot = copy(plan_snapshot(tmp_path, package_dir=installed))
    assert [p.name for p in experiment.code_dir.iterdir()] == ["package"]
    assert snapshot.tree is None
    assert snapshot.problem == (
        f"{tmp_path} is in no git tree: only hpcexp itself is copied, "
        "and an edit of other code changes what waiting jobs train"
    )


@pytest.mark.parametrize(
    ("limit", "value", "said"), [("MAX_FILES", 4, "of 4 and"), ("MAX_BYTES", 17, "0.0 MB at most")]
)
def test_of_a_tree_that_is_too_large_only_hpcexp_is_copied_and_it_says_why(
    tree: Path, copy: Copy, monkeypatch: pytest.MonkeyPatch, limit: str, value: int, said: str
) -> None:
    monkeypatch.setattr(further_code, limit, value)
    experiment, snapshot = copy_tree(tree, copy)
    assert set(list_files(experiment.code_dir)) == {f"package/{name}" for name in PACKAGE}
    assert snapshot.package == str(tree / "hpcexp")
    assert f"the git tree {tree} is too large to be copied: 5 files, 0.0 MB" in snapshot.problem
    assert said in snapshot.problem
    assert "let git ignore what is no code (lab/ 0.0 MB, " in snapshot.problem


def test_what_was_left_out_is_named_up_to_a_number(
    tree: Path, copy: Copy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot_module, "MAX_LEFT_OUT_NAMED", 2)
    write_files(tree, {f"{number}.key": "secret" for number in range(3)})
    experiment, snapshot = copy_tree(tree, copy)
    assert [(x.path, x.why) for x in snapshot.left_out] == [
        ("0.key", "may hold secrets"),
        ("1.key", "may hold secrets"),
    ]
    assert snapshot.num_left_out == 3
    assert not list(experiment.code_dir.rglob("*.key"))


def test_a_file_that_goes_while_it_is_copied_is_left_out(tree: Path, copy: Copy) -> None:
    plan = plan_snapshot(tree, package_dir=tree / "hpcexp")
    (tree / "lab/model.py").unlink()
    experiment, snapshot = copy(plan)
    assert snapshot.num_files == 4
    assert [(x.path, x.why) for x in snapshot.left_out] == [
        ("lab/model.py", "cannot be read (No such file or directory)")
    ]
    assert is_unchanged(experiment, snapshot)


# ----------------------------------------------------------------------------------- the record


def test_the_record_comes_back_as_it_was_written(tree: Path, installed: Path, copy: Copy) -> None:
    write_files(tree, {".env": "secret"})
    experiment, snapshot = copy(plan_snapshot(tree, package_dir=installed))
    assert read_snapshot(experiment) == snapshot
    assert snapshot.label == f"snapshot {snapshot.digest[:8]}"
    assert len(snapshot.digest) == 32


def test_an_experiment_of_an_older_version_has_none(tmp_path: Path) -> None:
    assert read_snapshot(ExperimentDir(tmp_path)) is None


@pytest.mark.parametrize("content", ["", "[]", '{"digest": "x"}'])
def test_a_damaged_record_is_an_error_in_words(tree: Path, copy: Copy, content: str) -> None:
    experiment, _ = copy_tree(tree, copy)
    experiment.snapshot_path.write_text(content)
    with pytest.raises(HpcexpError, match=r"snapshot\.json: damaged"):
        read_snapshot(experiment)


# ----------------------------------------------------------------------------------- the digest


def test_equal_code_has_equal_digests_wherever_it_lies(
    tree: Path, tmp_path: Path, copy: Copy
) -> None:
    shutil.copytree(tree, tmp_path / "other place")
    first, second = copy_tree(tree, copy)[1], copy_tree(tmp_path / "other place", copy)[1]
    assert first.digest == second.digest


@pytest.mark.parametrize(
    "command",
    [
        "echo 'width = 3' > lab/model.py",
        "mv lab/model.py lab/models.py",
        "rm lab/model.py",
        "touch lab/new.py",
        "rm lab/model.py && ln -s ../run.sh lab/model.py",
    ],
)
def test_other_code_has_another_digest(tree: Path, copy: Copy, command: str) -> None:
    experiment, snapshot = copy_tree(tree, copy)
    assert is_unchanged(experiment, snapshot)
    os.system(f"cd '{tree}' && {command}")
    assert copy_tree(tree, copy)[1].digest != snapshot.digest
    os.system(f"cd '{experiment.code_dir}/tree' && {command}")
    assert not is_unchanged(experiment, snapshot)


def test_a_link_is_not_the_file_that_says_the_same(tree: Path, copy: Copy) -> None:
    (tree / "lab/link").symlink_to("model.py")
    linked = copy_tree(tree, copy)[1]
    (tree / "lab/link").unlink()
    (tree / "lab/link").write_text("model.py")
    assert copy_tree(tree, copy)[1].digest != linked.digest


def test_bytecode_beside_the_copy_does_not_count(tree: Path, copy: Copy) -> None:
    experiment, snapshot = copy_tree(tree, copy)
    write_files(experiment.code_dir, {"tree/lab/__pycache__/model.pyc": "x"})
    assert is_unchanged(experiment, snapshot)


def test_a_copy_that_is_gone_cannot_be_read(tree: Path, copy: Copy) -> None:
    experiment, snapshot = copy_tree(tree, copy)
    shutil.rmtree(experiment.code_dir)
    with pytest.raises(FileNotFoundError):
        is_unchanged(experiment, snapshot)


# ------------------------------------------------------------------------------ whole or not at all


def test_an_experiment_whose_code_cannot_be_written_is_not_made(
    tree: Path, experiments_dir: Path, plan: Plan
) -> None:
    code = plan_snapshot(tree, package_dir=tree / "hpcexp")

    def add(experiment: ExperimentDir) -> None:
        write_files(experiment.code_dir, {"tree/lab/model.py": "in the way"})
        write_snapshot(experiment, code)

    with pytest.raises(HpcexpError, match=r"File exists \(model.py\); nothing was kept"):
        create_experiment(experiments_dir, plan, sources=[], provenance=PROVENANCE, add=add)
    assert list(experiments_dir.iterdir()) == []


def test_the_record_is_json_also_of_names_that_are_no_utf8(tree: Path, copy: Copy) -> None:
    write_files(tree, {os.fsdecode(b"\xff.key"): "secret"})
    git(tree, "add", "--all")
    experiment, _ = copy_tree(tree, copy)
    record = json.loads(experiment.snapshot_path.read_text())
    assert record["left_out"] == [{"path": "\udcff.key", "why": "may hold secrets"}]
