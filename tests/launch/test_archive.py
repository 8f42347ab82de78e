from __future__ import annotations

import re
import shutil
import signal
from pathlib import Path

import pytest

from hpcexp.errors import HpcexpError, UsageError
from hpcexp.launch import archive as launch_archive
from hpcexp.launch.archive import Wanted, archive_experiment
from hpcexp.launch.observe import Observation, observe
from hpcexp.launch.submit import submitting
from hpcexp.store.archive.contents import Part, find_part
from hpcexp.store.archive.reading import read_archive
from hpcexp.store.archive.restoring import restore_archive
from hpcexp.store.archive.writing import write_archive
from hpcexp.store.files import read_json, write_json
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.ownership import acquire
from hpcexp.store.status import State
from hpcexp.store.submissions import Stage, make_submission, write_submission
from tests.analysis.builder import Fate, build_experiment
from tests.store.archive.conftest import read_tree, trained, write
from tests.store.conftest import StartPython, start_python

__all__ = ["start_python", "trained"]  # fixtures of the store's tests that are used here as well

REMOVE = Wanted(remove=True)


def list_names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_the_archive_lies_beside_the_directory_and_the_directory_is_kept(
    trained: ExperimentDir,
) -> None:
    before = read_tree(trained.path)
    archived = archive_experiment(trained, Wanted())
    assert archived.path == trained.path.parent / f"{trained.name}.tar.zst"
    assert archived.manifest.states == {"completed": 4}
    assert archived.num_bytes == archived.path.stat().st_size
    assert (archived.is_removed, archived.notes) == (False, ())
    assert read_tree(trained.path) == before
    read_archive(archived.path)


def test_with_remove_only_the_archive_stays_and_it_gives_everything_back(
    trained: ExperimentDir,
) -> None:
    before = read_tree(trained.path)
    archived = archive_experiment(trained, REMOVE)
    assert archived.is_removed
    assert list_names(trained.path.parent) == [archived.path.name]
    restored = restore_archive(archived.path, directory=trained.path.parent)
    assert read_tree(restored.experiment.path) == before


def test_without_checkpoints_the_results_are_there_and_what_is_not_is_counted(
    trained: ExperimentDir,
) -> None:
    manifest = archive_experiment(trained, Wanted(without_checkpoints=True)).manifest
    parts = {find_part(file.path) for file in manifest.files}
    assert parts == set(Part) - {Part.CHECKPOINTS}
    assert (manifest.num_files_left_out, manifest.num_bytes_left_out) == (8, 80_000)


def test_progress_is_told_of_every_byte_three_times(trained: ExperimentDir) -> None:
    total: list[int] = []
    done: list[int] = []
    archived = archive_experiment(trained, Wanted(), on_total=total.append, on_bytes=done.append)
    assert total == [sum(done)] == [3 * archived.manifest.num_bytes]


@pytest.mark.parametrize("remove", [False, True])
def test_runs_that_are_worked_on_are_named_and_nothing_is_archived(
    tmp_path: Path, remove: bool
) -> None:
    running = Fate(state=State.RUNNING, epoch=3)
    experiment = build_experiment(
        tmp_path,
        {"rnn_width": [4]},
        rand_inits=2,
        fate=lambda run: running if run.rand_init else Fate(),
    )
    acquire(experiment.run("rnn_width=4_rand_1"))  # by this process, which is alive
    with pytest.raises(
        UsageError, match=r"1 run is being worked on: rnn_width=4_rand_1; nothing was archived"
    ):
        archive_experiment(experiment, Wanted(remove=remove))
    assert list_names(tmp_path) == [experiment.name]


def test_held_runs_are_worked_on_soon(tmp_path: Path) -> None:
    experiment = build_experiment(
        tmp_path, {"rnn_width": [4]}, rand_inits=2, fate=lambda run: Fate(state=State.PENDING)
    )
    bundles = [["rnn_width=4_rand_0"]]
    held = make_submission(
        experiment, number=1, executor="local", bundles=bundles, stage=Stage.HELD
    )
    write_submission(experiment, held)
    with pytest.raises(UsageError, match=r"being worked on: rnn_width=4_rand_0"):
        archive_experiment(experiment, Wanted())


def test_a_finished_run_whose_owner_lives_is_waited_for(trained: ExperimentDir) -> None:
    acquire(trained.run("rnn_width=4_rand_1"))
    with pytest.raises(UsageError, match=r"still owned .*: rnn_width=4_rand_1; nothing was"):
        archive_experiment(trained, Wanted())


def test_unfinished_runs_that_nobody_works_on_are_archived_and_named(tmp_path: Path) -> None:
    experiment = build_half(tmp_path)
    archived = archive_experiment(experiment, REMOVE)
    assert archived.notes == ("1 run is unfinished: rnn_width=4_rand_1",)
    assert archived.manifest.states == {"completed": 1, "interrupted": 1}


def build_half(directory: Path) -> ExperimentDir:
    """One completed run, and one that was interrupted in its third epoch."""
    half = Fate(state=State.INTERRUPTED, epoch=3)
    return build_experiment(
        directory,
        {"rnn_width": [4]},
        rand_inits=2,
        fate=lambda run: half if run.rand_init else Fate(),
    )


def test_removing_the_checkpoints_of_unfinished_runs_needs_force(tmp_path: Path) -> None:
    experiment = build_half(tmp_path)
    wanted = Wanted(without_checkpoints=True, remove=True)
    with pytest.raises(UsageError, match="1 run is unfinished and would begin anew"):
        archive_experiment(experiment, wanted)
    assert list_names(tmp_path) == [experiment.name]
    forced = Wanted(without_checkpoints=True, remove=True, force=True)
    assert archive_experiment(experiment, forced).is_removed


def test_a_directory_that_others_start_from_is_removed_by_force_only(
    trained: ExperimentDir,
) -> None:
    dependent = start_from(trained, rand_inits=1)
    with pytest.raises(UsageError, match=f"others start from its runs: {dependent.name}"):
        archive_experiment(trained, REMOVE)
    assert trained.path.exists()
    assert archive_experiment(trained, Wanted(remove=True, force=True)).is_removed


def start_from(source: ExperimentDir, *, rand_inits: int) -> ExperimentDir:
    """An experiment beside another one, whose runs start from that one's."""
    dependent = build_experiment(
        source.path.parent, {"lr": [0.1]}, rand_inits=rand_inits, name="dependent"
    )
    settings = {"run": str(source.path / "runs" / "rnn_width=4_rand_{rand_init}")}
    plan = read_json(dependent.plan_path)
    write_json(dependent.plan_path, {**plan, "params": {"warm_start": settings}})
    for path in dependent.runs_dir.iterdir():
        config_path = dependent.run(path.name).config_path
        config = read_json(config_path)
        write_json(config_path, {**config, "params": {"warm_start": settings}})
    return dependent


def test_what_appears_while_it_is_archived_keeps_the_directory(
    trained: ExperimentDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_and_plot(*arguments: object, **options: object) -> object:
        manifest = write_archive(*arguments, **options)  # type: ignore[arg-type]
        write(trained.plots_dir / "later.pdf", b"%PDF")
        return manifest

    monkeypatch.setattr(launch_archive, "write_archive", write_and_plot)
    with pytest.raises(HpcexpError, match=r"later\.pdf: changed .*; the directory was kept"):
        archive_experiment(trained, REMOVE)
    assert (trained.plots_dir / "later.pdf").exists()


def test_nothing_is_submitted_meanwhile(
    trained: ExperimentDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    def observe_and_submit(experiment: ExperimentDir) -> Observation:
        try:
            with submitting(experiment, timeout_s=0.01):
                tried.append("submitted")
        except HpcexpError as error:
            tried.append(str(error))
        return observe(experiment)

    monkeypatch.setattr(launch_archive, "observe", observe_and_submit)
    archive_experiment(trained, Wanted())
    assert len(tried) == 1
    assert "another hpcexp command" in tried[0]


@pytest.mark.parametrize(
    ("to", "message"),
    [
        ("a.zip", r"an archive's name ends in \.tar\.zst"),
        (".tar.zst", r"an archive's name ends in \.tar\.zst"),
        ("no/such/a.tar.zst", "no such directory"),
        ("{experiment}/a.tar.zst", "lies in the experiment itself"),
        ("{experiment}", "lies in the experiment itself"),
    ],
)
def test_a_target_that_cannot_be_is_refused(
    trained: ExperimentDir, tmp_path: Path, to: str, message: str
) -> None:
    before = list_names(trained.path.parent)
    with pytest.raises(UsageError, match=message):
        archive_experiment(
            trained, Wanted(to=tmp_path / to.format(experiment=trained.path), remove=True)
        )
    assert list_names(trained.path.parent) == before


def test_a_directory_as_target_gets_a_file_of_the_experiments_name(
    trained: ExperimentDir, tmp_path: Path
) -> None:
    archived = archive_experiment(trained, Wanted(to=tmp_path))
    assert archived.path == tmp_path / f"{trained.name}.tar.zst"


def test_an_experiment_that_cannot_be_written_is_refused_in_words(trained: ExperimentDir) -> None:
    trained.jobs_dir.touch()
    with pytest.raises(HpcexpError, match=re.escape(f"{trained.jobs_dir}: cannot be written")):
        archive_experiment(trained, Wanted())


KILLED_AT = """
import os, signal, sys
from pathlib import Path
from hpcexp.launch.archive import Wanted, archive_experiment
from hpcexp.store.layout import ExperimentDir

experiment, number = ExperimentDir(Path(sys.argv[1])), int(sys.argv[2])
events = 0

def count(event, arguments):
    global events
    if event in ("open", "os.rename", "os.link", "os.remove", "os.rmdir"):
        events += 1
        if events == number:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(count)
archive_experiment(experiment, Wanted(remove=True))
print(events)
"""


def test_killed_at_any_moment_the_experiment_is_whole_in_one_form_or_the_other(
    trained: ExperimentDir, tmp_path: Path, start_python: StartPython
) -> None:
    before = read_tree(trained.path)
    home = tmp_path / "copies"

    def archive_until(number: int) -> tuple[int, ExperimentDir, str]:
        copy = ExperimentDir(home / str(number) / trained.name)
        shutil.copytree(trained.path, copy.path)
        process = start_python(KILLED_AT, copy.path, number)
        output, _ = process.communicate(timeout=60)
        return process.returncode, copy, output

    code, _, output = archive_until(0)
    assert code == 0
    num_events = int(output)
    outcomes = set()
    for number in [num_events * i // 8 for i in range(1, 8)] + [num_events - 1]:
        code, copy, _ = archive_until(number)
        assert code == -signal.SIGKILL
        archive = copy.path.with_name(f"{copy.name}.tar.zst")
        if copy.path.exists():
            assert read_tree(copy.path) == before
        if archive.exists():
            read_archive(archive)
        assert copy.path.exists() or archive.exists()
        outcomes.add((copy.path.exists(), archive.exists()))
    assert {(True, False), (False, True)} <= outcomes
