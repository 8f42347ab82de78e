from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from hpcexp.errors import HpcexpError
from hpcexp.store.archive.contents import Part, find_part, list_files
from hpcexp.store.layout import ExperimentDir
from tests.store.archive.conftest import write


@pytest.mark.parametrize(
    ("path", "part"),
    [
        ("experiment.json", Part.RECORDS),
        ("jobs/submission_001.json", Part.RECORDS),
        ("provenance/provenance.json", Part.RECORDS),
        ("notes/20221214T150000_0123.json", Part.RECORDS),
        ("plots/statistics.json", Part.RECORDS),
        ("runs/r/status.json", Part.RECORDS),
        ("runs/r/metrics.2.bin", Part.METRICS),
        ("runs/r/logs/attempt_1.log", Part.LOGS),
        ("jobs/submission_001/job_0.log", Part.LOGS),
        ("runs/r/inspection/x.png", Part.RESULTS),
        ("plots/loss.pdf", Part.RESULTS),
        ("provenance/untracked/a.py", Part.RESULTS),
        ("code/model.py", Part.RESULTS),
        ("runs/r/forensics.pt", Part.PARAMETERS),
        ("runs/r/kept/epoch_000001.pt", Part.PARAMETERS),
        ("runs/r/checkpoints/attempt_0001_step_0000000080.pt", Part.CHECKPOINTS),
    ],
)
def test_every_file_has_a_part(path: str, part: Part) -> None:
    assert find_part(path) == part


def test_files_are_listed_part_by_part_with_the_experiments_record_first(
    trained: ExperimentDir,
) -> None:
    paths = [path for path, _ in list_files(trained).files]
    parts = [find_part(path) for path in paths]
    assert parts == sorted(parts)
    assert paths[0] == "experiment.json"


@pytest.mark.parametrize(
    "transient",
    [
        "jobs/.lock",
        ".summary.lock",
        "jobs/.held.lock",
        "runs/{run}/.lock",
        "runs/{run}/.lock.held",
        "runs/{run}/.claim.3",
        "runs/{run}/.status.json.0123abcd.tmp",
        "runs/{run}/metrics.2.bin.tmp",
        "runs/{run}/checkpoints/.attempt_0001_step_0000000080.pt.77.tmp",
        "eval/last/.lock",
        ".making-0123456789ab/runs/{run}/config.json",
    ],
)
def test_locks_and_what_was_never_finished_are_left_out(
    trained: ExperimentDir, transient: str
) -> None:
    before = {path for path, _ in list_files(trained).files}
    run = next(trained.runs_dir.iterdir()).name
    write(trained.path / transient.format(run=run), b"")
    assert {path for path, _ in list_files(trained).files} == before


def test_copies_of_code_are_whole_whatever_their_files_are_called(trained: ExperimentDir) -> None:
    for name in (".lock", ".editor.tmp"):
        write(trained.path / "code" / name, b"")
    paths = [path for path, _ in list_files(trained).files]
    assert {"code/.lock", "code/.editor.tmp"} <= set(paths)


def test_links_are_listed_and_never_followed(trained: ExperimentDir, tmp_path: Path) -> None:
    write(tmp_path / "elsewhere" / "secret", b"")
    (trained.path / "data").symlink_to(tmp_path / "elsewhere")
    listing = list_files(trained)
    assert listing.links == {"data": str(tmp_path / "elsewhere")}
    assert not [path for path, _ in listing.files if "secret" in path]


def test_what_is_neither_file_nor_directory_is_refused_by_name(trained: ExperimentDir) -> None:
    os.mkfifo(trained.path / "pipe")
    with pytest.raises(HpcexpError, match=re.escape(f"{trained.path / 'pipe'}: is neither")):
        list_files(trained)


def test_a_change_is_found_by_size_time_and_presence(trained: ExperimentDir) -> None:
    before = list_files(trained)
    assert list_files(trained).find_change(before) is None
    write(trained.path / "new.txt", b"")
    assert list_files(trained).find_change(before) == "new.txt"
    (trained.path / "new.txt").unlink()
    os.utime(trained.plan_path, ns=(0, 0))
    assert list_files(trained).find_change(before) == "plan.json"
