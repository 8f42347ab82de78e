from __future__ import annotations

import os
from pathlib import Path

import pytest

from hpcexp.store.code_tree import CodeTree, NoTreeError, read_code_tree, spell_bytes
from hpcexp.store.git import may_be_secret
from tests.store.trees import git, make_tree, plain_git, write_files

__all__ = ["plain_git"]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return make_tree(
        tmp_path / "tree",
        {".gitignore": "ignored/\n*.log\n", "lab/train.py": "lr = 1\n", "doomed.py": ""},
    )


def list_left_out(tree: CodeTree) -> dict[str, str]:
    return {left_out.path: left_out.why for left_out in tree.left_out}


# ------------------------------------------------------------------------------ what belongs


def test_the_files_that_git_knows_and_those_that_it_does_not_ignore(tree: Path) -> None:
    write_files(tree, {"new/idea.py": "x", "ignored/data.py": "x", "run.log": "x"})
    (tree / "doomed.py").unlink()
    found = read_code_tree(tree / "lab")
    assert found.top_dir == tree
    assert set(found.files) == {".gitignore", "lab/train.py", "new/idea.py"}
    assert found.left_out == ()


def test_changes_are_counted_staged_or_not(tree: Path) -> None:
    assert read_code_tree(tree).num_changes == 0
    write_files(tree, {"lab/train.py": "lr = 2\n", "new.py": "", "staged.py": "", "run.log": ""})
    git(tree, "add", "staged.py")
    (tree / "doomed.py").unlink()
    assert read_code_tree(tree).num_changes == 4


def test_the_size_is_that_of_the_files_as_they_are_now(tree: Path) -> None:
    before = read_code_tree(tree).num_bytes
    (tree / "lab/train.py").write_text("lr = 1\n" * 10)
    assert read_code_tree(tree).num_bytes == before + 63


def test_the_index_is_left_as_it_is(tree: Path) -> None:
    (tree / "lab/train.py").touch()  # git would write down the new time
    before = (tree / ".git/index").stat()
    read_code_tree(tree)
    after = (tree / ".git/index").stat()
    assert (after.st_mtime_ns, after.st_ino) == (before.st_mtime_ns, before.st_ino)


@pytest.mark.parametrize(
    "name", ["-rf.py", "a b.py", "new\nline.py", "dir\n/x.py", "größe.py", "quote'\".py", "$(x).py"]
)
def test_any_name_is_only_a_name(tree: Path, name: str) -> None:
    write_files(tree, {name: "x"})
    assert name in read_code_tree(tree).files


def test_a_name_that_is_no_utf8_belongs_as_well(tree: Path) -> None:
    name = os.fsdecode(b"\xff.py")
    write_files(tree, {name: "x"})
    assert name in read_code_tree(tree).files


def test_a_tree_without_a_commit_is_a_tree(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    write_files(tmp_path, {"train.py": "x"})
    found = read_code_tree(tmp_path)
    assert (list(found.files), found.num_changes) == (["train.py"], 1)


def test_files_of_a_submodule_belong_also_new_ones(tree: Path, tmp_path: Path) -> None:
    library = make_tree(tmp_path / "library", {"lib.py": "x"})
    git(
        tree, "-c", "protocol.file.allow=always", "submodule", "add", "--quiet", str(library), "lib"
    )
    git(tree, "commit", "--quiet", "--message=library")
    write_files(tree, {"lib/new.py": "x", "lib/lib.py": "changed"})
    found = read_code_tree(tree)
    assert {"lib/lib.py", "lib/new.py"} < set(found.files)
    assert not any(name.startswith("lib/.git/") for name in found.files)
    assert found.num_changes == 2


def test_directories_with_files_are_found_by_path(tree: Path) -> None:
    write_files(tree, {"ignored/x.py": "", "deep/er/x.py": ""})
    found = read_code_tree(tree)
    assert found.find(tree) == "."
    assert found.find(tree / "lab") == "lab"
    assert found.find(tree / "deep") == "deep"
    assert found.find(tree / "ignored") is None
    assert found.find(tree / "missing") is None
    assert found.find(tree.parent) is None


# ------------------------------------------------------------------------- what does not belong


def test_experiments_do_not_belong(tree: Path) -> None:
    write_files(
        tree,
        {
            "experiments/e/code/x.py": "",
            "elsewhere/e/experiment.json": "",
            "elsewhere/e/plan.json": "",
            "elsewhere/e/runs/r/note.py": "",
            "elsewhere/.making-123/x.py": "",
            "elsewhere/.removing-123/x.py": "",
            "elsewhere/README.md": "",
        },
    )
    found = read_code_tree(tree, exclude=[tree / "experiments"])
    assert {name for name in found.files if "e/" in name or "README" in name} == {
        "elsewhere/README.md"
    }
    assert found.num_changes == 1


def test_an_experiment_that_git_knows_is_a_fixture_of_the_code(tree: Path) -> None:
    write_files(tree, {"tests/e/experiment.json": "", "tests/e/plan.json": ""})
    git(tree, "add", "tests")
    assert "tests/e/plan.json" in read_code_tree(tree).files


def test_a_tree_below_the_experiments_is_not_emptied(tree: Path) -> None:
    assert "doomed.py" in read_code_tree(tree, exclude=[tree.parent]).files
    assert "doomed.py" in read_code_tree(tree, exclude=[tree]).files


def test_bytecode_does_not_belong(tree: Path) -> None:
    write_files(tree, {"lab/__pycache__/train.pyc": "x"})
    git(tree, "add", "lab")
    assert not any("__pycache__" in name for name in read_code_tree(tree).files)


@pytest.mark.parametrize("mark", ["pyvenv.cfg", "conda-meta/history"])
def test_a_python_environment_is_left_out_as_a_whole(tree: Path, mark: str) -> None:
    write_files(tree, {f"my/env/{mark}": "", "my/env/lib/torch.py": "", "my/own.py": ""})
    found = read_code_tree(tree)
    assert list_left_out(found) == {"my/env/": "a Python environment"}
    assert {name for name in found.files if name.startswith("my/")} == {"my/own.py"}
    assert found.num_changes == 1


@pytest.mark.parametrize("name", [".env", "deploy/server.key", "id_rsa"])
def test_what_may_hold_secrets_is_named_and_left_out_even_if_git_knows_it(
    tree: Path, name: str
) -> None:
    assert may_be_secret(Path(name))
    write_files(tree, {name: "secret"})
    git(tree, "add", "--force", name)
    found = read_code_tree(tree)
    assert list_left_out(found) == {name: "may hold secrets"}
    assert name not in found.files


def test_a_large_file_is_named_with_its_size(tree: Path) -> None:
    with (tree / "weights.npz").open("wb") as file:
        file.truncate(12_345_678)
    assert list_left_out(read_code_tree(tree)) == {
        "weights.npz": "12.3 MB, of 10.0 MB at most for a file"
    }


def test_a_git_tree_within_is_named_and_left_out(tree: Path) -> None:
    make_tree(tree / "clone", {"x.py": ""})
    assert list_left_out(read_code_tree(tree)) == {"clone/": "a git tree of its own"}


# ---------------------------------------------------------------------------------------- links


@pytest.mark.parametrize("is_absolute", [False, True])
def test_a_link_within_the_tree_becomes_one_within_the_copy(tree: Path, is_absolute: bool) -> None:
    target = tree / "lab/train.py" if is_absolute else Path("../lab/train.py")
    (tree / "links").mkdir()
    (tree / "links/train.py").symlink_to(target)
    (tree / "links/lab").symlink_to(tree / "lab" if is_absolute else "../lab")
    files = read_code_tree(tree).files
    assert files["links/train.py"].link == "../lab/train.py"
    assert files["links/lab"].link == "../lab"


def test_a_link_to_a_file_outside_becomes_a_file_and_one_to_a_directory_stays(
    tree: Path, tmp_path: Path
) -> None:
    write_files(tmp_path, {"shared/helper.py": "12345", "shared/data/x": ""})
    (tree / "helper.py").symlink_to("../shared/helper.py")
    (tree / "data").symlink_to("../shared/data")
    found = read_code_tree(tree)
    assert (found.files["helper.py"].num_bytes, found.files["helper.py"].link) == (5, None)
    assert found.files["data"].link == str(tmp_path / "shared/data")
    assert list_left_out(found) == {
        "data": "leads to a directory outside of the tree: a link to it is kept"
    }


def test_links_that_would_lead_nowhere_are_named(tree: Path) -> None:
    write_files(tree, {"ignored/data.bin": "x"})
    (tree / "gone").symlink_to("nothing")
    (tree / "circle").symlink_to("circle")
    (tree / "data").symlink_to("ignored/data.bin")
    found = read_code_tree(tree)
    assert list_left_out(found) == {
        "circle": "a link that leads nowhere",
        "gone": "a link that leads nowhere",
        "data": "leads to ignored/data.bin, which is not copied",
    }
    assert not {"gone", "circle", "data"} & set(found.files)


def test_a_link_is_no_way_around_secrets(tree: Path, tmp_path: Path) -> None:
    write_files(tmp_path, {"id_rsa": "secret"})
    (tree / "harmless.txt").symlink_to(tmp_path / "id_rsa")
    found = read_code_tree(tree)
    assert list_left_out(found) == {"harmless.txt": "may hold secrets"}
    assert "harmless.txt" not in found.files


# ------------------------------------------------------------------------------------ no tree


def test_outside_of_git_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(NoTreeError, match=f"{tmp_path} is in no git tree"):
        read_code_tree(tmp_path)


def test_without_the_git_command_it_says_so(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(NoTreeError, match="there is no git here"):
        read_code_tree(tree)


def test_a_git_that_breaks_off_says_so(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tree / ".git/index").write_bytes(b"damaged")
    with pytest.raises(NoTreeError, match=f"git failed in {tree}, or took too long"):
        read_code_tree(tree)


# ------------------------------------------------------------------------------------- in words


def test_what_takes_most_of_the_room_is_known(tree: Path) -> None:
    write_files(tree, {"data/a": "x" * 400, "data/b": "x" * 400, "one": "x" * 500})
    assert read_code_tree(tree).list_largest(num=2) == [("data/", 800), ("one", 500)]


@pytest.mark.parametrize(
    ("number", "words"), [(0, "0.0 MB"), (2_940_000, "2.9 MB"), (340_400_000, "340 MB")]
)
def test_bytes_are_spelled_in_megabytes(number: int, words: str) -> None:
    assert spell_bytes(number) == words
