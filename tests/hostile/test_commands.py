"""Commands on directories that are full, read-only or somebody else's: a line that says so."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hpcexp.store.layout import ExperimentDir
from hpcexp.store.ownership import read_live_owner
from hpcexp.store.status import State, read_status
from hpcexp.worker.patience import PATIENCE_VARIABLE
from tests.hostile.conftest import Terminal, copy_experiment, make_unfinished
from tests.hostile.surroundings import fill, give_away, hide, mount, tmpfs
from tests.worker.conftest import list_runs, take_snapshot


def list_all(directory: Path) -> list[str]:
    return sorted(str(p.relative_to(directory)) for p in directory.rglob("*"))


# ------------------------------------------------------------------------------- launch


def test_launch_into_a_read_only_directory_is_refused_and_makes_nothing(terminal: Terminal) -> None:
    with tmpfs(terminal.directory / "experiments", "size=1m", "ro"):
        said = terminal.type("launch", "tiny.yaml", "--inline")
        said.check_error(exit_code=2, words="Read-only file system")
        assert "--experiments-dir" in said.stderr


def test_launch_into_somebody_elses_directory_is_refused_and_makes_nothing(
    user: Terminal,
) -> None:
    (user.directory / "theirs").mkdir()
    give_away(user.directory / "theirs")
    said = user.type("launch", "tiny.yaml", "--inline", "--experiments-dir", "theirs")
    said.check_error(exit_code=2, words="theirs: cannot make an experiment here (Permission denied")
    assert list_all(user.directory / "theirs") == []


def test_launch_onto_a_full_disk_keeps_nothing(terminal: Terminal) -> None:
    directory = terminal.directory / "experiments"
    with tmpfs(directory):
        fill(directory)
        said = terminal.type("launch", "tiny.yaml", "--inline")
        said.check_error(exit_code=1, words="No space left on device")
        assert list_all(directory) == ["filler"]


@pytest.mark.parametrize("spare_kb", [40, 60, 80, 120])
def test_a_launch_that_the_disk_cuts_short_leaves_nothing_or_what_resume_completes(
    terminal: Terminal, spare_kb: int
) -> None:
    directory = terminal.directory / "experiments"
    with tmpfs(directory, "size=2m"):
        filler = fill(directory, spare_bytes=spare_kb * 1000)
        terminal = replace(terminal, environment={PATIENCE_VARIABLE: "0"})
        said = terminal.type("launch", "tiny.yaml", "--inline", "--rand-inits", "1")
        assert said.exit_code == 1, said
        assert "No space left on device" in said.text
        assert "Traceback (most recent call last)" not in said.stdout + said.stderr
        filler.unlink()
        assert [p.name for p in directory.glob(".making-*")] == []
        for experiment in terminal.experiments:
            said = terminal.type("resume", experiment.name, "--inline")
            assert said.exit_code == 0, said
            assert read_status(list_runs(experiment)[0]).state == State.COMPLETED


# ------------------------------------------------- an experiment on a full or read-only disk


@pytest.mark.parametrize("command", ["status", "logs"])
def test_reading_commands_work_on_a_full_and_on_a_read_only_disk(
    terminal: Terminal, trained: ExperimentDir, command: str
) -> None:
    experiment = copy_experiment(trained, terminal)
    arguments = [command, "latest", *(["base_rand_0"] if command == "logs" else [])]
    expected = terminal.type(*arguments)
    assert expected.exit_code == 0
    for options in (["size=2m"], ["size=2m", "ro"]):
        place = terminal.directory / f"{len(options)}"
        with tmpfs(place, "size=2m"):
            copy = copy_experiment(experiment, Terminal(place))
            copy.summary_path.unlink()  # it may not be made again
            fill(place)
            if "ro" in options:
                mount("-o", "remount,ro", place)
            said = terminal.type(*arguments, "--experiments-dir", place / "experiments")
            assert said == expected


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["plot", "latest"], "plots"),
        (["resume", "latest", "--inline"], "base_rand_0"),
        (["cancel", "latest"], "base_rand_0"),
        (["eval", "latest", "base_rand_0", "--kind", "trajectory"], "eval"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_writing_commands_say_where_the_disk_is_full_and_work_once_it_is_not(
    terminal: Terminal, trained: ExperimentDir, command: list[str], words: str
) -> None:
    with tmpfs(terminal.directory / "experiments", "size=3m") as directory:
        experiment = copy_experiment(trained, terminal)
        if command[0] in ("resume", "cancel"):
            make_unfinished(experiment)
        filler = fill(directory)
        before = take_snapshot(experiment.path)
        said = terminal.type(*command)
        said.check_error(exit_code=1, words="No space left on device")
        assert words in said.stderr
        after = take_snapshot(experiment.path)
        assert {name: after[name][0] for name in before if before[name][0]} == {
            name: content for name, (content, _) in before.items() if content
        }
        filler.unlink()
        said = terminal.type(*command)
        assert said.exit_code == 0, said
        assert all(read_live_owner(run) is None for run in list_runs(experiment))


@pytest.mark.parametrize("command", ["plot", "resume", "cancel"])
def test_writing_commands_on_a_read_only_disk_say_so(
    terminal: Terminal, trained: ExperimentDir, command: str
) -> None:
    with tmpfs(terminal.directory / "experiments", "size=3m") as directory:
        experiment = copy_experiment(trained, terminal)
        make_unfinished(experiment)
        mount("-o", "remount,ro", directory)
        arguments = [command, "latest", *(["--inline"] if command == "resume" else [])]
        said = terminal.type(*arguments)
        said.check_error(exit_code=1, words="Read-only file system")


# --------------------------------------------------------------------------- permissions


def test_one_experiment_that_may_not_be_read_does_not_hide_the_others(
    user: Terminal, trained: ExperimentDir
) -> None:
    copy_experiment(trained, user)
    secret = user.directory / "experiments" / "2022_m12_d14@14_58_06_secret"
    secret.mkdir()
    hide(secret)
    said = user.type("status")
    assert said.exit_code == 0, said
    assert f"{trained.name} " in said.stdout
    assert "14_58_06_secret cannot be read" in said.stdout
    assert "Permission denied" in said.stdout
    user.type("status", "secret").check_error(exit_code=1, words="Permission denied")


def test_a_directory_of_experiments_that_may_not_be_read_is_named(user: Terminal) -> None:
    (user.directory / "theirs").mkdir()
    hide(user.directory / "theirs")
    user = replace(user, environment={"HPCEXP_EXPERIMENTS_DIR": "theirs"})
    said = user.type("status")
    said.check_error(exit_code=1, words="theirs: Permission denied; have its owner permit it")


def test_a_run_that_may_not_be_read_is_named_by_status(
    user: Terminal, trained: ExperimentDir
) -> None:
    experiment = copy_experiment(trained, user)
    experiment.summary_path.unlink()
    hide(list_runs(experiment)[0].path)
    said = user.type("status", "latest")
    assert said.exit_code == 0, said
    assert "lost" in said.stdout
    assert "Permission denied" in said.stdout
    assert "not counted: 1 missing" in user.type("plot", "latest").stdout


@pytest.mark.parametrize("command", ["resume", "retry", "cancel", "plot", "eval"])
def test_somebody_elses_experiment_can_be_looked_at_and_not_changed(
    user: Terminal, trained: ExperimentDir, command: str
) -> None:
    experiment = copy_experiment(trained, user)
    make_unfinished(experiment)
    give_away(experiment.path)
    before = take_snapshot(experiment.path)
    assert user.type("status", "latest").exit_code == 0
    arguments = [command, "latest", *(["--inline"] if command in ("resume", "retry") else [])]
    said = user.type(*arguments)
    said.check_error(exit_code=2 if command == "eval" else 1, words="Permission denied")
    assert take_snapshot(experiment.path) == before


def test_a_checkpoint_that_may_not_be_read_fails_its_run_in_words(user: Terminal) -> None:
    experiment = user.train("--rand-inits", "1")
    make_unfinished(experiment)
    run = list_runs(experiment)[0]
    for path in run.checkpoints_dir.iterdir():
        hide(path)
    impatient = replace(user, environment={PATIENCE_VARIABLE: "0"})
    said = impatient.type("resume", "latest", "--inline")
    assert said.exit_code == 1
    status = read_status(run)
    assert (status.state, status.step) == (State.FAILED, 8)
    assert status.reason.startswith("Permission denied (")
    assert status.reason.endswith(".pt)")
