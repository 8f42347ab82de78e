"""Commands and code as they stand in Markdown."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

PROJECT_DIR = Path(__file__).parents[2]
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
        command = ["bash", "-c", shorten(snippet.text)]
    done = subprocess.run(
        command, cwd=directory, env={**(env or os.environ), "PATH": path},
        capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, f"{snippet.text}\n{done.stdout}{done.stderr}"
    return done.stdout


def shorten(command: str) -> str:
    """Launch with the smoke profile unless the command says what to train itself."""
    words, _, comment = command.partition("#")
    if not words.startswith("hpcexp launch") or "--profile" in words:
        return command
    return f"{words.rstrip()} --profile smoke  #{comment}"
