"""What a push leaves on the other machine, and what it never touches there."""

from __future__ import annotations

import pytest

from hpcexp.errors import UsageError
from hpcexp.launch.transfer.pull import find_source, pull
from hpcexp.launch.transfer.push import push, push_back
from hpcexp.site.check import load_site
from hpcexp.store.copies import read_copy_record
from hpcexp.store.layout import ExperimentDir
from tests.cli.test_archive import build_tiny
from tests.launch.transfer.conftest import Machines, read_files

RUN = "rnn_width=4_rand_0"


@pytest.fixture
def own(machines: Machines) -> ExperimentDir:
    return build_tiny(machines.copies)


def test_a_pushed_experiment_is_a_copy_there(machines: Machines, own: ExperimentDir) -> None:
    pushed = push(own, "far", load_site())
    there = ExperimentDir(machines.there / own.name)
    assert pushed.place == f"me@far.example:{there.path}"
    record = read_copy_record(there)
    assert record is not None
    assert record.path == str(own.path)
    assert not there.run(RUN).checkpoints_dir.exists()
    assert [p.name for p in machines.there.iterdir()] == [own.name]


def test_the_next_push_replaces_the_copy_as_a_whole(machines: Machines, own: ExperimentDir) -> None:
    push(own, "far:copies", load_site())
    own.run(RUN).log_path(1).write_text("more")
    push(own, "far:copies", load_site(), with_checkpoints=True)
    there = ExperimentDir(machines.far / "copies" / own.name)
    found = read_files(there.path)
    del found["copied_from.json"]
    assert found == read_files(own.path)
    assert [p.name for p in there.path.parent.iterdir()] == [own.name]


def test_an_experiment_of_its_own_there_is_never_replaced(
    machines: Machines, own: ExperimentDir
) -> None:
    other = machines.there / own.name
    other.mkdir(parents=True)
    (other / "experiment.json").write_text("{}")
    with pytest.raises(UsageError, match="is an experiment of its own"):
        push(own, "far", load_site())
    assert read_files(other) == {"experiment.json": b"{}"}


def test_what_was_added_to_a_copy_goes_back_and_nothing_else(machines: Machines) -> None:
    origin = build_tiny(machines.there)
    source = find_source("far:tiny", load_site(), experiments_dir=machines.copies)
    copy = pull(source, experiments_dir=machines.copies).experiment
    before = read_files(origin.path)
    copy.notes_dir.mkdir(exist_ok=True)
    copy.note_path("mine").write_text("{}")
    copy.plan_path.write_text("changed by accident")
    assert push_back(copy, load_site()).additions == ("notes",)
    assert read_files(origin.path) == {**before, "notes/mine.json": b"{}"}


def test_what_is_no_copy_goes_nowhere_by_itself(machines: Machines, own: ExperimentDir) -> None:
    with pytest.raises(UsageError, match=f"hpcexp push {own.name} HOST"):
        push_back(own, load_site())
