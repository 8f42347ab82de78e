from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hpcexp.store import git as git_module
from hpcexp.store.git import GitState
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.provenance import collect_provenance, write_provenance

BINARY = bytes(range(256)) * 4
LATIN_1 = "Größe der Schritte\n".encode("latin-1")


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A git tree with one commit, without the settings of who runs the tests."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "Tester")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "tester@localhost")
    tree = tmp_path / "tree"
    (tree / "code").mkdir(parents=True)
    (tree / ".gitignore").write_text("ignored/\n")
    (tree / "code/train.py").write_text("lr = 1\nwidth = 2\n")
    (tree / "code/latin.txt").write_bytes(LATIN_1)
    (tree / "weights.bin").write_bytes(BINARY)
    (tree / "doomed.py").write_text("pass\n")
    git(tree, "init", "--quiet", "--initial-branch=trunk")
    git(tree, "add", ".")
    git(tree, "commit", "--quiet", "--message=first")
    return tree


def git(directory: Path, *arguments: str) -> str:
    command = ["git", "-C", str(directory), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def read_git(directory: Path, *, exclude: tuple[Path, ...] = ()) -> GitState:
    state = collect_provenance(working_dir=directory, exclude=exclude).git
    assert state is not None
    return state


def write(directory: Path, experiment_path: Path, **options: Any) -> tuple[Path, dict[str, Any]]:
    """The folder that was written, and its record."""
    experiment_path.mkdir()
    experiment = ExperimentDir(experiment_path)
    write_provenance(experiment, collect_provenance(working_dir=directory, **options))
    record = json.loads((experiment.provenance_dir / "provenance.json").read_text())
    return experiment.provenance_dir, record


def list_files(directory: Path) -> list[str]:
    return sorted(str(p.relative_to(directory)) for p in directory.rglob("*") if p.is_file())


# ----------------------------------------------------------------------------- this process


def test_command_python_and_packages_are_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["hpcexp", "launch", "my template.yaml"])
    folder, record = write(tmp_path, tmp_path / "e")
    assert record["command"] == "hpcexp launch 'my template.yaml'"
    assert record["python_path"] == sys.executable
    assert record["working_dir"] == str(tmp_path)
    pins = (folder / "packages.txt").read_text().splitlines()
    assert f"pytest=={pytest.__version__}" in pins
    assert pins == sorted(pins, key=lambda pin: pin.split("==")[0].lower())


def test_packages_are_those_that_can_be_imported_in_all_their_forms(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forms = {"new-1.2.dist-info/METADATA": "new", "old-1.2.egg-info/PKG-INFO": "old"}
    for path, name in {**forms, "oldest-1.2.egg-info": "oldest"}.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n\nName: of its description\n"
        )
    (tmp_path / "damaged-1.2.dist-info").mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    packages = collect_provenance(working_dir=Path("/")).packages
    assert packages == {"new": "1.2", "old": "1.2", "oldest": "1.2"}


def test_a_user_without_a_name_is_noted_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> str:
        raise KeyError("uid not found")

    monkeypatch.setattr("getpass.getuser", fail)
    assert collect_provenance(working_dir=Path("/")).user == str(os.getuid())


# ------------------------------------------------------------------------------- the commit


def test_a_clean_tree_is_its_commit(tree: Path, tmp_path: Path) -> None:
    folder, record = write(tree / "code", tmp_path / "e")
    assert record["git"] == {
        "top_dir": str(tree),
        "commit": git(tree, "rev-parse", "HEAD").strip(),
        "branch": "trunk",
        "is_dirty": False,
        "untracked": [],
        "num_untracked": 0,
        "problem": "",
    }
    assert list_files(folder) == ["packages.txt", "provenance.json"]


def test_outside_of_git_there_is_no_git(tmp_path: Path) -> None:
    folder, record = write(tmp_path, tmp_path / "e")
    assert record["git"] is None
    assert list_files(folder) == ["packages.txt", "provenance.json"]


def test_without_the_git_command_there_is_no_git(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    assert collect_provenance(working_dir=tree).git is None


def test_a_tree_without_a_commit_is_dirty_and_its_files_are_copied(
    tmp_path: Path, tree: Path
) -> None:
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    git(fresh, "init", "--quiet")
    (fresh / "train.py").write_text("lr = 1\n")
    folder, record = write(fresh, tmp_path / "e")
    assert (record["git"]["commit"], record["git"]["is_dirty"]) == (None, True)
    assert (folder / "untracked/train.py").read_text() == "lr = 1\n"


# --------------------------------------------------------------------------------- the diff


def change(tree: Path) -> None:
    """Changes of every kind: staged, not staged, binary, not UTF-8, deleted, executable."""
    (tree / "code/train.py").write_text("lr = 3\nwidth = 2\r\n")
    (tree / "code/latin.txt").write_bytes(LATIN_1 * 2)
    (tree / "weights.bin").write_bytes(BINARY[::-1])
    (tree / "doomed.py").unlink()
    (tree / "added.py").write_text("new = True\n")
    git(tree, "add", "added.py", "code/train.py")
    (tree / "weights.bin").chmod(0o755)


def read_tree(tree: Path) -> dict[str, tuple[bytes, bool]]:
    return {
        name: ((tree / name).read_bytes(), os.access(tree / name, os.X_OK))
        for name in list_files(tree)
        if not name.startswith(".git/")
    }


@pytest.mark.parametrize(
    "settings",
    [
        "",
        "[diff]\nnoprefix = true\ncontext = 0\n[color]\nui = always\n",
        "[diff]\nmnemonicPrefix = true\nexternal = false\n",
    ],
    ids=["default settings", "no prefix, no context, colours", "an external diff"],
)
def test_commit_and_patch_give_the_tree_back(tree: Path, tmp_path: Path, settings: str) -> None:
    (tmp_path / "gitconfig").write_text(settings)
    change(tree)
    folder, record = write(tree / "code", tmp_path / "e")
    assert record["git"]["is_dirty"]
    again = tmp_path / "again"
    git(tmp_path, "clone", "--quiet", str(tree), str(again))
    git(again, "checkout", "--quiet", record["git"]["commit"])
    git(again, "apply", str(folder / "uncommitted.patch"))
    assert read_tree(again) == read_tree(tree)


def test_looking_at_a_tree_leaves_its_index_alone(tree: Path) -> None:
    (tree / "code/train.py").touch()
    before = (tree / ".git/index").read_bytes()
    read_git(tree)
    assert (tree / ".git/index").read_bytes() == before


def test_files_that_may_hold_secrets_are_named_and_not_copied(tree: Path) -> None:
    for name in (".env", "code/deploy.key", "id_rsa", "tokenizer.py"):
        (tree / name).write_text("x")
    copied = {file.path: file.copied for file in read_git(tree).untracked}
    assert copied[".env"] is copied["code/deploy.key"] is copied["id_rsa"] is False
    assert copied["tokenizer.py"] is True


def test_a_diff_that_is_too_large_is_left_out_and_said_to_be(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(tree)
    monkeypatch.setattr(git_module, "MAX_DIFF_BYTES", 100)
    state = read_git(tree)
    assert (state.diff, state.is_dirty) == (b"", True)
    assert state.problem.startswith("the diff was left out: ")


def test_a_diff_that_fails_is_not_taken_for_a_clean_tree(tree: Path) -> None:
    commit = git(tree, "rev-parse", "HEAD:doomed.py").strip()
    (tree / ".git/objects" / commit[:2] / commit[2:]).unlink()
    (tree / "doomed.py").write_text("changed\n")
    state = read_git(tree)
    assert state.is_dirty
    assert state.problem == "git diff failed or took too long"


# --------------------------------------------------------------------------- untracked files


def test_untracked_files_are_copied_and_ignored_ones_are_not(tree: Path, tmp_path: Path) -> None:
    (tree / "code/deep").mkdir()
    (tree / "code/deep/new model.py").write_text("width = 3\n")
    (tree / "ignored").mkdir()
    (tree / "ignored/secret").write_text("x")
    folder, record = write(tree, tmp_path / "e")
    assert record["git"]["is_dirty"]
    assert record["git"]["untracked"] == [
        {
            "path": "code/deep/new model.py",
            "num_bytes": 10,
            "sha256": hashlib.sha256(b"width = 3\n").hexdigest(),
            "copied": True,
        }
    ]
    assert list_files(folder / "untracked") == ["code/deep/new model.py"]
    assert (folder / "untracked/code/deep/new model.py").read_text() == "width = 3\n"


def test_a_copy_is_no_more_readable_to_others_than_the_file(tree: Path, tmp_path: Path) -> None:
    for name, mode in (("private.env", 0o600), ("run.sh", 0o755)):
        (tree / name).write_text("x")
        (tree / name).chmod(mode)
    folder, _ = write(tree, tmp_path / "e")
    assert (folder / "untracked/private.env").stat().st_mode & 0o077 == 0
    assert os.access(folder / "untracked/run.sh", os.X_OK)


def test_large_files_are_named_only_and_all_together_stay_within_the_limit(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(git_module, "MAX_UNTRACKED_FILE_BYTES", 10)
    monkeypatch.setattr(git_module, "MAX_UNTRACKED_BYTES", 25)
    for name, size in (("a", 10), ("b", 11), ("c", 10), ("d", 6), ("e", 5)):
        (tree / name).write_bytes(b"x" * size)
    folder, record = write(tree, tmp_path / "experiment")
    assert {f["path"]: f["copied"] for f in record["git"]["untracked"]} == {
        "a": True,
        "b": False,
        "c": True,
        "d": False,
        "e": True,
    }
    assert list_files(folder / "untracked") == ["a", "c", "e"]


def test_of_very_many_files_the_first_are_named_and_all_are_counted(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(git_module, "MAX_UNTRACKED_FILES", 3)
    for number in range(5):
        (tree / f"{number}.txt").touch()
    state = read_git(tree)
    assert [file.path for file in state.untracked] == ["0.txt", "1.txt", "2.txt"]
    assert state.num_untracked == 5


def test_the_experiments_are_no_part_of_the_code(tree: Path, tmp_path: Path) -> None:
    experiments = tree / "experiments"
    (experiments / "old").mkdir(parents=True)
    (experiments / "old/metrics.bin").write_text("x")
    (tree / "experiments.py").write_text("x")
    link = tmp_path / "link"
    link.symlink_to(tree)
    for spelling in (experiments, link / "experiments", tree / "code/../experiments"):
        state = read_git(tree, exclude=(spelling,))
        assert [file.path for file in state.untracked] == ["experiments.py"]
    (tree / "experiments.py").unlink()
    assert not read_git(tree, exclude=(experiments,)).is_dirty
    assert read_git(tree).is_dirty


def test_experiments_beside_the_code_do_not_hide_the_code(tree: Path) -> None:
    (tree / "new.py").write_text("x")
    for experiments_dir in (tree, tree.parent):
        state = read_git(tree, exclude=(experiments_dir,))
        assert [file.path for file in state.untracked] == ["new.py"]


def test_what_cannot_be_copied_is_named_only(tree: Path, tmp_path: Path) -> None:
    (tree / "dangling").symlink_to(tmp_path / "nowhere")
    (tree / "folder").symlink_to(tmp_path)
    nested = tree / "nested"
    nested.mkdir()
    git(nested, "init", "--quiet")
    (nested / "a.py").touch()
    folder, record = write(tree, tmp_path / "e")
    assert {f["path"]: f["copied"] for f in record["git"]["untracked"]} == {
        "dangling": False,
        "folder": False,
        "nested/": False,
    }
    assert not (folder / "untracked").exists()


def test_a_file_that_goes_before_it_is_copied_is_named_only(tree: Path, tmp_path: Path) -> None:
    (tree / "a.py").write_text("a")
    (tree / "b.py").write_text("b")
    collected = collect_provenance(working_dir=tree)
    (tree / "a.py").unlink()
    (tree / "b.py").write_text("changed")
    experiment = ExperimentDir(tmp_path / "e")
    experiment.path.mkdir()
    write_provenance(experiment, collected)
    record = json.loads((experiment.provenance_dir / "provenance.json").read_text())
    gone, changed = record["git"]["untracked"]
    assert (gone["path"], gone["copied"], gone["sha256"]) == ("a.py", False, None)
    assert changed["sha256"] == hashlib.sha256(b"changed").hexdigest()
    assert list_files(experiment.provenance_dir / "untracked") == ["b.py"]


def test_a_file_name_that_is_no_utf8_is_copied_as_well(tree: Path, tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.py")
    (tree / name).write_text("x")
    folder, record = write(tree, tmp_path / "e")
    assert record["git"]["untracked"][0]["path"] == name
    assert (folder / "untracked" / name).read_text() == "x"
