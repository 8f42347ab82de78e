from __future__ import annotations

import json
import os
import re
import signal
import time
from pathlib import Path

import pytest

from hpcexp.store.layout import ExperimentDir
from hpcexp.store.status import State
from tests.analysis.builder import build_experiment
from tests.cli.conftest import CommandLine
from tests.launch.test_archive import start_from
from tests.store.archive.conftest import read_tree, write


@pytest.fixture
def trained(hpcexp: CommandLine) -> CommandLine:
    """One experiment of one completed run, built rather than trained, which takes longer."""
    build_tiny(hpcexp.directory / "experiments")
    return hpcexp


def build_tiny(experiments_dir: Path, *, name: str = "tiny") -> ExperimentDir:
    """An experiment with a completed run that has a checkpoint and a log."""
    experiment = build_experiment(experiments_dir, {"rnn_width": [4]}, rand_inits=1, name=name)
    run_dir = experiment.run("rnn_width=4_rand_0")
    write(run_dir.checkpoint_path(attempt=1, step=160), os.urandom(400_000))
    write(run_dir.log_path(1), b"completed after 160 steps\n")
    return experiment


def find_archive(hpcexp: CommandLine) -> Path:
    (path,) = (hpcexp.directory / "experiments").glob("*.tar.zst")
    return path


def test_an_archived_experiment_is_listed_read_and_drawn_in_place(trained: CommandLine) -> None:
    (experiment,) = trained.experiments
    trained("note", "tiny", "wider next time", "--tag", "paper")
    shown = trained("archive", "tiny", "--remove")
    assert "every checksum was read back" in shown
    assert not experiment.path.exists()
    archive = find_archive(trained)

    assert f"archived  {experiment.name}  4" in trained("status")
    assert "rnn_width=4" in trained("status", "tiny")
    assert "1 completed, archived" in trained("list", "--tag", "paper")
    assert "wider next time" in trained("note", "tiny", "--list")
    assert "completed after 160 steps" in trained("logs", "tiny", "rnn_width=4_rand_0")
    drawn = trained("plot", "tiny", "--figure", "boxplots")
    assert f"read from experiments/{archive.name}" in drawn
    assert f"in experiments/{experiment.name}.plots/" in drawn
    assert (archive.parent / f"{experiment.name}.plots" / "linear_projection_mse.pdf").exists()
    assert "rnn_width=4" in trained("status", f"experiments/{archive.name}")


def test_what_would_change_an_archive_is_refused_and_says_how_to_restore_it(
    trained: CommandLine,
) -> None:
    trained("archive", "tiny", "--remove")
    content = find_archive(trained).read_bytes()
    for command in ("resume", "cancel", "retry", "eval", "clean", "archive"):
        shown = trained(command, "tiny", exit_code=2)
        assert f"hpcexp archive --restore experiments/{find_archive(trained).name}" in shown
        assert "Traceback" not in shown
    assert find_archive(trained).read_bytes() == content


def test_a_restored_experiment_is_as_it_was_and_is_never_restored_onto_another(
    trained: CommandLine,
) -> None:
    (experiment,) = trained.experiments
    before = read_tree(experiment.path)
    trained("archive", "tiny", "--remove")
    assert "every checksum is right" in trained("archive", "--restore", "tiny")
    assert read_tree(experiment.path) == before
    assert "exists already" in trained("archive", "--restore", "tiny", exit_code=2)
    assert "nothing to do" in trained("resume", "tiny", "--local")


def test_numbers_and_places_are_there_for_scripts(trained: CommandLine) -> None:
    (experiment,) = trained.experiments
    made = json.loads(trained("archive", "tiny", "--without-checkpoints", "--remove", "--json"))
    assert made["experiment"] == experiment.name
    assert made["states"] == {"completed": 1}
    assert (made["is_removed"], made["num_checkpoints_left_out"] >= 1) == (True, True)
    (listed,) = json.loads(trained("status", "--json"))
    assert (listed["name"], listed["is_archived"]) == (experiment.name, True)
    drawn = json.loads(trained("plot", "tiny", "--figure", "boxplots", "--json"))
    assert drawn["experiment"].endswith(".tar.zst")
    restored = json.loads(trained("archive", "--restore", "tiny", "--json"))
    assert restored["num_files"] == made["num_files"]


def test_a_damaged_archive_is_an_error_that_names_the_file(trained: CommandLine) -> None:
    trained("archive", "tiny", "--remove")
    archive = find_archive(trained)
    archive.write_bytes(archive.read_bytes()[: archive.stat().st_size // 2])
    shown = trained("archive", "--restore", "tiny", exit_code=2)
    assert re.search(r"truncated, it ends in runs/\S+\.pt ", shown)
    archive.write_bytes(b"\x28\xb5\x2f\xfd nothing")
    for command in ("plot", "status", "logs"):
        shown = trained(command, "tiny", exit_code=2)
        assert f"{archive.name}: is no archive of hpcexp" in shown
        assert "Traceback" not in shown
    assert [p.name for p in archive.parent.iterdir()] == [archive.name]


def test_an_experiment_that_trains_is_not_archived(hpcexp: CommandLine) -> None:
    process = hpcexp.start(
        "launch", "tiny.yaml", "--local", "--profile", "long", "--rand-inits", "1",
        "--only", "rnn_width=4",
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while '"running": 1' not in hpcexp("status", "--json"):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        shown = hpcexp("archive", "latest", "--remove", exit_code=2)
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert "1 run is being worked on: rnn_width=4_rand_0; nothing was archived" in shown
    assert len(hpcexp.experiments) == 1


def test_an_unknown_archive_and_options_that_exclude_each_other_are_refused(
    trained: CommandLine,
) -> None:
    assert "no such archive" in trained("archive", "--restore", "tiny", exit_code=2)
    shown = trained("archive", "tiny", "--restore", "--remove", exit_code=2)
    assert "--restore goes with --to only" in shown


def test_what_others_start_from_is_said(trained: CommandLine) -> None:
    (experiment,) = trained.experiments
    dependent = start_from(experiment, rand_inits=1)
    shown = trained("archive", "tiny", "--remove", exit_code=2)
    assert dependent.name in shown
    assert State.COMPLETED in trained("archive", "tiny", "--json")
