"""Two machines that are one: an ssh that runs its command here, in another home."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from hpcexp.store.layout import ExperimentDir
from tests.cli.test_archive import build_tiny

# rsync says `-l user host`, people say `user@host`.
SSH = """\
#!/bin/sh
while [ "$1" = -l ]; do shift 2; done
echo "$@" >> {log}
[ "$1" = away ] && {{ echo "ssh: connect to host away: no route" >&2; exit 255; }}
shift
cd {home} && HOME={home} exec sh -c "$*"
"""
CONFIG = """\
ssh_command = "{ssh}"
[sites.far]
ssh = "me@far.example"
experiments_dir = "~/my experiments"
"""


@dataclass(frozen=True)
class Machines:
    """`here` is the working directory, `far` the home on the other machine."""

    here: Path
    far: Path
    log: Path

    @property
    def there(self) -> Path:
        return self.far / "my experiments"

    @property
    def copies(self) -> Path:
        return self.here / "experiments"

    def list_calls(self) -> list[str]:
        return self.log.read_text().splitlines()


@pytest.fixture
def machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machines:
    found = Machines(tmp_path / "here", tmp_path / "far", tmp_path / "log")
    found.here.mkdir()
    found.far.mkdir()
    ssh = tmp_path / "ssh"
    ssh.write_text(SSH.format(home=found.far, log=found.log))
    ssh.chmod(0o755)
    (found.here / "hpcexp.toml").write_text(CONFIG.format(ssh=ssh))
    monkeypatch.chdir(found.here)
    monkeypatch.delenv("HPCEXP_SSH", raising=False)
    return found


@pytest.fixture
def remote(machines: Machines) -> ExperimentDir:
    """A trained experiment on the other machine."""
    return build_tiny(machines.there)


def read_files(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file() and not os.path.basename(path).startswith(".")  # noqa: PTH119
    }
