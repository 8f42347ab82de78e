"""Configuration files of a user and of a project."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path

import pytest

from hpcexp.site import layers

USER = """\
site = "laptop"

[resources]
setup = ["module load git"]

[sites.laptop]
experiments_dir = "~/experiments"

[sites.garching]
hosts = ["login[0-9]*"]
experiments_dir = "/scratch/$USER/experiments"
cache_dir = "/scratch/cache"
scratch_dir = "/local/$SLURM_JOB_ID"
[sites.garching.resources]
partition = "gpu"
account = "proj42"
setup = ["module load cuda"]
sbatch = {mail-type = "END", nice = 100}
"""


@dataclass(frozen=True)
class Place:
    """A home with a configuration file, and a project with one."""

    root: Path
    monkeypatch: pytest.MonkeyPatch

    @property
    def user_path(self) -> Path:
        return self.root / "config" / "hpcexp" / "config.toml"

    @property
    def project_path(self) -> Path:
        return self.root / "project" / "hpcexp.toml"

    def write_user(self, text: str) -> None:
        self.user_path.write_text(text)

    def write_project(self, text: str) -> None:
        self.project_path.write_text(text)

    def set_host(self, name: str) -> None:
        self.monkeypatch.setattr(socket, "gethostname", lambda: name)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """The working directory is `project/src`; the host is like none of the sites'."""
    for variable in layers.VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USER", "ada")
    found = Place(tmp_path, monkeypatch)
    found.user_path.parent.mkdir(parents=True)
    (tmp_path / "project" / "src").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "project" / "src")
    found.set_host("desk")
    found.write_user(USER)
    return found
