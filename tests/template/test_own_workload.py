"""A template of a laboratory's own workload is checked as those of the built-in ones are."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpcexp.errors import TemplateError
from hpcexp.template import build_json_schema, load_template
from hpcexp.workloads.own import places
from tests.workloads.own.conftest import forgetting, lab

__all__ = ["forgetting", "lab"]

TEMPLATE = """\
name: mine
workload: curve.workload:Curve
params: {width: 4}
grid:
  lr: [0.1]
"""


def refuse(lab: Path, text: str) -> str:
    (lab / "t.yaml").write_text(text)
    with pytest.raises(TemplateError) as caught:
        load_template("t.yaml")
    return str(caught.value)


def test_hyperparameters_are_checked_and_names_are_suggested(lab: Path) -> None:
    said = refuse(lab, TEMPLATE.replace("width", "widht").replace("0.1", "-1"))
    assert said == (
        "t.yaml: 2 problems, nothing was created\n"
        "  line 3  params.widht: no such hyperparameter of workload curve.workload:Curve; "
        "did you mean width?\n"
        "  line 5  grid.lr: -1 is out of range; must be a number greater than 0"
    )


def test_a_workload_that_is_not_there_is_told_at_its_line(lab: Path) -> None:
    said = refuse(lab, TEMPLATE.replace(":Curve", ":Kurve"))
    assert said.splitlines()[1:] == [
        "  line 2  workload: curve.workload has no class Kurve; did you mean Curve?"
    ]


def test_an_error_in_their_module_is_told_at_the_line_that_names_it(lab: Path) -> None:
    path = lab / "curve/config.py"
    path.write_text("import missing_library\n")
    assert refuse(lab, TEMPLATE).splitlines()[1:] == [
        "  line 2  workload: curve.config cannot be imported: ModuleNotFoundError: No module named "
        f"'missing_library' ({path}, line 1: import missing_library)"
    ]


def test_a_template_elsewhere_finds_the_workload_of_its_project(
    lab: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (lab / "pyproject.toml").touch()
    monkeypatch.chdir(tmp_path)
    assert load_template(lab / "templates/curve.yaml").num_runs == 12
    assert places.list_needed() == [places.CodeDir(lab, "curve")]


def test_a_workload_is_found_in_a_directory_that_the_resources_name(
    lab: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "t.yaml").write_text(TEMPLATE + "resources: {code: [lab]}\n")
    monkeypatch.chdir(tmp_path)
    assert load_template("t.yaml").resources.code == ["lab"]
    assert set(places.list_needed()) == {places.CodeDir(lab, "curve"), places.CodeDir(lab)}


def test_a_directory_that_is_not_there_is_told_at_its_line(lab: Path) -> None:
    said = refuse(lab, TEMPLATE + "resources:\n  code:\n  - nowhere\n")
    assert f"line 8  resources.code: there is no directory {lab / 'nowhere'}" in said


def test_the_schema_of_one_workload_describes_its_hyperparameters(lab: Path) -> None:
    schema = build_json_schema(only="curve.workload:Curve")
    params = schema["$defs"]["curve.workload:Curve.params"]["properties"]
    assert params["width"]["description"] == "Units of the hidden layer."
    assert schema["properties"]["workload"]["const"] == "curve.workload:Curve"
    assert not [name for name in schema["$defs"] if name.startswith("sps")]
