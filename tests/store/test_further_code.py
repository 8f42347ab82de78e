"""Code besides the tree of the launch, copied under the same rules."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpcexp.store import further_code
from hpcexp.store.further_code import Further
from hpcexp.store.snapshot import Root, is_unchanged, plan_snapshot
from hpcexp.workloads.own.places import CodeDir
from tests.store.test_snapshot import Copy, copy, installed, list_files, tree
from tests.store.trees import git, make_tree, plain_git, write_files

__all__ = ["copy", "installed", "plain_git", "tree"]


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """A library of the laboratory, in a git tree of its own, with a submodule in it."""
    inner = make_tree(tmp_path / "inner", {"depth.py": "depth = 1\n"})
    other = make_tree(tmp_path / "other", {"src/curve/__init__.py": "", "README": "read me"})
    git(other, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(inner), "src/deep")
    write_files(other, {"src/curve/new.py": "new = 1\n"})
    return other


def test_the_whole_tree_of_a_further_directory_is_copied_as_it_is_now(
    tree: Path, installed: Path, other: Path, copy: Copy
) -> None:
    plan = plan_snapshot(tree, package_dir=installed, further=[CodeDir(other / "src", "curve")])
    experiment, snapshot = copy(plan)
    copied = list_files(experiment.code_dir / "trees/1")
    assert copied["src/curve/new.py"] == "new = 1\n"
    assert copied["src/deep/depth.py"] == "depth = 1\n"
    assert "README" in copied
    # The new file, and the list of submodules.
    assert snapshot.further == (Further(str(other), "trees/1", num_changes=2),)
    assert is_unchanged(experiment, snapshot)


def test_a_workload_comes_before_the_launch_and_what_is_named_after_it(
    tree: Path, installed: Path, other: Path, tmp_path: Path
) -> None:
    lib = make_tree(tmp_path / "lib", {"lib.py": ""})
    places = [CodeDir(lib), CodeDir(other / "src", "curve")]
    plan = plan_snapshot(tree, package_dir=installed, further=places)
    assert plan.roots == (
        Root(str(installed.parent), "package"),
        Root(str(other / "src"), "trees/2/src"),
        Root(str(tree), "tree"),
        Root(str(lib), "trees/1"),
    )
    assert [root.is_whole for root in plan.roots] == [False, True, True, True]


def test_two_directories_of_one_tree_are_one_copy(tree: Path, installed: Path, other: Path) -> None:
    places = [CodeDir(other / "src", "curve"), CodeDir(other / "src/deep"), CodeDir(other)]
    plan = plan_snapshot(tree, package_dir=installed, further=places)
    assert [record.copy for record in plan.further.records] == ["trees/1"]
    assert [root.copy for root in plan.roots[1:]] == [
        "trees/1/src", "tree", "trees/1/src/deep", "trees/1",
    ]  # fmt: skip


def test_what_is_in_the_tree_of_the_launch_is_not_copied_twice(tree: Path, installed: Path) -> None:
    plan = plan_snapshot(tree, package_dir=installed, further=[CodeDir(tree, "lab")])
    assert plan.further.records == []
    assert plan.roots == plan_snapshot(tree, package_dir=installed).roots


def test_outside_of_git_the_package_alone_is_copied_without_secrets(
    tmp_path: Path, installed: Path, copy: Copy
) -> None:
    lab = tmp_path / "lab"
    write_files(lab, {"curve/a.py": "a", "curve/.env": "x", "curve/__pycache__/a.pyc": "", "b": ""})
    plan = plan_snapshot(lab, package_dir=installed, further=[CodeDir(lab, "curve")])
    experiment, snapshot = copy(plan)
    assert list_files(experiment.code_dir / "packages/1") == {"curve/a.py": "a"}
    assert [(x.path, x.why) for x in snapshot.left_out] == [
        (str(lab / "curve/.env"), "may hold secrets")
    ]
    # The copy of the package is found before the directory, which holds the rest.
    assert snapshot.roots[1:] == (Root(str(lab), "packages/1"), Root(str(lab), None))
    assert "only hpcexp itself and curve are copied" in snapshot.problem


def test_a_workload_of_one_file_is_copied_too(tmp_path: Path, installed: Path, copy: Copy) -> None:
    write_files(tmp_path / "lab", {"curve.py": "a", "data.bin": "b"})
    places = [CodeDir(tmp_path / "lab", "curve")]
    experiment, _ = copy(plan_snapshot(tmp_path, package_dir=installed, further=places))
    assert list_files(experiment.code_dir / "packages/1") == {"curve.py": "a"}


def test_of_a_tree_that_is_too_large_the_package_is_copied(
    tree: Path, installed: Path, other: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(further_code, "MAX_FILES", 4)
    places = [CodeDir(other / "src", "curve"), CodeDir(other)]
    plan = plan_snapshot(tree / "lab", package_dir=installed, further=places)
    assert [record.copy for record in plan.further.records] == ["packages/1", None]
    (problem,) = [r.problem for r in plan.further.records if r.problem]
    assert problem.endswith(": an edit of it changes what waiting jobs train")


def test_a_named_directory_outside_of_git_is_imported_from_as_it_is(
    tree: Path, installed: Path, tmp_path: Path
) -> None:
    (tmp_path / "plain").mkdir()
    plan = plan_snapshot(tree, package_dir=installed, further=[CodeDir(tmp_path / "plain")])
    assert plan.roots[-1] == Root(str(tmp_path / "plain"), None)
    assert "is in no git tree" in plan.further.records[0].problem
