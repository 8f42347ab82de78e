"""`hpcexp rm`, `restore` and `du`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hpcexp.launch.disk_use import measure
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.ownership import acquire
from hpcexp.store.status import State, read_status, write_status
from tests.cli.in_process import here, type_here
from tests.cli.test_archive import build_tiny
from tests.launch.test_archive import start_from
from tests.launch.transfer.conftest import read_files

__all__ = ["here"]
RUN = "rnn_width=4_rand_0"


@pytest.fixture
def tiny(here: Path) -> ExperimentDir:
    return build_tiny(here / "experiments")


def test_what_is_removed_is_listed_no_more_and_comes_back_as_it_was(tiny: ExperimentDir) -> None:
    before = read_files(tiny.path)
    said = type_here("rm", "tiny")
    assert f"undo     hpcexp restore {tiny.name}" in said
    assert "there are no experiments" in type_here("status")
    assert "restored" in type_here("restore", "tiny")
    assert read_files(tiny.path) == before
    assert [p.name for p in tiny.path.parent.iterdir()] == [tiny.name]


def test_the_one_that_was_removed_last_comes_back(tiny: ExperimentDir) -> None:
    (tiny.path / "which").write_text("first")
    type_here("rm", "tiny")
    again = build_tiny(tiny.path.parent)
    again.path.rename(tiny.path)
    (tiny.path / "which").write_text("second")
    type_here("rm", "tiny")
    type_here("restore", "latest")
    assert (tiny.path / "which").read_text() == "second"
    assert "is there already; nothing was restored" in type_here("restore", "tiny", exit_code=2)


def test_a_run_that_is_worked_on_keeps_its_experiment(tiny: ExperimentDir) -> None:
    run_dir = tiny.run(RUN)
    write_status(run_dir, read_status(run_dir).replace(state=State.RUNNING))
    acquire(run_dir)
    assert f"somebody works on {RUN}" in type_here("rm", "tiny", exit_code=2)
    assert tiny.path.exists()


def test_what_others_start_from_is_removed_by_force_only(tiny: ExperimentDir) -> None:
    start_from(tiny, rand_inits=1)
    assert "others start from its runs" in type_here("rm", tiny.name, exit_code=2)
    assert tiny.path.exists()
    type_here("rm", tiny.name, "--force")
    assert not tiny.path.exists()


def test_the_trash_is_emptied_only_when_that_was_said(tiny: ExperimentDir) -> None:
    type_here("rm", "tiny")
    said = type_here("rm", "--empty-trash", exit_code=2)
    assert tiny.name in said
    assert "--yes deletes it" in said
    assert "hpcexp rm --empty-trash" in type_here("du")
    assert "deleted  1 experiment, " in type_here("rm", "--empty-trash", "--yes")
    assert list(tiny.path.parent.iterdir()) == []
    assert "nothing in the trash" in type_here("restore", "tiny", exit_code=2)
    assert "the trash is empty" in type_here("rm", "--empty-trash", "--yes")


def test_nothing_is_removed_without_a_name(tiny: ExperimentDir) -> None:
    assert "name experiments to remove" in type_here("rm", exit_code=2)
    assert "did you mean tiny" in type_here("rm", "tinny", exit_code=2)


def test_du_says_what_is_what_and_what_clean_would_free(tiny: ExperimentDir) -> None:
    shown = json.loads(type_here("du", "--json"))["experiments"][0]
    checkpoint = tiny.run(RUN).checkpoint_path(attempt=1, step=160)
    assert shown["num_bytes"]["checkpoints"] == checkpoint.stat().st_size == 400_000
    assert shown["freeable"] == 400_000
    assert shown["num_bytes"]["metrics"] == tiny.run(RUN).metrics_path(1).stat().st_size
    assert shown["num_bytes"]["logs"] == len("completed after 160 steps\n")
    files = [path for path in tiny.path.rglob("*") if path.is_file()]
    assert shown["total"] == sum(path.stat().st_size for path in files)
    assert shown["num_files"] == len(files)
    said = " ".join(type_here("du").split())
    assert "400 kB" in said
    assert "clean frees that much: hpcexp clean" in said


def test_a_file_with_two_names_counts_once(tiny: ExperimentDir) -> None:
    before = measure(tiny).total
    checkpoint = tiny.run(RUN).checkpoint_path(attempt=1, step=160)
    tiny.run(RUN).checkpoint_path(attempt=1, step=161).hardlink_to(checkpoint)
    assert measure(tiny).total == before
