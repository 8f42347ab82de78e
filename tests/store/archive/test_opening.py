from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hpcexp.errors import UsageError
from hpcexp.store.archive.manifest import DamagedArchiveError
from hpcexp.store.archive.names import find_archive, list_archives
from hpcexp.store.archive.opening import open_archive
from hpcexp.store.experiment import read_plan
from hpcexp.store.find import find_experiment, list_archived, list_experiments
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.metrics import read_metrics
from tests.store.archive.conftest import archive, write


@pytest.fixture
def archived(trained: ExperimentDir) -> Path:
    """An archive whose directory has another name by now."""
    path = archive(trained)
    trained.path.rename(trained.path.parents[1] / "was")
    return path


def test_an_opened_archive_has_what_is_read_and_no_parameters(
    archived: Path, tmp_path: Path
) -> None:
    opened = open_archive(archived)
    original = ExperimentDir(tmp_path / "was")
    assert read_plan(opened) == read_plan(original)
    for run in read_plan(opened).runs:
        there, here = original.run(run.name), opened.run(run.name)
        assert read_metrics(here.path).values.tobytes() == read_metrics(there.path).values.tobytes()
        assert here.log_path(1).read_bytes() == there.log_path(1).read_bytes()
        assert not here.checkpoints_dir.exists()
        assert not here.kept_dir.exists()


def test_its_name_is_the_experiments_and_its_figures_lie_beside_the_archive(
    archived: Path,
) -> None:
    opened = open_archive(archived)
    assert opened.name == archived.name.removesuffix(".tar.zst")
    assert opened.place == archived
    assert opened.plots_dir == archived.parent / f"{opened.name}.plots"
    assert opened.locate(opened.plan_path) == f"{archived}: plan.json"


def test_it_is_unpacked_once_for_each_process_and_again_when_it_was_replaced(
    archived: Path,
) -> None:
    first = open_archive(archived)
    assert open_archive(archived).path == first.path
    os.utime(archived, ns=(1, 1))
    assert open_archive(archived).path != first.path


def test_nothing_is_left_of_it_when_the_process_ends(archived: Path, tmp_path: Path) -> None:
    write(tmp_path / "temporary" / "mine", b"")
    code = (
        "import sys; from pathlib import Path\n"
        "from hpcexp.store.archive.opening import open_archive\n"
        "print(open_archive(Path(sys.argv[1])).path)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, archived],
        env={**os.environ, "TMPDIR": str(tmp_path / "temporary")},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.startswith(str(tmp_path / "temporary"))
    assert [path.name for path in (tmp_path / "temporary").iterdir()] == ["mine"]


def test_a_damaged_one_is_refused_and_nothing_is_read(archived: Path) -> None:
    archived.write_bytes(archived.read_bytes()[:1500])
    with pytest.raises(DamagedArchiveError):
        open_archive(archived)


def test_archives_are_known_by_their_names(tmp_path: Path) -> None:
    for name in ("2022_m12_d14@14_58_06_a.tar.zst", "data.tar.zst", "2022_m12_d14@14_58_06_a"):
        write(tmp_path / name, b"")
    assert [e.name for e in list_archives(tmp_path)] == ["2022_m12_d14@14_58_06_a"]


def test_an_archive_is_found_by_its_path_and_by_that_of_the_directory(archived: Path) -> None:
    directory = str(archived).removesuffix(".tar.zst")
    assert find_archive(str(archived)) == archived
    assert find_archive(directory) == archived
    assert find_archive(f"{directory}_other") is None
    Path(directory).mkdir()
    assert find_archive(directory) is None


@pytest.mark.parametrize("text", ["latest", "xj_test", "path", "directory"])
def test_readers_find_an_archive_as_they_find_a_directory(archived: Path, text: str) -> None:
    directory = str(archived).removesuffix(".tar.zst")
    typed = {"path": str(archived), "directory": directory}.get(text, text)
    found = find_experiment(typed, experiments_dir=archived.parent, archives=True)
    assert found.experiment.place == archived
    assert found.by_path == (text in ("path", "directory"))


def test_everybody_else_is_told_to_restore_it(archived: Path) -> None:
    with pytest.raises(UsageError, match=rf"is an archive, .* hpcexp archive --restore {archived}"):
        find_experiment("latest", experiments_dir=archived.parent)


def test_where_directory_and_archive_are_there_the_directory_is_meant(
    trained: ExperimentDir,
) -> None:
    archive(trained)
    found = find_experiment("latest", experiments_dir=trained.path.parent)
    assert (found.experiment.place, found.num_matches) == (trained.path, 1)
    assert list_archived(trained.path.parent) == []


def test_archived_experiments_are_listed_apart(archived: Path) -> None:
    assert list_experiments(archived.parent) == []
    assert [e.place for e in list_archived(archived.parent)] == [archived]
