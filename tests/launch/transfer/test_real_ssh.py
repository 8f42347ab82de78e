"""A pull and a push through a real sshd on this machine."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpcexp.launch.transfer.pull import find_source, pull
from hpcexp.launch.transfer.push import push
from hpcexp.site.check import load_site
from tests.cli.test_archive import build_tiny
from tests.launch.transfer.conftest import read_files

SSHD = shutil.which("sshd", path=f"/usr/sbin:{os.environ['PATH']}")
pytestmark = pytest.mark.skipif(
    SSHD is None or shutil.which("ssh") is None or os.geteuid() != 0,
    reason="needs OpenSSH's server and client, and root",
)


@pytest.fixture
def ssh_command(tmp_path: Path) -> Iterator[str]:
    """An sshd on a free port of the loopback address, with keys of its own."""
    assert SSHD is not None
    for name in ("host", "user"):
        make_key = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / name)]
        subprocess.run(make_key, check=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = tmp_path / "sshd_config"
    config.write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {tmp_path}/host\nPidFile none\n"
        f"AuthorizedKeysFile {tmp_path}/user.pub\nStrictModes no\nUsePAM no\nPermitRootLogin yes\n"
    )
    Path("/run/sshd").mkdir(exist_ok=True)  # sshd will not start without
    server = subprocess.Popen([SSHD, "-D", "-e", "-f", str(config)], stderr=subprocess.DEVNULL)
    known = f"-o StrictHostKeyChecking=no -o UserKnownHostsFile={tmp_path}/known -o LogLevel=ERROR"
    command = f"ssh -p {port} -i {tmp_path}/user -o BatchMode=yes {known}"
    deadline = time.monotonic() + 20
    while subprocess.run([*command.split(), "127.0.0.1", "true"], capture_output=True).returncode:
        assert time.monotonic() < deadline, "sshd does not answer"
        time.sleep(0.1)
    yield command
    server.terminate()
    server.wait()


def test_an_experiment_goes_there_and_comes_back(
    ssh_command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HPCEXP_SSH", ssh_command)
    monkeypatch.chdir(tmp_path)
    own = build_tiny(tmp_path / "experiments")
    there = tmp_path / "it's a directory"
    push(own, f"127.0.0.1:{there}", load_site(), with_checkpoints=True)
    source = find_source(f"127.0.0.1:{there}/{own.name}", load_site(), experiments_dir=tmp_path)
    back = pull(source, experiments_dir=tmp_path / "back", with_checkpoints=True).experiment
    assert read_files(own.path).items() <= read_files(back.path).items()
