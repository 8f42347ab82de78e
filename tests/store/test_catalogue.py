"""Finding experiments by hyperparameters, tags, days and states."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from hpcexp.errors import UsageError
from hpcexp.launch.archive import Wanted, archive_experiment
from hpcexp.store.catalogue import Query, list_tags, search
from hpcexp.store.conditions import parse_condition
from hpcexp.store.experiment import Plan, create_experiment
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.notebook.imported import import_notebook
from hpcexp.store.notebook.notes import add_note, make_note
from hpcexp.store.status import RunStatus, State, write_status
from tests.analysis.builder import PROVENANCE, make_plan

WIDTH, RATE, LOSS = (
    "2022_m12_d10@10_00_00_width",
    "2022_m12_d12@10_00_00_rate",
    "2022_m12_d14@10_00_00_loss",
)
Find = Callable[..., list[str]]


def launch(directory: Path, name: str, plan: Plan) -> ExperimentDir:
    made = create_experiment(directory, plan, sources=[], provenance=PROVENANCE)
    return ExperimentDir(made.path.rename(directory / name))


def with_config(plan: Plan, **shared: object) -> Plan:
    """The same plan, whose runs have hyperparameters that do not vary."""
    for config in plan.configs.values():
        config.update(shared)  # type: ignore[attr-defined]
    return plan


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    width = make_plan({"rnn_width": [16, 32]}, rand_inits=2)
    rate = make_plan({"lr": [0.1, 0.01], "rnn_width": [64]}, rand_inits=1)
    loss = make_plan({"loss_weights": [{"z": 0.0}, {"z": 0.5}]}, rand_inits=1)
    experiment = launch(tmp_path, WIDTH, with_config(width, lr=0.1))
    launch(tmp_path, RATE, rate)
    launch(tmp_path, LOSS, with_config(loss, lr=0.3, optimizer={"name": "adam"}))
    add_note(experiment, make_note("good", tags=["paper"]))
    failed = experiment.run("rnn_width=16_rand_1")
    write_status(failed, RunStatus(state=State.FAILED, attempt=1))
    return tmp_path


@pytest.fixture
def find(directory: Path) -> Find:
    def find_names(*conditions: str, **query: object) -> list[str]:
        parsed = tuple(parse_condition(condition) for condition in conditions)
        found = search(directory, Query(conditions=parsed, **query))  # type: ignore[arg-type]
        return [entry.experiment.name for entry in found.entries]

    return find_names


def test_all_experiments_are_found_newest_first(find: Find) -> None:
    assert find() == [LOSS, RATE, WIDTH]


def test_by_part_of_the_name(find: Find) -> None:
    assert find(text="d12") == [RATE]


def test_by_a_hyperparameter_that_varies(find: Find) -> None:
    assert find("rnn_width=32") == [WIDTH]
    assert find("rnn_width>=32") == [RATE, WIDTH]


def test_by_a_hyperparameter_that_does_not_vary(find: Find) -> None:
    assert find("lr=0.1") == [RATE, WIDTH]
    assert find("optimizer.name=adam") == [LOSS]


def test_by_a_part_of_a_hyperparameter_that_varies_as_a_whole(find: Find) -> None:
    assert find("loss_weights.z>0") == [LOSS]


def test_one_group_must_meet_all_conditions(find: Find) -> None:
    assert find("rnn_width=64", "lr=0.01") == [RATE]
    assert find("rnn_width=16", "rnn_width=32") == []


def test_the_groups_that_match_are_named(directory: Path) -> None:
    query = Query(conditions=[parse_condition("rnn_width=32")])
    (entry,) = search(directory, query).entries
    assert entry.matching_groups == ("rnn_width=32",)


def test_a_hyperparameter_that_no_experiment_has_is_refused(find: Find) -> None:
    with pytest.raises(UsageError, match="has a hyperparameter 'rnn_wdith'; did you mean rnn_wid"):
        find("rnn_wdith=3")


def test_by_day(find: Find) -> None:
    assert find(since=date(2022, 12, 12)) == [LOSS, RATE]
    assert find(until=date(2022, 12, 12)) == [RATE, WIDTH]
    assert find(since=date(2022, 12, 11), until=date(2022, 12, 13)) == [RATE]


def test_by_state_of_any_run(find: Find) -> None:
    assert find(states=(State.FAILED,)) == [WIDTH]
    assert find(states=(State.FAILED, State.PENDING)) == [LOSS, RATE, WIDTH]


def test_by_the_tags_of_notes_and_of_imported_notebooks(find: Find, directory: Path) -> None:
    lab = directory / "lab.txt"
    lab.write_text(f"2022/12/13 {{\n    {RATE}\n        #paper #rate\n        fine\n}}\n")
    assert find(tags=("paper",)) == [WIDTH]
    import_notebook(lab, experiments_dir=directory)
    assert find(tags=("paper",)) == [RATE, WIDTH]
    assert find(tags=("paper", "rate")) == [RATE]
    assert list_tags(directory) == ["paper", "present_in_meeting", "rate"]


def test_states_are_counted_without_opening_runs(directory: Path) -> None:
    for path in (directory / WIDTH / "runs").glob("*/status.json"):
        path.unlink()
    (entry,) = search(directory, Query(text="width")).entries
    assert entry.states == {State.FAILED: 1, State.PENDING: 3}


def test_states_are_counted_from_the_runs_where_the_summary_is_lost(directory: Path) -> None:
    (directory / WIDTH / "summary.jsonl").unlink()
    (entry,) = search(directory, Query(text="width")).entries
    assert entry.states == {State.FAILED: 1, State.PENDING: 3}


def test_an_experiment_that_cannot_be_read_is_named_and_the_others_are_found(
    directory: Path,
) -> None:
    (directory / RATE / "plan.json").write_text("{")
    found = search(directory, Query())
    assert [entry.experiment.name for entry in found.entries] == [LOSS, WIDTH]
    assert found.num_searched == 3
    (problem,) = found.problems
    assert "plan.json: damaged" in problem


def test_a_note_that_cannot_be_read_is_named(directory: Path) -> None:
    (directory / WIDTH / "notes" / "damaged.json").write_text("{")
    found = search(directory, Query(text="width"))
    assert len(found.entries) == 1
    (problem,) = found.problems
    assert "damaged.json: damaged" in problem


def test_an_empty_directory_has_none(tmp_path: Path) -> None:
    assert search(tmp_path / "none", Query(conditions=[parse_condition("lr=1")])).entries == ()


def test_archived_experiments_are_found_by_what_was_written_about_them(
    directory: Path, find: Find
) -> None:
    archive_experiment(ExperimentDir(directory / WIDTH), Wanted(remove=True))
    assert find() == [LOSS, RATE, WIDTH]
    assert find("rnn_width=16", tags=("paper",)) == [WIDTH]
    (entry,) = search(directory, Query(text="width")).entries
    assert [note.text for note in entry.notes] == ["good"]
    assert entry.states == {State.FAILED: 1, State.PENDING: 3}
    assert entry.experiment.place == directory / f"{WIDTH}.tar.zst"
