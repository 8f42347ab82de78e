"""The other machine: what it is called, where its experiments are, and what it is told."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from dataclasses import dataclass

from hpcexp.errors import HpcexpError, UsageError
from hpcexp.site import Site
from hpcexp.site.layers import DEFAULT_EXPERIMENTS_DIR, list_sites

SSH_FAILED, NOT_FOUND = 255, 127
_HOST = re.compile(r"(?!-)[\w.@%\[\]:-]+")
_VARIABLE = re.compile(r"\$(\w+|\{\w+\})")


@dataclass(frozen=True)
class Remote:
    """A directory of experiments on another machine, as its shell spells it.

    `ssh` is the command by which it is reached.
    """

    host: str
    directory: str
    ssh: tuple[str, ...]
    site: str = ""

    def spell(self, path: str) -> str:
        """What rsync calls a path there."""
        return f"{self.host}:{path}"

    def run(self, script: str) -> str:
        """Have its shell run a script; returns what it printed.

        Raises HpcexpError where it cannot be reached or the script fails.
        """
        command = [*self.ssh, self.host, f"exec sh -c {shlex.quote(script)}"]
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace"
            )
        except OSError as error:
            raise UsageError(
                f"{self.ssh[0]}: {error.strerror}; ssh_command of the configuration files and "
                "HPCEXP_SSH say which command is used"
            ) from error
        if done.returncode:
            raise HpcexpError(self._explain(done.returncode, done.stderr))
        return done.stdout

    def _explain(self, code: int, stderr: str) -> str:
        lines = [line.strip() for line in stderr.splitlines() if line.strip()]
        said = lines[-1] if lines else f"exit code {code}"
        if code == SSH_FAILED:
            return (
                f"{self.host}: cannot be reached ({said}); try `{shlex.join(self.ssh)} {self.host} "
                "true` by itself"
            )
        return f"{self.host}: {said}"


def find_remote(host: str, site: Site, *, directory: str | None = None) -> Remote:
    """The machine of that name: a site of the configuration files, or what ssh calls a host.

    `directory` goes before what the files say of its experiments.
    Raises UsageError for what cannot be a host's name.
    """
    ssh_name, known = host, ""
    for _, table in list_sites(site.documents).get(host, []):
        known = host
        ssh_name = str(table.get("ssh", ssh_name))
        directory = directory or str(table.get("experiments_dir", "")) or None
    if not _HOST.fullmatch(ssh_name):
        raise UsageError(f"{ssh_name!r} is no host; write HOST:EXP_DIR, such as me@login.example:")
    ssh = tuple(shlex.split(site.get("ssh_command") or "ssh"))
    return Remote(ssh_name, directory or DEFAULT_EXPERIMENTS_DIR, ssh, known)


def quote_path(path: str) -> str:
    """A path for the other machine's shell, which fills in its own `~` and variables."""
    home = path == "~" or path.startswith("~/")
    text = path[1:] if home else path
    parts, place = [], 0
    for found in _VARIABLE.finditer(text):
        parts += [_quote(text[place : found.start()]), f'"{found[0]}"']
        place = found.end()
    parts.append(_quote(text[place:]))
    return ('"$HOME"' if home else "") + "".join(parts) or "''"


def _quote(text: str) -> str:
    return shlex.quote(text) if text else ""


def split_place(text: str) -> tuple[str, str]:
    """`HOST:REST` as its two parts; no host where there is none, as in a path that has a colon."""
    host, colon, rest = text.partition(":")
    if not colon or "/" in host or os.path.exists(text):  # noqa: PTH110 (a text, perhaps no path)
        return "", text
    return host, rest
