"""`hpcexp site`, and commands under a configuration file."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from hpcexp.store.experiment import read_plan, write_plan
from hpcexp.store.layout import ExperimentDir
from tests.cli.conftest import TEMPLATE
from tests.cli.in_process import type_here
from tests.cli.test_archive import build_tiny

PROJECT = """\
experiments_dir = "results"
[sites.a]
hosts = ["*"]
resources = {partition = "one", setup = ["module load a"]}
[sites.b]
resources = {partition = "two", setup = ["module load b"]}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with two sites, whose configuration file stands above the working directory."""
    (tmp_path / "hpcexp.toml").write_text(PROJECT)
    work = tmp_path / "work"
    work.mkdir()
    (work / "tiny.yaml").write_text(TEMPLATE)
    monkeypatch.chdir(work)
    return tmp_path


def build_launched_on_a(project: Path) -> ExperimentDir:
    experiment = build_tiny(project / "results")
    plan = read_plan(experiment)
    write_plan(experiment, dataclasses.replace(plan, site={"name": "a", "given": {}}))
    return experiment


def show_script(*options: str) -> str:
    shown = json.loads(type_here("launch", "tiny.yaml", "--dry-run", "--slurm", "--json", *options))
    assert isinstance(shown["sbatch"], str)
    return shown["sbatch"]


def test_one_template_unchanged_gives_each_site_its_own_script(project: Path) -> None:
    by_host, named = show_script(), show_script("--site", "b")
    assert "--partition=one" in by_host
    assert "module load a" in by_host
    assert "--partition=two" in named
    assert "module load b" in named
    assert "--partition=three" in show_script("--set", "resources.partition=three")


def test_site_says_each_setting_and_where_it_stands(project: Path) -> None:
    said = type_here("site")
    path = project / "hpcexp.toml"
    assert f"is like * ({path}:3)" in said
    assert f"resources.partition  one  ({path}:4)" in said
    found = json.loads(type_here("site", "--site", "b", "--json"))
    assert (found["site"], found["sites"]) == ("b", ["a", "b"])
    assert found["settings"]["resources"]["partition"] == "two"


def test_experiments_are_found_where_the_project_says_from_below_it(project: Path) -> None:
    assert build_tiny(project / "results").name in type_here("status")


def test_resume_says_where_the_site_is_another_than_that_of_the_launch(project: Path) -> None:
    build_launched_on_a(project)
    assert "! launched" not in type_here("resume", "tiny", "--local")
    (project / "hpcexp.toml").write_text(PROJECT.replace('"*"', '"nowhere"'))
    said = type_here("resume", "tiny", "--local")
    assert "! launched on site a, and this is no named site: its jobs ask for what" in said
    assert "! launched" not in type_here("resume", "tiny", "--local", "--site", "b")


def test_another_sites_resources_are_refused_where_the_templates_are_not_known(
    project: Path,
) -> None:
    build_tiny(project / "results")
    said = type_here("resume", "tiny", "--local", "--site", "b", exit_code=2)
    assert "leave --site out, and change resources with --set" in said


def test_a_file_with_faults_breaks_neither_help_nor_status(project: Path) -> None:
    (project / "hpcexp.toml").write_text("[resources]\npartion = 'gpu'\n")
    assert "launch" in type_here("--help")
    assert "there are no experiments" in type_here("status")
    said = type_here("launch", "tiny.yaml", "--dry-run", exit_code=2)
    assert "line 2" in said
    assert "did you mean resources.partition?" in said
    (project / "hpcexp.toml").write_text("no toml\n")
    assert "launch" in type_here("--help")
    assert "is not TOML" in type_here("status", exit_code=2)


def test_the_doctor_names_settings_with_their_places_or_their_faults(project: Path) -> None:
    from hpcexp.launch.doctor.findings import Level
    from hpcexp.launch.doctor.settings import examine_settings

    report, site = examine_settings()
    assert report.findings[0].level == Level.PASSED
    assert f"resources.partition = one  ({project / 'hpcexp.toml'}:4)" in report.findings[0].details
    assert site.name == "a"
    (project / "hpcexp.toml").write_text("[resources]\npartion = 'gpu'\n")
    report, site = examine_settings()
    assert report.findings[0].level == Level.ERROR
    assert "did you mean resources.partition?" in report.findings[0].details[0]
    assert site.name == ""


def test_a_site_that_there_is_not_is_refused(project: Path) -> None:
    assert "no such site: c; there are: a, b" in type_here("status", "--site", "c", exit_code=2)
