"""A laboratory's directory with a workload of its own, and a Python that forgets it afterwards."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpcexp.workloads.own import load, places
from hpcexp.workloads.own.new import write_skeleton

REFERENCE = "curve.workload:Curve"


@pytest.fixture
def forgetting(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What is imported from a laboratory is forgotten after the test."""
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    monkeypatch.setattr(places, "_finders", {})
    monkeypatch.setattr(places, "_needed", {})
    before = set(sys.modules)
    load.forget()
    yield
    load.forget()
    for name in set(sys.modules) - before:
        origin = getattr(sys.modules[name], "__file__", None) or ""
        if not name.startswith("hpcexp") and "site-packages" not in origin:
            del sys.modules[name]


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forgetting: None) -> Path:
    """The working directory, with the skeleton `curve` in it."""
    directory = tmp_path / "lab"
    write_skeleton("curve", directory=directory)
    monkeypatch.chdir(directory)
    return directory


def change(path: Path, old: str, new: str) -> None:
    """Replace a text that is there exactly once."""
    text = path.read_text()
    assert text.count(old) == 1, f"{old!r} is there {text.count(old)} times"
    path.write_text(text.replace(old, new))
