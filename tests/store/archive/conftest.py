"""A small experiment with a file of every kind, and archives of it, whole and forged."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from hpcexp.store.archive.contents import Listing, list_files
from hpcexp.store.archive.manifest import MANIFEST_NAME, ArchivedFile, Manifest, encode_manifest
from hpcexp.store.archive.writing import write_archive
from hpcexp.store.archive.zstd import CompressionParameter, ZstdFile
from hpcexp.store.layout import ExperimentDir
from tests.analysis.builder import build_experiment

NAME = "2022_m12_d14@14_58_06_forged"
STATES = {"completed": 4}


@pytest.fixture
def trained(tmp_path: Path) -> ExperimentDir:
    """Four completed runs with metrics, checkpoints, kept parameters, logs and a figure."""
    experiment = build_experiment(tmp_path / "experiments", {"rnn_width": [4, 6]}, rand_inits=2)
    for path in experiment.runs_dir.iterdir():
        run_dir = experiment.run(path.name)
        write(run_dir.checkpoint_path(attempt=1, step=80), b"older" * 2000)
        write(run_dir.checkpoint_path(attempt=1, step=160), b"newer" * 2000)
        write(run_dir.kept_path(epoch=5), b"kept" * 100)
        write(run_dir.log_path(1), b"trained well\n")
    write(experiment.plots_dir / "loss.pdf", b"%PDF")
    return experiment


def write(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def archive(experiment: ExperimentDir, to: Path | None = None) -> Path:
    """An archive of all that an experiment holds, beside it."""
    to = to or experiment.path.with_name(f"{experiment.name}.tar.zst")
    nothing = Listing((), {})
    write_archive(experiment, list_files(experiment), to=to, states=STATES, left_out=nothing)
    return to


def read_tree(directory: Path) -> dict[str, tuple[bytes, int, int]]:
    """Content, mode and time of every file."""
    return {
        str(path.relative_to(directory)): (
            path.read_bytes(),
            path.stat().st_mode,
            path.stat().st_mtime_ns,
        )
        for path in sorted(directory.rglob("*"))
        if path.is_file() and not path.name.endswith(".lock")
    }


def describe(path: str, content: bytes) -> ArchivedFile:
    return ArchivedFile(path, len(content), 0o644, 0, hashlib.sha256(content).hexdigest())


def forge(
    to: Path,
    files: Sequence[ArchivedFile],
    members: Sequence[tuple[tarfile.TarInfo, bytes]],
    *,
    name: str = NAME,
    links: dict[str, str] | None = None,
) -> Path:
    """An archive of any manifest and any members."""
    manifest = Manifest(
        name=name,
        archived="2022-12-14",
        hpcexp_version="0",
        states={},
        files=tuple(files),
        links=links or {},
    )
    content = encode_manifest(manifest)
    options = {CompressionParameter.checksum_flag.value: 1}
    with (
        ZstdFile(to, "w", options=options) as stream,
        tarfile.open(fileobj=stream, mode="w") as tar,
    ):
        for header, body in [(make_header(MANIFEST_NAME, content), content), *members]:
            tar.addfile(header, io.BytesIO(body))
    return to


def make_header(path: str, content: bytes = b"") -> tarfile.TarInfo:
    header = tarfile.TarInfo(path)
    header.size = len(content)
    return header
