"""What a pull brings, what it leaves, and what becomes of it when it is interrupted."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from hpcexp.errors import HpcexpError, UsageError
from hpcexp.launch.archive import Wanted, archive_experiment
from hpcexp.launch.observe import observe
from hpcexp.launch.resume import Choice, make_chooser
from hpcexp.launch.submit import Wish, submit_runs
from hpcexp.launch.transfer import exchange
from hpcexp.launch.transfer.exchange import put_in_place
from hpcexp.launch.transfer.pull import Pulled, find_source, pull
from hpcexp.site.check import load_site
from hpcexp.store.copies import read_copy_record
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.status import State, read_status, write_status
from tests.cli.in_process import type_here
from tests.launch.transfer.conftest import Machines, read_files

RUN = "rnn_width=4_rand_0"


def fetch(machines: Machines, text: str = "far:tiny", *, with_checkpoints: bool = False) -> Pulled:
    source = find_source(text, load_site(), experiments_dir=machines.copies)
    return pull(source, experiments_dir=machines.copies, with_checkpoints=with_checkpoints)


def test_everything_but_checkpoints_comes_and_says_where_from(
    machines: Machines, remote: ExperimentDir
) -> None:
    pulled = fetch(machines)
    there, here = read_files(remote.path), read_files(pulled.experiment.path)
    missing = {name for name in there if name not in here}
    assert missing == {f"runs/{RUN}/checkpoints/attempt_0001_step_0000000160.pt"}
    assert {n: c for n, c in here.items() if n != "copied_from.json"}.items() <= there.items()
    record = read_copy_record(pulled.experiment)
    assert record is not None
    assert record.place == f"me@far.example:{remote.path}"
    assert (record.site, record.has_checkpoints, pulled.is_update) == ("far", False, False)
    assert [p.name for p in machines.copies.iterdir()] == [remote.name]


def test_checkpoints_come_if_wanted(machines: Machines, remote: ExperimentDir) -> None:
    pulled = fetch(machines, with_checkpoints=True)
    assert read_files(remote.path).items() <= read_files(pulled.experiment.path).items()


@pytest.mark.parametrize(
    "form", ["far:latest", "me@far.example:{path}", "other:my experiments/{name}"]
)
def test_an_experiment_is_named_as_people_name_it(
    machines: Machines, remote: ExperimentDir, form: str
) -> None:
    text = form.format(path=remote.path, name=remote.name)
    assert fetch(machines, text).experiment.name == remote.name


def test_an_update_brings_what_is_new_and_keeps_what_was_added_here(
    machines: Machines, remote: ExperimentDir
) -> None:
    here = fetch(machines).experiment
    here.notes_dir.mkdir(exist_ok=True)
    here.note_path("mine").write_text("{}")
    here.plots_dir.mkdir(exist_ok=True)
    (here.plots_dir / "a.csv").write_text("drawn here")
    remote.plots_dir.mkdir(exist_ok=True)
    (remote.plots_dir / "a.csv").write_text("drawn there, earlier")
    os.utime(remote.plots_dir / "a.csv", (0, 0))
    remote.run(RUN).log_path(1).write_text("and a line more\n")
    remote.run(RUN).log_path(2).write_text("new")
    kept = here.run(RUN).config_path.stat().st_ino
    assert fetch(machines, "tiny").is_update  # by the copy's name: it knows its origin
    assert here.run(RUN).log_path(1).read_text() == "and a line more\n"
    assert here.run(RUN).log_path(2).exists()
    assert here.note_path("mine").exists()
    assert (here.plots_dir / "a.csv").read_text() == "drawn here"
    assert here.run(RUN).config_path.stat().st_ino == kept, "what is equal was sent again"
    assert {p.name for p in machines.copies.iterdir()} == {here.name}


def test_what_was_interrupted_is_not_listed_and_goes_on(
    machines: Machines, remote: ExperimentDir
) -> None:
    aside = machines.copies / ".pulling" / remote.name
    shutil.copytree(remote.path, aside)
    (aside / "plan.json").write_text("half")
    assert "there are no experiments" in type_here("status")
    pulled = fetch(machines)
    assert read_files(pulled.experiment.path)["plan.json"] == remote.plan_path.read_bytes()
    assert not aside.exists()


def test_a_failed_update_leaves_the_copy_as_it_was(
    machines: Machines, remote: ExperimentDir
) -> None:
    here = fetch(machines).experiment
    before = read_files(here.path)
    remote.plan_path.write_text("damaged")
    with pytest.raises(HpcexpError, match="damaged"):
        fetch(machines)
    assert read_files(here.path) == before


def make_directory(path: Path, content: str) -> Path:
    path.mkdir()
    (path / "content").write_text(content)
    return path


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux exchanges two names in one step")
def test_a_copy_is_never_missing_while_it_is_exchanged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    final = make_directory(tmp_path / "final", "old")
    rename, found = Path.rename, []

    def rename_and_look(path: Path, target: Path) -> Path:
        done = rename(path, target)
        found.append((final / "content").read_text() if final.exists() else "missing")
        return done

    monkeypatch.setattr(Path, "rename", rename_and_look)
    put_in_place(make_directory(tmp_path / "aside", "new"), final)
    assert found == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["final"]


def test_where_names_cannot_be_exchanged_the_new_copy_still_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "_exchange", lambda first, second: False)
    final = make_directory(tmp_path / "final", "old")
    put_in_place(make_directory(tmp_path / "aside", "new"), final)
    assert (final / "content").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["final"]


def test_an_experiment_of_its_own_is_never_replaced(
    machines: Machines, remote: ExperimentDir
) -> None:
    shutil.copytree(remote.path, machines.copies / remote.name)
    with pytest.raises(UsageError, match="is an experiment of its own, not a copy"):
        fetch(machines)


def test_a_copy_of_another_experiment_is_not_replaced(
    machines: Machines, remote: ExperimentDir
) -> None:
    fetch(machines)
    elsewhere = machines.far / "elsewhere" / remote.name
    shutil.copytree(remote.path, elsewhere)
    with pytest.raises(UsageError, match=r"is a copy of me@far\.example:"):
        fetch(machines, f"far:{elsewhere}")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("far:tinny", "did you mean tiny"),
        ("far:", "which experiment"),
        ("far:nowhere/tiny", "can't cd to nowhere"),
        ("away:tiny", "away: cannot be reached"),
        ("-oProxyCommand=x:tiny", "is no host"),
        ("tiny", "there are no experiments"),
    ],
)
def test_what_cannot_be_fetched_is_said(
    machines: Machines, remote: ExperimentDir, text: str, said: str
) -> None:
    with pytest.raises(HpcexpError) as caught:
        fetch(machines, text)
    assert said in str(caught.value)
    assert not machines.copies.exists()


def test_a_shells_words_in_a_path_are_only_a_path(machines: Machines) -> None:
    with pytest.raises(HpcexpError):
        fetch(machines, "far:a; touch oops; `touch oops`$(touch oops)/x")
    assert not list(machines.far.rglob("oops"))


# ------------------------------------------------------------------- what a copy is for others


def make_running(remote: ExperimentDir) -> None:
    run_dir = remote.run(RUN)
    write_status(run_dir, read_status(run_dir).replace(state=State.RUNNING))


def test_a_run_that_trains_there_is_not_lost_here(
    machines: Machines, remote: ExperimentDir
) -> None:
    make_running(remote)
    here = fetch(machines).experiment
    assert observe(here).statuses[RUN].state == State.RUNNING
    assert observe(remote).statuses[RUN].state == State.LOST
    said = type_here("status", "tiny")
    told = f"a copy of me@far.example:{remote.path}, without checkpoints"
    assert told in " ".join(said.split())
    assert "hpcexp resume" not in said
    shown = json.loads(type_here("status", "--json"))
    assert (shown[0]["site"], shown[0]["copied_from"]["site"]) == ("far", "far")


def test_experiments_of_several_sites_are_listed_together_with_their_site(
    machines: Machines, remote: ExperimentDir
) -> None:
    from tests.cli.test_archive import build_tiny

    fetch(machines)
    build_tiny(machines.copies, name="mine")
    for command in ("status", "list"):
        lines = type_here(command).splitlines()
        assert "site" in lines[0].split()
        assert next("far" in line.split() for line in lines if "_tiny" in line)
        assert next("far" not in line.split() for line in lines if "_mine" in line)


def test_what_would_submit_is_refused_with_the_reason(
    machines: Machines, remote: ExperimentDir
) -> None:
    here = fetch(machines).experiment
    with pytest.raises(UsageError, match=r"is a copy of me@far\.example:.*type this on far"):
        submit_runs(here, make_chooser(here, Choice()), Wish("inline"))
    for command in ("resume", "retry", "cancel"):
        assert "is a copy of" in type_here(command, "tiny", exit_code=2)


@pytest.fixture
def archived(machines: Machines, remote: ExperimentDir) -> Path:
    """The same, but as one file there."""
    return archive_experiment(remote, Wanted(remove=True)).path


def test_an_archive_comes_as_one_file_and_is_read_in_place(
    machines: Machines, archived: Path
) -> None:
    pulled = fetch(machines)
    assert [path.name for path in machines.copies.iterdir()] == [archived.name]
    assert pulled.experiment.place.read_bytes() == archived.read_bytes()
    said = type_here("status", "tiny")
    assert "1 completed" in said or "100 %" in said
    with pytest.raises(UsageError, match="is here already, and an archive does not change"):
        fetch(machines, f"far:{archived}")


def test_an_archive_that_is_damaged_is_not_kept(machines: Machines, archived: Path) -> None:
    content = bytearray(archived.read_bytes())
    content[len(content) // 2] ^= 255
    archived.write_bytes(content)
    with pytest.raises(HpcexpError, match=r"\.tar\.zst"):
        fetch(machines)
    assert [path for path in machines.copies.rglob("*") if path.is_file()] == []
