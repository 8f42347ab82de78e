from __future__ import annotations

import multiprocessing
from dataclasses import replace
from pathlib import Path

import pytest

from hpcexp.errors import HpcexpError
from hpcexp.store import statuses as statuses_module
from hpcexp.store import summary as summary_module
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.status import RunStatus, State, write_status
from hpcexp.store.statuses import read_settled, rebuild_summary
from hpcexp.store.summary import read_summary, start_summary

NAMES = [f"lr=0.1_rand_{number}" for number in range(5)]
DONE = RunStatus(state=State.COMPLETED, attempt=1, step=9, metrics={"loss": 0.5})


@pytest.fixture
def experiment(tmp_path: Path) -> ExperimentDir:
    """Five runs that have not begun, as a launch leaves them."""
    experiment = ExperimentDir(tmp_path)
    for name in NAMES:
        experiment.run(name).path.mkdir(parents=True)
        write_status(experiment.run(name), RunStatus())
    start_summary(experiment)
    return experiment


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the runs whose own files were read."""
    names: list[str] = []
    real = statuses_module.read_one

    def read(experiment: ExperimentDir, name: str) -> RunStatus:
        names.append(name)
        return real(experiment, name)

    monkeypatch.setattr(statuses_module, "read_one", read)
    return names


def states(experiment: ExperimentDir) -> list[str]:
    return [str(status.state) for status in read_settled(experiment, NAMES).values()]


def test_a_run_that_never_began_is_pending_and_nobody_opens_its_file(
    experiment: ExperimentDir, opened: list[str]
) -> None:
    assert states(experiment) == ["pending"] * 5
    assert opened == []


def test_the_newest_status_of_a_run_counts(experiment: ExperimentDir) -> None:
    for status in (replace(DONE, state=State.RUNNING, step=0), DONE):
        write_status(experiment.run(NAMES[1]), status)
    assert read_settled(experiment, NAMES)[NAMES[1]] == DONE
    assert states(experiment) == ["pending", "completed", "pending", "pending", "pending"]


def test_progress_adds_no_line(experiment: ExperimentDir) -> None:
    size = experiment.summary_path.stat().st_size
    write_status(experiment.run(NAMES[0]), RunStatus(state=State.RUNNING, step=5), is_news=False)
    assert experiment.summary_path.stat().st_size == size


def test_only_a_few_files_of_settled_runs_are_opened(
    experiment: ExperimentDir, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statuses_module, "NUM_CHECKED", 2)
    for name in NAMES:
        write_status(experiment.run(name), DONE)
    assert states(experiment) == ["completed"] * 5
    assert len(opened) == 2


@pytest.mark.parametrize("damage", ["missing", "bit", "header", "other", "empty", "no status"])
def test_a_summary_that_is_missing_or_damaged_is_made_again(
    experiment: ExperimentDir, damage: str
) -> None:
    write_status(experiment.run(NAMES[2]), DONE)
    path = experiment.summary_path
    content = path.read_bytes()
    damaged = {
        "bit": content.replace(b"completed", b"cancelled"),
        "header": content[1:],
        "other": b"nothing of ours\n",
        "empty": b"",
        "no status": content + summary_module._encode(b'{"run": "lr=0.1_rand_0", "state": "x"}'),
    }
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(damaged[damage])
    assert states(experiment) == ["pending", "pending", "completed", "pending", "pending"]
    assert read_summary(experiment) is not None


def test_a_summary_that_differs_from_the_files_is_made_again(experiment: ExperimentDir) -> None:
    """As after a backup of the runs was put back, but not of the summary."""
    write_status(experiment.run(NAMES[0]), DONE)
    write_status(experiment.run(NAMES[0]), RunStatus(state=State.FAILED), is_news=False)
    assert states(experiment)[0] == "failed"


def test_a_torn_line_does_not_spoil_the_next_one(experiment: ExperimentDir) -> None:
    with experiment.summary_path.open("ab") as file:
        file.write(b'0badbeef {"run": "lr=0.1_ra')
    write_status(experiment.run(NAMES[3]), DONE)
    assert experiment.summary_path.read_bytes().count(b"\n") == 3
    assert states(experiment)[3] == "completed"


def test_where_the_summary_cannot_be_written_every_file_is_read(
    experiment: ExperimentDir, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    write_status(experiment.run(NAMES[4]), DONE)
    experiment.summary_path.unlink()
    monkeypatch.setattr(statuses_module, "write_summary", refuse)
    assert rebuild_summary(experiment, NAMES)[NAMES[4]] == DONE
    assert sorted(opened) == NAMES


def test_a_run_begins_only_if_the_summary_can_be_told(
    experiment: ExperimentDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the summary would go on calling it failed while it trains again."""
    write_status(experiment.run(NAMES[0]), RunStatus(state=State.FAILED))

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("hpcexp.store.status.append_summary", refuse)
    with pytest.raises(OSError, match="No space"):
        write_status(experiment.run(NAMES[0]), RunStatus(state=State.PENDING))
    assert states(experiment)[0] == "failed"


def test_a_run_ends_also_where_the_summary_cannot_be_told(
    experiment: ExperimentDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_status(experiment.run(NAMES[0]), RunStatus(state=State.RUNNING))

    def refuse(*_: object) -> None:
        raise HpcexpError("the lock is stuck")

    monkeypatch.setattr("hpcexp.store.status.append_summary", refuse)
    write_status(experiment.run(NAMES[0]), DONE)
    # The summary still says running: whoever wants to know looks at the run itself.
    assert states(experiment)[0] == "running"
    assert statuses_module.read_one(experiment, NAMES[0]) == DONE


def end_all(path: Path, number: int) -> None:
    for name in NAMES:
        write_status(ExperimentDir(path).run(name), replace(DONE, attempt=number, step=number))


def test_processes_that_write_at_once_lose_no_line(experiment: ExperimentDir) -> None:
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=end_all, args=(experiment.path, n)) for n in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    content = experiment.summary_path.read_bytes()
    assert content.count(b"\n") == 1 + 4 * len(NAMES)
    assert read_summary(experiment) is not None
