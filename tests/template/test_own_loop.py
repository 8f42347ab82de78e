"""Hyperparameters of a user's own: faults are told at the line, as for any workload."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpcexp.errors import TemplateError
from hpcexp.template import Template, load_template

FUNCTION = "def train(run, *, lr: float = 0.1, width: int, max_epoch: int = 3):\n    import torch\n"


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(FUNCTION)
    return tmp_path


def load(params: str, *, grid: str = "{}", workload: str = "command") -> Template:
    path = Path("t.yaml")
    path.write_text(f"workload: {workload}\nparams:\n{params}grid: {grid}\n")
    return load_template(path)


def list_faults(params: str, *, grid: str = "{}", workload: str = "command") -> list[str]:
    with pytest.raises(TemplateError) as caught:
        load(params, grid=grid, workload=workload)
    return [f"{p.line} {p.where}: {p.message}" for p in caught.value.problems]


def test_names_in_braces_are_the_hyperparameters_of_a_command() -> None:
    template = load("  command: python a.py {lr} {seed}\n", grid="{lr: [0.1, 1]}")
    assert [template.config_for(group)["lr"] for group in template.groups()] == [0.1, 1]


def test_a_name_that_is_not_in_the_command_is_unknown() -> None:
    assert list_faults("  command: a.sh {lr}\n  lr: 1\n", grid="{lrr: [1, 2]}") == [
        "5 grid.lrr: no such hyperparameter of workload command; did you mean lr?"
    ]


@pytest.mark.parametrize("command", ["a.sh", "a.sh {arguments}", "a.sh {lr} {arguments}"])
def test_a_command_that_takes_them_another_way_takes_any(command: str) -> None:
    template = load(f"  command: {command}\n  lr: 1\n", grid="{other: [1, 2]}")
    assert len(template.groups()) == 2


def test_a_name_in_braces_without_a_value_is_told_at_the_command() -> None:
    (fault,) = list_faults("  lr: 1\n  command: a.sh {lr} {width}\n")
    assert fault.startswith("4 params.command: {width} of the command has no value; give it under")


def test_an_axis_is_of_the_type_of_what_it_replaces() -> None:
    assert list_faults("  command: a.sh {lr}\n  lr: 0.1\n", grid="{lr: [1, fast]}") == [
        "5 grid.lr: fast is text; must be a whole number or a number"
    ]


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("a.sh 'x", "cannot be split into words (No closing quotation); check its quotes"),
        ("a.sh {lr", "has a lone { in '{lr'; write {{ for a brace"),
        ("a.sh {1}", "{1} is no name in braces; write {{...}} where braces are meant"),
        ("a.sh x={arguments}", "{arguments} stands for several words; write it as a word alone"),
    ],
)
def test_a_command_that_cannot_be_split_is_refused(command: str, message: str) -> None:
    assert list_faults(f'  command: "{command}"\n') == [f"3 params.command: command {message}"]


def test_a_name_that_hpcexp_gives_is_refused() -> None:
    (fault,) = list_faults("  command: a.sh\n  seed: 1\n")
    assert fault == "4 params.seed: seed: hpcexp gives it to every run; choose another name"


def test_a_function_gives_names_types_and_defaults_without_being_imported() -> None:
    template = load("  function: mine:train\n", grid="{width: [1, 2]}", workload="function")
    config = template.config_for(template.groups()[1])
    assert (config["lr"], config["width"], config["max_epoch"]) == (0.1, 2, 3)
    assert template.params["lr"] == 0.1  # the plan keeps it: the source may change


def test_faults_about_a_function_are_told_at_their_lines() -> None:
    params = "  function: mine:train\n  lrr: 0.1\n"
    faults = list_faults(params, grid="{width: [1.5]}", workload="function")
    assert "4 params.lrr: no such hyperparameter of workload function; did you mean lr?" in faults
    assert "5 grid.width: 1.5 is not a whole number; must be a whole number" in faults


def test_a_parameter_without_a_default_must_be_given() -> None:
    (fault,) = list_faults("  function: mine:train\n", workload="function")
    assert "width" in fault


def test_a_function_that_is_not_there_is_told_at_its_line() -> None:
    (fault,) = list_faults("  function: mine:trian\n  lr: 1.0\n", workload="function")
    assert fault.startswith("3 params.function: mine:trian: ")
    assert fault.endswith("did you mean train?")
