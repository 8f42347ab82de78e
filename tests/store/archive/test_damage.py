"""Archives that were damaged on their way, and archives that were made to do harm."""

from __future__ import annotations

import io
import random
import re
import tarfile
from pathlib import Path

import pytest

from hpcexp.errors import UsageError
from hpcexp.store.archive.contents import READ_IN_PLACE
from hpcexp.store.archive.manifest import DamagedArchiveError
from hpcexp.store.archive.reading import TAR_BLOCK_BYTES, read_archive, read_manifest
from hpcexp.store.archive.restoring import restore_archive
from hpcexp.store.archive.zstd import CompressionParameter, ZstdFile
from hpcexp.store.layout import ExperimentDir
from tests.store.archive.conftest import NAME, archive, describe, forge, make_header, read_tree

CONTENT = b"content"


def place(path: str, *, kind: bytes = tarfile.REGTYPE) -> tuple[tarfile.TarInfo, bytes]:
    header = make_header(path, CONTENT)
    header.type = kind
    header.linkname = "/etc/passwd"
    return header, CONTENT


def test_a_flipped_bit_anywhere_is_noticed(trained: ExperimentDir) -> None:
    path = archive(trained)
    whole = path.read_bytes()
    chance = random.Random(7)
    for _ in range(60):
        damaged = bytearray(whole)
        damaged[chance.randrange(4, len(whole))] ^= 1 << chance.randrange(8)
        path.write_bytes(bytes(damaged))
        try:
            read_archive(path)
        except DamagedArchiveError:
            continue
        # Some bits of a zstd frame mean nothing; then nothing was lost either.
        with ZstdFile(path) as stream:
            unpacked = stream.read()
        path.write_bytes(whole)
        with ZstdFile(path) as stream:
            assert stream.read() == unpacked


def compress(content: bytes) -> bytes:
    """A frame that ends in the checksum of its content."""
    packed = io.BytesIO()
    with ZstdFile(packed, "w", options={CompressionParameter.checksum_flag: 1}) as stream:
        stream.write(content)
    return packed.getvalue()


def test_where_the_number_of_the_format_was_damaged_nobody_looks_for_a_newer_version(
    trained: ExperimentDir,
) -> None:
    path = archive(trained)
    with ZstdFile(path) as stream:
        unpacked = stream.read()
    newer = unpacked.replace(b'"format": 1', b'"format": 2', 1)
    assert newer != unpacked
    packed = compress(newer)
    path.write_bytes(packed)
    with pytest.raises(UsageError, match="archive format 2 is not known"):
        read_manifest(path)
    path.write_bytes(packed[:-4] + compress(unpacked)[-4:])  # the checksum of what was written
    with pytest.raises(DamagedArchiveError, match=r"damaged in manifest\.json"):
        read_manifest(path)


def test_an_archive_that_was_cut_off_anywhere_is_said_to_be_truncated(
    trained: ExperimentDir,
) -> None:
    path = archive(trained)
    whole = path.read_bytes()
    for share in (0.0, 0.2, 0.5, 0.8, 0.99):
        path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(DamagedArchiveError, match=r"truncated, it ends in|at its beginning"):
            read_archive(path)
    path.write_bytes(b"")
    with pytest.raises(DamagedArchiveError, match="is truncated at its beginning"):
        read_archive(path)


def test_the_last_byte_counts_also_where_all_files_are_there(tmp_path: Path) -> None:
    """It is the checksum of the whole, which is read after the last block of the tar file."""
    content = b"x" * 320_000  # with which the tar file ends where a block does
    header = make_header(f"{NAME}/plan.json", content)
    path = forge(tmp_path / "a.tar.zst", [describe("plan.json", content)], [(header, content)])
    with ZstdFile(path) as stream:
        assert len(stream.read()) % TAR_BLOCK_BYTES == 0
    whole = path.read_bytes()
    for damaged in (whole[:-1], whole[:-1] + bytes([whole[-1] ^ 1])):
        path.write_bytes(damaged)
        with pytest.raises(DamagedArchiveError):
            read_archive(path)


def test_the_damaged_member_is_named(tmp_path: Path) -> None:
    files = [describe(f"runs/{name}/status.json", CONTENT) for name in "abc"]
    members = [place(f"{NAME}/{file.path}") for file in files]
    members[1] = (members[1][0], b"CONTENT")
    path = forge(tmp_path / "a.tar.zst", files, members)
    with pytest.raises(
        DamagedArchiveError,
        match=re.escape(f"{path}: damaged in runs/b/status.json: its content is not what it was"),
    ):
        read_archive(path)


def test_a_missing_member_is_named(tmp_path: Path) -> None:
    files = [describe(f"runs/{name}/status.json", CONTENT) for name in "ab"]
    path = forge(tmp_path / "a.tar.zst", files, [place(f"{NAME}/{files[0].path}")])
    with pytest.raises(DamagedArchiveError, match=r"truncated, it ends in runs/b/status\.json"):
        read_archive(path)


def test_damage_behind_what_is_read_in_place_does_no_harm_to_reading(tmp_path: Path) -> None:
    record = describe("plan.json", CONTENT)
    checkpoint = describe("runs/a/checkpoints/attempt_0001_step_0000000001.pt", CONTENT)
    members = [place(f"{NAME}/{record.path}"), (place(f"{NAME}/{checkpoint.path}")[0], b"1234567")]
    path = forge(tmp_path / "a.tar.zst", [record, checkpoint], members)
    (tmp_path / "there").mkdir()
    read_archive(path, into=tmp_path / "there", parts=READ_IN_PLACE)
    assert list(read_tree(tmp_path / "there")) == ["plan.json"]
    with pytest.raises(DamagedArchiveError, match="checkpoints"):
        read_archive(path)


def test_a_damaged_archive_restores_nothing(trained: ExperimentDir, tmp_path: Path) -> None:
    path = archive(trained)
    path.write_bytes(path.read_bytes()[:-2000])
    (tmp_path / "there").mkdir()
    with pytest.raises(DamagedArchiveError):
        restore_archive(path, directory=tmp_path / "there")
    assert list((tmp_path / "there").iterdir()) == []


@pytest.mark.parametrize("content", [b"not compressed", b"\x28\xb5\x2f\xfd\x04\xff\xff\xff\xff"])
def test_what_is_no_archive_is_said_to_be_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.tar.zst"
    path.write_bytes(content)
    with pytest.raises(DamagedArchiveError, match="is no archive of hpcexp"):
        read_manifest(path)


def test_anybodys_tar_zst_is_no_archive_of_ours(tmp_path: Path) -> None:
    path = tmp_path / "a.tar.zst"
    with ZstdFile(path, "w") as stream, tarfile.open(fileobj=stream, mode="w") as tar:
        tar.addfile(make_header("README"))
    with pytest.raises(DamagedArchiveError, match=r"its first member is no manifest\.json"):
        read_manifest(path)
    with pytest.raises(UsageError, match="cannot be read"):
        read_manifest(tmp_path / "none.tar.zst")


def test_a_newer_format_is_refused_by_its_number(tmp_path: Path) -> None:
    path = forge(tmp_path / "a.tar.zst", [], [])
    with ZstdFile(path) as stream:
        content = stream.read()
    with ZstdFile(path, "w") as stream:
        stream.write(content.replace(b'"format": 1', b'"format": 2'))
    with pytest.raises(UsageError, match=r"archive format 2 is not known .*it reads 1"):
        read_manifest(path)


@pytest.mark.parametrize(
    "hostile",
    ["../out", "/tmp/out", "runs/../../out", "a//b", "./a", "a/", "", "a\0b", "plan.json"],
)
def test_a_manifest_that_leads_out_or_names_a_place_twice_is_refused(
    tmp_path: Path, hostile: str
) -> None:
    files = [describe("plan.json", CONTENT), describe(hostile, CONTENT)]
    path = forge(tmp_path / "a.tar.zst", files, [])
    with pytest.raises(DamagedArchiveError, match="refused: "):
        restore_archive(path, directory=tmp_path)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["../out", "a/b", "..", ".hidden", "-rf", ""])
def test_an_experiment_named_to_lead_out_is_refused(tmp_path: Path, name: str) -> None:
    path = forge(tmp_path / "a.tar.zst", [], [], name=name)
    with pytest.raises(DamagedArchiveError, match="is no experiment's name"):
        restore_archive(path, directory=tmp_path)


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE]
)
def test_links_and_devices_are_refused(tmp_path: Path, kind: bytes) -> None:
    header, _ = place(f"{NAME}/plan.json", kind=kind)
    path = forge(tmp_path / "a.tar.zst", [describe("plan.json", CONTENT)], [(header, CONTENT)])
    with pytest.raises(DamagedArchiveError, match=r"damaged in plan\.json"):
        restore_archive(path, directory=tmp_path)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("member", ["../out", "/tmp/out", f"{NAME}/../../out", f"{NAME}/other"])
def test_a_member_that_is_not_where_the_manifest_says_is_refused(
    tmp_path: Path, member: str
) -> None:
    path = forge(tmp_path / "a.tar.zst", [describe("plan.json", CONTENT)], [place(member)])
    with pytest.raises(DamagedArchiveError, match="lies where it should be"):
        restore_archive(path, directory=tmp_path)
    assert list(tmp_path.iterdir()) == [path]


def test_a_member_that_no_manifest_names_is_refused(tmp_path: Path) -> None:
    members = [place(f"{NAME}/plan.json"), place(f"{NAME}/extra")]
    path = forge(tmp_path / "a.tar.zst", [describe("plan.json", CONTENT)], members)
    with pytest.raises(DamagedArchiveError, match="extra', which the manifest does not name"):
        restore_archive(path, directory=tmp_path)


def test_a_file_is_never_written_through_a_link(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    files = [describe("door/key", CONTENT)]
    path = forge(
        tmp_path / "a.tar.zst", files, [place(f"{NAME}/door/key")], links={"door": str(outside)}
    )
    restored = restore_archive(path, directory=tmp_path)
    assert restored.links_left_out == {"door": str(outside)}
    assert list(outside.iterdir()) == []
    assert (restored.experiment.path / "door" / "key").read_bytes() == CONTENT
