from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from hpcexp.launch import clean as launch_clean
from hpcexp.launch import left_overs
from hpcexp.launch.clean import find_freeable, free
from hpcexp.launch.left_overs import MIN_AGE_S, find_left_overs, find_left_overs_within
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.locks import locked
from hpcexp.store.ownership import acquire
from hpcexp.store.status import FINISHED, State, read_status, write_status
from tests.analysis.builder import Fate, build_experiment
from tests.launch.test_archive import start_from
from tests.store.archive.conftest import read_tree, trained, write

__all__ = ["trained"]  # a fixture of the store's tests that is used here as well


def find_later() -> float:
    """When what is written now has been there for longer than a day."""
    return time.time() + MIN_AGE_S + 60


def list_checkpoints(experiment: ExperimentDir) -> set[str]:
    return {str(p.relative_to(experiment.runs_dir)) for p in experiment.runs_dir.glob("*/*/*.pt")}


def test_looking_changes_nothing_and_counts_runs_files_and_bytes(trained: ExperimentDir) -> None:
    before = read_tree(trained.path)
    (found,) = find_freeable([trained]).experiments
    assert (len(found.runs), found.num_files, found.num_bytes) == (4, 8, 80_000)
    assert read_tree(trained.path) == before


def test_checkpoints_go_and_everything_else_stays(trained: ExperimentDir) -> None:
    before = read_tree(trained.path)
    freed = free(find_freeable([trained]))
    assert (freed.num_files, freed.num_bytes, freed.spared) == (8, 80_000, ())
    gone = before.keys() - read_tree(trained.path).keys()
    assert len(gone) == 8
    assert all("/checkpoints/" in path for path in gone)
    assert {path: before[path] for path in before.keys() - gone} == read_tree(trained.path)
    assert find_freeable([trained]).num_files == 0


def test_parameters_that_were_kept_on_purpose_go_only_if_asked_for(trained: ExperimentDir) -> None:
    assert find_freeable([trained]).num_files == 8
    assert free(find_freeable([trained], kept=True)).num_files == 12
    assert list_checkpoints(trained) == set()


def test_what_a_training_saved_by_itself_goes_with_its_directories(trained: ExperimentDir) -> None:
    run_dir = trained.run("rnn_width=4_rand_0")
    own = run_dir.own_checkpoints_dir(1) / "shards"
    own.mkdir(parents=True)
    (own / "0.safetensors").write_bytes(b"x" * 500)
    (own.parent / "latest").symlink_to("shards")
    found = find_freeable([trained])
    assert (found.num_files, found.num_bytes) == (10, 80_000 + 500 + len("shards"))
    free(found)
    assert run_dir.list_own_checkpoints_dirs() == []
    assert find_freeable([trained]).num_files == 0


def test_two_names_of_one_file_free_it_once(trained: ExperimentDir) -> None:
    run_dir = trained.run("rnn_width=4_rand_0")
    newest = run_dir.checkpoint_path(attempt=1, step=160)
    run_dir.checkpoint_path(attempt=2, step=160).hardlink_to(newest)
    assert find_freeable([trained]).num_bytes == 80_000


@pytest.mark.parametrize("state", State)
def test_only_runs_that_ended_of_their_own_are_freed(tmp_path: Path, state: State) -> None:
    if state in (State.SUBMITTED, State.NODE_FAILURE, State.LOST):
        return  # never written
    experiment = build_experiment(
        tmp_path, {"rnn_width": [4]}, rand_inits=1, fate=lambda run: Fate(state=state, epoch=2)
    )
    run_dir = experiment.run("rnn_width=4_rand_0")
    write(run_dir.checkpoint_path(attempt=1, step=16), b"state")
    freed = free(find_freeable([experiment]))
    assert freed.num_files == (1 if state in FINISHED else 0)


def test_a_run_that_began_again_since_it_was_looked_at_is_spared(trained: ExperimentDir) -> None:
    found = find_freeable([trained])
    run_dir = trained.run("rnn_width=4_rand_0")
    write_status(run_dir, read_status(run_dir).replace(state=State.PENDING))
    freed = free(found)
    assert freed.spared == ("rnn_width=4_rand_0: is no longer finished",)
    assert freed.num_files == 6
    assert len(list_checkpoints(trained)) == 2 + 4  # and what was kept on purpose


def test_a_run_that_somebody_owns_is_spared(trained: ExperimentDir) -> None:
    found = find_freeable([trained])
    acquire(trained.run("rnn_width=6_rand_1"))
    freed = free(found)
    assert freed.spared == ("rnn_width=6_rand_1: is owned by a process that may be alive",)


def test_an_attempt_that_is_starting_is_waited_for(trained: ExperimentDir) -> None:
    """An attempt takes its run under the run's lock: it is owned when clean gets to look."""
    found = find_freeable([trained])
    run_dir = trained.run("rnn_width=4_rand_0")
    with locked(run_dir.lock_path):
        cleaning = threading.Thread(target=free, args=(found,))
        cleaning.start()
        time.sleep(0.1)
        write_status(run_dir, read_status(run_dir).replace(state=State.RUNNING), is_news=False)
    cleaning.join()
    assert len(list(run_dir.checkpoints_dir.iterdir())) == 2


def test_runs_that_others_start_from_are_protected_and_those_are_named(
    trained: ExperimentDir,
) -> None:
    dependent = start_from(trained, rand_inits=1)
    found = find_freeable([trained])
    assert [run.run_dir.name for run in found.protected] == ["rnn_width=4_rand_0"]
    assert found.protected[0].needed_by == (dependent.name,)
    assert free(found).num_files == 6
    assert free(find_freeable([trained], force=True)).num_files == 2


def test_an_experiment_that_hides_what_it_starts_from_is_pointed_out(
    trained: ExperimentDir,
) -> None:
    dependent = start_from(trained, rand_inits=1)
    next(dependent.runs_dir.glob("*/config.json")).write_text("{")
    (problem,) = find_freeable([trained]).problems
    assert problem.startswith(f"{dependent.name}: what it starts from is not known")


def test_a_damaged_experiment_is_named_and_the_others_are_freed(
    trained: ExperimentDir,
) -> None:
    other = build_experiment(trained.path.parent, {"rnn_width": [4]}, rand_inits=1, name="other")
    other.plan_path.write_text("{")
    found = find_freeable([other, trained])
    assert len(found.experiments) == 1
    assert any("damaged" in problem for problem in found.problems)


def test_files_that_dead_writers_left_are_found_after_a_day(trained: ExperimentDir) -> None:
    run_dir = trained.run("rnn_width=4_rand_0")
    left = {
        write(run_dir.path / ".status.json.0123abcd.tmp", b"{"),
        write(run_dir.path / "metrics.3.bin.tmp", b"rows"),
        write(run_dir.checkpoints_dir / ".attempt_0001_step_0000000240.pt.9.tmp", b"half"),
        write(trained.jobs_dir / ".submission_001.json.0123abcd.tmp", b"{"),
        write(trained.path / ".plan.json.0123abcd.tmp", b"{"),
    }
    extension = write(trained.path / ".making-0123456789ab" / "runs" / "a" / "config.json", b"{}")
    left.add(extension.parents[2])
    write(trained.plots_dir / "notes.tmp", b"somebody's")
    assert find_left_overs_within(trained) == []
    assert {x.path for x in find_left_overs_within(trained, now=find_later())} == left


def test_what_killed_commands_left_is_found_after_a_day(tmp_path: Path) -> None:
    write(tmp_path / ".making-0123456789ab" / "runs" / "a" / "config.json", b"{}")
    write(tmp_path / ".removing-0123456789ab" / "plan.json", b"{}")
    write(tmp_path / ".2022_m12_d14@14_58_06_a.tar.zst.0123abcd.tmp", b"half")
    for theirs in (".git/config", ".hidden", "2022_m12_d14@14_58_06_a/experiment.json"):
        write(tmp_path / theirs, b"{}")
    assert find_left_overs(tmp_path) == []
    found = find_left_overs(tmp_path, now=find_later())
    assert [(x.path.name, x.num_files, x.num_bytes) for x in found] == [
        (".making-0123456789ab", 1, 2),
        (".removing-0123456789ab", 1, 2),
        (".2022_m12_d14@14_58_06_a.tar.zst.0123abcd.tmp", 1, 4),
    ]


def test_a_directory_that_is_being_made_is_left_alone_however_old_its_files_say_they_are(
    tmp_path: Path,
) -> None:
    """A restored archive has the times that its files had."""
    path = write(tmp_path / ".making-0123456789ab" / "plan.json", b"{}")
    for old in (path, path.parent):
        os.utime(old, ns=(0, 0))
    assert find_left_overs(tmp_path) == []


def test_left_overs_are_freed_with_the_rest(
    trained: ExperimentDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = write(trained.path.parent / ".making-0123456789ab" / "plan.json", b"{}")
    monkeypatch.setattr(left_overs, "MIN_AGE_S", -60.0)
    found = find_freeable([], directories=[trained.path.parent])
    assert [x.path for x in found.left_overs] == [left.parent]
    assert free(found).num_files == 1
    assert not left.parent.exists()
    assert len(list_checkpoints(trained)) == 12


def test_more_runs_than_are_freed_under_one_lock_are_all_freed(
    trained: ExperimentDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch_clean, "NUM_RUNS_PER_LOCK", 1)
    assert free(find_freeable([trained])).num_files == 8
