from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hpcexp.errors import HpcexpError, UsageError
from hpcexp.store.archive import writing
from hpcexp.store.archive.manifest import MANIFEST_NAME, is_safe_link
from hpcexp.store.archive.reading import read_archive, read_manifest
from hpcexp.store.archive.restoring import restore_archive
from hpcexp.store.archive.zstd import ZstdFile
from hpcexp.store.layout import ExperimentDir
from tests.store.archive.conftest import STATES, archive, describe, forge, read_tree


def test_a_restored_experiment_is_the_archived_one(trained: ExperimentDir, tmp_path: Path) -> None:
    trained.plan_path.chmod(0o440)
    (trained.path / "strange\udcff name").touch()
    before = read_tree(trained.path)
    path = archive(trained)
    (tmp_path / "there").mkdir()
    restored = restore_archive(path, directory=tmp_path / "there")
    assert restored.experiment.path == tmp_path / "there" / trained.name
    assert read_tree(restored.experiment.path) == before
    assert len(before) > 20


def test_the_first_member_is_a_manifest_of_all_others_in_their_order(
    trained: ExperimentDir,
) -> None:
    path = archive(trained)
    with ZstdFile(path) as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
        members = [(m.name, m.size) for m in tar]
    manifest = read_manifest(path)
    assert members[0][0] == MANIFEST_NAME
    assert members[1:] == [(f"{trained.name}/{f.path}", f.num_bytes) for f in manifest.files]
    assert manifest.name == trained.name
    assert manifest.states == STATES
    for file in manifest.files:
        content = (trained.path / file.path).read_bytes()
        assert file.sha256 == hashlib.sha256(content).hexdigest()


@pytest.mark.skipif(not (shutil.which("zstd") and shutil.which("tar")), reason="needs zstd, tar")
def test_everybodys_tar_unpacks_it(trained: ExperimentDir, tmp_path: Path) -> None:
    path = archive(trained)
    command = f"zstd -dc '{path}' | tar -xf - -C '{tmp_path}'"
    subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], check=True)
    contents = {k: v[0] for k, v in read_tree(tmp_path / trained.name).items()}
    assert contents == {k: v[0] for k, v in read_tree(trained.path).items()}


def test_links_within_are_made_again_and_links_that_lead_out_are_named(
    trained: ExperimentDir, tmp_path: Path
) -> None:
    (trained.path / "best").symlink_to("runs/rnn_width=4_rand_0")
    (trained.path / "data").symlink_to(tmp_path)
    path = archive(trained)
    (tmp_path / "there").mkdir()
    restored = restore_archive(path, directory=tmp_path / "there")
    assert (restored.experiment.path / "best").readlink() == Path("runs/rnn_width=4_rand_0")
    assert restored.links_left_out == {"data": str(tmp_path)}
    assert not (restored.experiment.path / "data").is_symlink()


@pytest.mark.parametrize(
    ("path", "target", "is_safe"),
    [
        ("best", "runs/a", True),
        ("runs/a/b", "../../plan.json", True),
        ("code/a", "./b", True),
        ("best", "..", False),
        ("runs/a", "../../x", False),
        ("best", "/etc/passwd", False),
        ("best", "runs/../..", False),  # another link may lead `runs` elsewhere
        ("best", "", False),
        ("best", "a\0b", False),
    ],
)
def test_a_link_is_safe_if_it_stays_inside_whatever_other_links_there_are(
    path: str, target: str, is_safe: bool
) -> None:
    assert is_safe_link(path, target) == is_safe


def test_an_experiment_is_never_restored_onto_another(trained: ExperimentDir) -> None:
    path = archive(trained)
    before = read_tree(trained.path)
    with pytest.raises(UsageError, match=r"exists already, and is left as it is; .* --to DIR"):
        restore_archive(path, directory=trained.path.parent)
    assert read_tree(trained.path) == before


def test_restoring_needs_room(trained: ExperimentDir, tmp_path: Path) -> None:
    huge = describe("big", b"")
    huge = type(huge)("big", 10**18, 0o644, 0, huge.sha256)
    path = forge(tmp_path / "huge.tar.zst", [huge], [])
    with pytest.raises(UsageError, match=r"needs 1000000000\.0 GB; make room"):
        restore_archive(path, directory=tmp_path)


def test_an_archive_never_replaces_a_file(trained: ExperimentDir) -> None:
    path = archive(trained)
    before = path.read_bytes()
    with pytest.raises(UsageError, match="exists already; delete it or move it away"):
        archive(trained)
    assert path.read_bytes() == before


def test_an_archive_that_appears_meanwhile_is_not_replaced(
    trained: ExperimentDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = trained.path.with_name(f"{trained.name}.tar.zst")
    monkeypatch.setattr(writing, "_read_back", lambda *_: path.write_bytes(b"other"))
    with pytest.raises(UsageError, match="exists already"):
        archive(trained)
    assert path.read_bytes() == b"other"
    assert list(path.parent.glob(".*.tmp")) == []


def test_a_file_system_without_hard_links_gets_an_archive_too(
    trained: ExperimentDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "link", refuse_links)
    read_archive(archive(trained))


def refuse_links(*_: object) -> None:
    raise PermissionError(1, "Operation not permitted")


@contextmanager
def changing(monkeypatch: pytest.MonkeyPatch, change: str, path: Path) -> Iterator[None]:
    """Once the checksums are known, change a file as another process would."""
    hash_files = writing._hash_files

    def hash_and_change(*arguments: object) -> object:
        files = hash_files(*arguments)  # type: ignore[arg-type]
        content = path.read_bytes()
        path.write_bytes(
            {"longer": content + b"x", "shorter": content[:-1], "other": content[::-1]}[change]
        )
        return files

    monkeypatch.setattr(writing, "_hash_files", hash_and_change)
    yield


@pytest.mark.parametrize("change", ["shorter", "other"])
def test_a_file_that_changes_meanwhile_is_named_and_nothing_is_kept(
    trained: ExperimentDir, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    before = set(trained.path.parent.iterdir())
    with (
        changing(monkeypatch, change, trained.plan_path),
        pytest.raises(HpcexpError, match=r"plan\.json: changed while it was archived"),
    ):
        archive(trained)
    assert set(trained.path.parent.iterdir()) == before


def test_a_full_disk_leaves_nothing_behind(
    trained: ExperimentDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writing, "_add", fail)
    with pytest.raises(HpcexpError, match="No space left on device; no archive was made"):
        archive(trained)
    assert [p for p in trained.path.parent.iterdir() if p != trained.path] == []


def test_what_cannot_be_read_back_never_gets_its_name(
    trained: ExperimentDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = writing._write

    def write_badly(aside: Path, *arguments: object) -> None:
        write(aside, *arguments)  # type: ignore[arg-type]
        content = aside.read_bytes()
        aside.write_bytes(content[:-100])

    monkeypatch.setattr(writing, "_write", write_badly)
    with pytest.raises(HpcexpError, match="what was written cannot be read back"):
        archive(trained)
    assert [p for p in trained.path.parent.iterdir() if p != trained.path] == []


def test_a_directory_that_is_not_there_is_said(trained: ExperimentDir, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=re.escape(f"{tmp_path / 'no'}: no such directory")):
        archive(trained, tmp_path / "no" / "a.tar.zst")
    with pytest.raises(UsageError, match="no such directory"):
        restore_archive(archive(trained), directory=tmp_path / "no")
