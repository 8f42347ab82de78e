"""Files that a stranger put into an experiment: whoever reads them runs nothing of theirs."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from hpcexp.store.layout import ExperimentDir
from tests.hostile.conftest import Terminal, copy_experiment, make_unfinished
from tests.worker.conftest import list_runs

COMMANDS = (
    ["status"],
    ["status", "latest"],
    ["status", "latest", "--json"],
    ["logs", "latest", "base_rand_0"],
    ["plot", "latest"],
    ["eval", "latest", "--kind", "encoder"],
    ["cancel", "latest"],
    ["resume", "latest", "--inline"],
    ["retry", "latest", "--inline"],
)


class Payload:
    """Touches a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str, ...]]:
        return os.mkdir, (str(self.mark),)


def make_pickle(payload: Payload) -> bytes:
    return pickle.dumps(payload)


def make_checkpoint(payload: Payload) -> bytes:
    """A checkpoint that is whole but for what it holds, as torch writes it."""
    buffer = io.BytesIO()
    torch.save({"format": 1, "step": 8, "state": payload}, buffer)
    return buffer.getvalue()


def make_legacy_checkpoint(payload: Payload) -> bytes:
    buffer = io.BytesIO()
    torch.save({"format": 1, "state": payload}, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


def make_arrays(payload: Payload) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, data=np.array([payload], dtype=object))
    return buffer.getvalue()


def make_script_archive(payload: Payload) -> bytes:
    """What torch.jit would load."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(payload))
        archive.writestr("archive/constants.pkl", pickle.dumps(payload))
        archive.writestr("archive/code/__torch__.py", f"import os; os.mkdir({str(payload.mark)!r})")
    return buffer.getvalue()


MAKERS = (make_pickle, make_checkpoint, make_legacy_checkpoint, make_arrays, make_script_archive)


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_the_payload_would_run_if_it_were_unpickled(
    tmp_path: Path, make: Callable[[Payload], bytes]
) -> None:
    """Else the tests below would show nothing."""
    content = make(Payload(tmp_path / "mark"))
    loaders: tuple[Callable[[], object], ...] = (
        lambda: pickle.loads(content),
        lambda: torch.load(io.BytesIO(content), weights_only=False),
        lambda: np.load(io.BytesIO(content), allow_pickle=True)["data"],
        lambda: pickle.loads(zipfile.ZipFile(io.BytesIO(content)).read("archive/data.pkl")),
    )
    for load in loaders:
        try:
            load()
        except Exception:
            continue
    assert (tmp_path / "mark").exists()


def list_files(experiment: ExperimentDir) -> list[Path]:
    """Every file, also those that are made by plot and eval."""
    return [p for p in sorted(experiment.path.rglob("*")) if p.is_file()]


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_no_command_runs_what_was_planted_in_every_file(
    make: Callable[[Payload], bytes], terminal: Terminal, trained: ExperimentDir
) -> None:
    experiment = copy_experiment(trained, terminal)
    mark = terminal.directory / "mark"
    content = make(Payload(mark))
    for path in list_files(experiment):
        path.write_bytes(content)
    for command in COMMANDS:
        said = terminal.type(*command)
        assert "Traceback" not in said.text, said
        assert not mark.exists(), command
        if "latest" in command:
            said.check_error(exit_code=1, words=".json: damaged")
        else:
            assert "experiment.json: damaged" in said.stdout


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_planted_binary_files_are_damage_in_words(
    make: Callable[[Payload], bytes], terminal: Terminal, trained: ExperimentDir
) -> None:
    """Checkpoints, metrics and kept parameters, of an experiment whose records are whole."""
    experiment = copy_experiment(trained, terminal)
    mark = terminal.directory / "mark"
    content = make(Payload(mark))
    for path in list_files(experiment):
        if path.suffix not in (".json", ".jsonl"):
            path.write_bytes(content)
    for name in ("sitecustomize.py", "__init__.py", "conftest.py", "hpcexp.py", "torch.py"):
        (experiment.path / name).write_text(f"import os; os.mkdir({str(mark)!r})")
    for run in list_runs(experiment):
        run.kept_path(epoch=3).parent.mkdir()
        run.kept_path(epoch=3).write_bytes(content)
    make_unfinished(experiment)
    for command in (*COMMANDS, ["eval", "latest", "--at", "3"]):
        said = terminal.type(*command)
        assert "Traceback" not in said.text.replace(content.decode(errors="replace"), ""), said
        assert not mark.exists(), command
        if command[0] == "eval":
            said.check_error(exit_code=1, words="not a whole checkpoint")
        if command[0] == "plot":
            said.check_error(exit_code=1, words="no run has recorded anything")
