"""Commands and code as they stand in Markdown."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.warm.process import run_warm

PROJECT_DIR = Path(__file__).parents[2]
SHELL = re.compile(r"[$|&;<>()`*?~{}]")
BLOCK = re.compile(r"^```(console|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Snippet:
    """A command (without its `$`) or a block of Python."""

    language: str
    text: str


def read_snippets(path: Path) -> list[Snippet]:
    """Every command and every Python block of a page, in order."""
    snippets = []
    for language, body in BLOCK.findall(path.read_text()):
        if language == "python":
            snippets.append(Snippet(language, body))
            continue
        commands = [line[2:] for line in body.splitlines() if line.startswith("$ ")]
        snippets += [Snippet(language, command) for command in commands]
    return snippets


def make_place(directory: Path) -> Path:
    """A directory in which the pages' commands work: with the templates, and `hpcexp` on PATH."""
    shutil.copytree(PROJECT_DIR / "templates", directory / "templates")
    return directory


def run_snippet(snippet: Snippet, *, directory: Path, env: dict[str, str] | None = None) -> str:
    """Type a snippet; a launch trains the template's smoke profile, which takes seconds."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{(env or os.environ)['PATH']}"
    command = [sys.executable, "-c", snippet.text]
    if snippet.language == "console":
        text = shorten(snippet.text)
        words = shlex.split(text, comments=True)
        is_plain = words[0] == "hpcexp" and not SHELL.search(text)
        command = [sys.executable, "-m", *words] if is_plain else ["bash", "-c", text]
    environment = {**(env or os.environ), "PATH": path}
    done = run_warm(command, cwd=directory, env=environment)
    assert done.returncode == 0, f"{snippet.text}\n{done.stdout}{done.stderr}"
    return done.stdout


def shorten(command: str) -> str:
    """Launch with the smoke profile unless the command says what to train itself."""
    words, _, comment = command.partition("#")
    if not words.startswith("hpcexp launch") or "--profile" in words:
        return command
    return f"{words.rstrip()} --profile smoke  #{comment}"
