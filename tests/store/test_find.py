from __future__ import annotations

import os
from pathlib import Path

import pytest

from hpcexp.errors import UsageError
from hpcexp.store.find import find_experiment, list_experiments
from hpcexp.store.layout import ExperimentDir

OLD = "2022_m12_d13@16_26_35_batch_size"
MIDDLE = "2022_m12_d14@14_58_06_max_epoch"
NEW = "2023_m01_d02@09_00_00_max_epoch_long"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    directory = tmp_path / "experiments"
    for name in (MIDDLE, NEW, OLD):
        add(directory, name)
    return directory


def add(directory: Path, name: str) -> None:
    experiment = ExperimentDir(directory / name)
    experiment.path.mkdir(parents=True)
    experiment.record_path.write_text("{}")


def names(directory: Path) -> list[str]:
    return [experiment.name for experiment in list_experiments(directory)]


def test_experiments_are_listed_newest_first(directory: Path) -> None:
    assert names(directory) == [NEW, MIDDLE, OLD]


def test_what_is_no_experiment_is_not_listed(directory: Path) -> None:
    add(directory, ".making-0123456789ab")
    (directory / "notes").mkdir()
    (directory / "README.md").touch()
    assert names(directory) == [NEW, MIDDLE, OLD]
    assert names(directory / "nowhere") == []


def test_latest_is_the_newest(directory: Path) -> None:
    found = find_experiment("latest", experiments_dir=directory)
    assert (found.experiment.name, found.num_matches, found.by_path) == (NEW, 3, False)


@pytest.mark.parametrize(
    ("text", "name", "num_matches"),
    [("max_epoch", NEW, 2), ("batch", OLD, 1), ("2022_m12", MIDDLE, 2), ("d14@14", MIDDLE, 1)],
)
def test_a_part_of_a_name_finds_the_newest_and_says_how_many_there_are(
    directory: Path, text: str, name: str, num_matches: int
) -> None:
    found = find_experiment(text, experiments_dir=directory)
    assert (found.experiment.name, found.num_matches, found.by_path) == (name, num_matches, False)


def test_a_whole_name_means_itself_also_where_it_begins_another(directory: Path) -> None:
    add(directory, MIDDLE + "_again")
    found = find_experiment(MIDDLE, experiments_dir=directory)
    assert (found.experiment.name, found.num_matches) == (MIDDLE, 1)


@pytest.mark.parametrize("relative", [False, True])
def test_a_path_finds_an_experiment_anywhere(
    directory: Path, relative: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(directory / OLD)
    text = os.path.relpath(directory / MIDDLE) if relative else str(directory / MIDDLE)
    found = find_experiment(text, experiments_dir=directory / "nowhere")
    assert (found.experiment.path, found.num_matches, found.by_path) == (
        (directory / MIDDLE).resolve(),
        1,
        True,
    )


def test_a_miss_names_the_nearest_experiment(directory: Path) -> None:
    with pytest.raises(UsageError, match=r"'max_epohc' in its name; did you mean max_epoch\b"):
        find_experiment("max_epohc", experiments_dir=directory)
    with pytest.raises(UsageError, match=f"the newest is {NEW}"):
        find_experiment("zzzz", experiments_dir=directory)


def test_an_empty_directory_is_said_to_be_empty(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no experiments in .*; launch one, or .*--experiments"):
        find_experiment("latest", experiments_dir=tmp_path)
