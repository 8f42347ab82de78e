"""Hyperparameters are read from the source of a function or class, which is not run."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpcexp.workloads.own_loop.signature import is_known, read_class, read_function

SOURCE = """
raise RuntimeError("imported")

from dataclasses import dataclass
import elsewhere

@dataclass
class Config:
    lr: float = 0.1
    layers: list[int] = elsewhere.LAYERS

def train(
    run, *, lr: float = 1e-3, width: int, name: "str | None" = None, shift=-1, best=max(1, 2)
):
    ...

def with_config(config: Config, run):
    ...

def with_any(config, run):
    ...

class Net(elsewhere.Base):
    def __init__(self, width: int = 8, **kwargs):
        ...

class Child(Net):
    pass
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "train.py").write_text(SOURCE)
    return tmp_path


def test_parameters_have_types_and_defaults_and_the_handle_is_none_of_them(project: Path) -> None:
    signature = read_function("mine.train:train", project_dir=project)
    found = {p.name: (p.has_default, p.default) for p in signature.parameters if p.name != "best"}
    assert found == {
        "lr": (True, 0.001),
        "width": (False, None),
        "name": (True, None),
        "shift": (True, -1),
    }
    types = {p.name: p.type for p in signature.parameters}
    assert (types["lr"], types["width"], types["name"]) == (float, int, str | None)
    assert not signature.is_open


def test_a_default_that_only_running_would_tell_is_left_to_the_function(project: Path) -> None:
    parameters = read_function("mine.train:train", project_dir=project).parameters
    (best,) = [p for p in parameters if p.name == "best"]
    assert best.has_default
    assert not is_known(best)


def test_a_config_brings_the_fields_of_its_dataclass_or_takes_anything(project: Path) -> None:
    declared = read_function("mine.train:with_config", project_dir=project)
    assert [p.name for p in declared.parameters] == ["lr", "layers"]
    assert not declared.is_open
    assert read_function("mine.train:with_any", project_dir=project).is_open


def test_a_class_is_read_by_its_init_or_that_of_its_base(project: Path) -> None:
    for name in ("Net", "Child"):
        signature = read_class(f"mine.train:{name}", project_dir=project)
        assert [p.name for p in signature.parameters] == ["width"]
        assert signature.is_open


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("mine.train.train", "is not of the form package.module:name"),
        ("mine.trian:train", "no module mine.trian in"),
        ("mine.train:trian", "of functions, did you mean train?"),
    ],
)
def test_what_cannot_be_found_is_told(project: Path, reference: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        read_function(reference, project_dir=project)
    assert message in str(caught.value)


def test_a_fault_of_the_module_has_its_file_and_line(project: Path) -> None:
    (project / "broken.py").write_text("x = 1\ndef train(:\n")
    with pytest.raises(ValueError, match=r"broken\.py, line 2: "):
        read_function("broken:train", project_dir=project)
