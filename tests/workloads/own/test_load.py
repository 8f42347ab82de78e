"""Finding a laboratory's workload, and telling what is wrong with it as its own error."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hpcexp.errors import UsageError
from hpcexp.train.seeding import RandomStreams
from hpcexp.workloads import load_config_class, load_primary_metric, load_workload
from hpcexp.workloads.own import check_own, find_own, is_own, places
from tests.workloads.own.conftest import REFERENCE, change

PROBE = """
import sys
from hpcexp.workloads import load_config_class, load_primary_metric
load_config_class(sys.argv[1])().num_steps
load_primary_metric(sys.argv[1])
from hpcexp.workloads.own import find_own
print("torch" in sys.modules, find_own(sys.argv[1]).note)
"""


def probe(lab: Path, reference: str = REFERENCE) -> str:
    """Whether a fresh Python imported torch to read hyperparameters, and what is said of it."""
    command = [sys.executable, "-c", PROBE, reference]
    done = subprocess.run(command, cwd=lab, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def refusal(reference: str = REFERENCE) -> str:
    with pytest.raises(UsageError) as caught:
        find_own(reference)
    message = str(caught.value)
    assert "\n" not in message
    return message


# ----------------------------------------------------------------------------------- what is found


def test_only_a_name_with_a_dot_or_a_colon_is_a_laboratory_s() -> None:
    assert is_own("curve.workload:Curve")
    assert is_own("curve:Curve")
    assert is_own("lab.curve")
    assert is_own("lab/curve.py")
    assert not is_own("sps")


def test_a_class_gives_its_hyperparameters_its_metric_and_itself(lab: Path) -> None:
    config = load_config_class(REFERENCE).model_validate({"width": 4})
    workload = load_workload(REFERENCE, config)
    assert (type(workload).__module__, type(workload).__name__) == ("curve.workload", "Curve")
    assert workload.config is config
    assert load_primary_metric(REFERENCE).name in workload.metric_names
    assert set(workload.draw(RandomStreams(0, 0), block=0, num_steps=1)) == {"y"}


def test_a_package_with_two_doors_is_one_as_the_built_in_ones(lab: Path) -> None:
    with (lab / "curve/workload.py").open("a") as file:
        file.write("\n\ndef build(config):\n    return Curve(config)\n")
    (lab / "inner").mkdir()
    (lab / "curve").rename(lab / "inner/curve")
    for path in (lab / "inner/curve").glob("*.py"):
        path.write_text(path.read_text().replace("from curve.", "from inner.curve."))
    config = load_config_class("inner.curve")()
    assert load_workload("inner.curve", config).config is config


def test_a_workload_in_src_is_found(lab: Path) -> None:
    (lab / "src").mkdir()
    (lab / "curve").rename(lab / "src/curve")
    assert load_config_class(REFERENCE).__name__ == "Config"


def test_a_template_s_project_is_looked_in_before_the_working_directory(
    lab: Path, tmp_path: Path
) -> None:
    (lab / "pyproject.toml").touch()
    other = tmp_path / "elsewhere/curve"
    other.mkdir(parents=True)
    (other / "__init__.py").write_text("raise RuntimeError('another one')")
    templates = lab / "templates"
    places.look_in(templates, lambda: places.find_project_dirs(templates))
    assert find_own(REFERENCE).config_class.__module__ == "curve.config"
    assert places.list_needed() == [places.CodeDir(lab, "curve")]


def test_a_class_that_a_package_hands_on_is_followed_to_its_text(lab: Path) -> None:
    (lab / "curve/all.py").write_text("from .workload import Curve as Best\n")
    assert probe(lab, "curve.all:Best") == "False"


# -------------------------------------------------------------------- on the login node: no torch


def test_hyperparameters_are_read_without_torch_though_the_class_imports_it(lab: Path) -> None:
    assert probe(lab) == "False"


def test_where_the_text_does_not_say_it_the_module_is_imported(lab: Path) -> None:
    change(
        lab / "curve/workload.py", "config_class = Config  #", "config_class = type(Config())  #"
    )
    is_loaded, said = probe(lab).split(" ", 1)
    assert is_loaded == "True"
    assert said.startswith("reading the hyperparameters of curve.workload:Curve imported torch (")
    assert said.endswith("in a module, and a package, that do not import it")


def test_what_a_module_prints_goes_to_standard_error(
    lab: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with (lab / "curve/config.py").open("a") as file:
        file.write("\nprint('hello')\n")
    find_own(REFERENCE)
    assert capfd.readouterr() == ("", "hello\n")


# --------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize("name", ["curve/workload.py:Curve", "curve.workload:", ".curve", "a..b:C"])
def test_what_is_no_dotted_name_is_answered_with_how_to_write_one(
    name: str, forgetting: None
) -> None:
    assert refusal(name) == (
        f"{name!r} names no code; write package.module:Class, with dots, without .py"
    )


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("curve.workload:Curv", "curve.workload has no class Curv; did you mean Curve?"),
        ("curve.worklaod:Curve", "curve has no module worklaod; did you mean workload?"),
        ("curve.workload.x:Curve", "curve.workload has no module x"),
        ("curve.deep", "curve has no module deep; there are: config, test_workload, workload"),
    ],
)
def test_a_name_that_is_missing_is_answered_with_what_is_near(
    lab: Path, reference: str, said: str
) -> None:
    assert refusal(reference) == said


def test_a_package_that_is_missing_is_answered_with_where_it_was_looked_for(lab: Path) -> None:
    said = refusal("curves.workload:Curve")
    assert said.startswith(f"there is no module curves in {lab}, ")
    assert said.endswith("launch in the directory that holds it")


@pytest.mark.parametrize(
    ("code", "said", "line"),
    [
        ("import nothing_of_that_name\n", "ModuleNotFoundError: No module named 'nothing", 1),
        ("x = 1\ny = x / 0\n", "ZeroDivisionError: division by zero", 2),
        ("def f(:\n", "SyntaxError: invalid syntax", 1),
        ("\n\nraise SystemExit('bye')\n", "SystemExit: bye", 3),
    ],
    ids=["missing import", "exception", "syntax", "exit"],
)
@pytest.mark.parametrize("name", ["config", "workload"])
def test_an_error_at_import_is_told_with_its_file_and_line(
    lab: Path, name: str, code: str, said: str, line: int
) -> None:
    path = lab / f"curve/{name}.py"
    path.write_text(code + path.read_text().replace("from __future__ import annotations\n", ""))
    with pytest.raises(UsageError) as caught:
        check_own(REFERENCE)
    found = str(caught.value)
    assert f"cannot be imported: {said}" in found
    assert f"({path}, line {line}" in found


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("workload", "def evaluate(", "def evaluated(", ", lacks evaluate; docs/adding"),
        ("workload", "primary_metric =", "metric =", "lacks primary_metric;"),
        ("config", "class Config(TrainConfig)", "class Config(dict)", "are no subclass of hpcexp"),
        ("config", "PRIMARY_METRIC = Metric", "PRIMARY_METRIC = dict", "is {'name': 'rmse',"),
        ("config", "    width: int = Field(", "    width: object = Field(", ""),
        ("config", "PRIMARY_METRIC = ", "METRIC = ", "curve.config has no name PRIMARY_METRIC; "),
    ],
    ids=["method", "attribute", "config", "metric", "any type is fine", "name"],
)
def test_what_is_no_workload_is_told_before_anything_is_launched(
    lab: Path, file: str, old: str, new: str, said: str
) -> None:
    change(lab / f"curve/{file}.py", old, new)
    if not said:
        assert find_own(REFERENCE)
    else:
        assert said in refusal()


def test_a_module_that_fails_is_tried_once(lab: Path) -> None:
    path = lab / "curve/config.py"
    path.write_text("raise RuntimeError('a')\n")
    first = refusal()
    path.write_text("raise RuntimeError('b')\n")
    assert refusal() == first


def test_a_workload_that_lacks_something_when_it_is_built_is_refused(lab: Path) -> None:
    change(lab / "curve/workload.py", "class Curve:", "class Curve(object):")
    change(lab / "curve/workload.py", "self.config = config", "self.settings = config")
    with pytest.raises(UsageError, match=r"^curve\.workload\.Curve, lacks config; docs"):
        load_workload(REFERENCE, load_config_class(REFERENCE)())


def test_a_primary_metric_that_is_not_reported_is_refused(lab: Path) -> None:
    change(
        lab / "curve/workload.py", "metric_names = (PRIMARY_METRIC.name,)", 'metric_names = ["x"]'
    )
    said = "curve.workload:Curve: its primary metric rmse is none of its metric_names, x"
    for use in (check_own, lambda name: load_workload(name, load_config_class(name)())):
        with pytest.raises(UsageError, match=said):
            use(REFERENCE)


# ------------------------------------------------------------------------------- what jobs need


def test_what_was_loaded_is_needed_and_what_is_installed_is_not(lab: Path) -> None:
    find_own(REFERENCE)
    places.need(Path(pytest.__file__).parents[1], "pytest")
    assert places.list_needed() == [places.CodeDir(lab, "curve")]
