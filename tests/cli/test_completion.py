"""The tab key in real shells."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hpcexp.store.layout import ExperimentDir
from tests.cli.in_process import here
from tests.cli.test_archive import build_tiny

__all__ = ["here"]
RUN = "rnn_width=4_rand_0"
# In the place of hpcexp, so that a line that is completed can be entered, too.
COMMAND = """\
#!/bin/sh
[ -n "$_HPCEXP_COMPLETE" ] || [ "$1" = completion ] && exec {python} -m hpcexp "$@"
echo "<$*>"
"""


@pytest.fixture
def lab(here: Path, monkeypatch: pytest.MonkeyPatch) -> ExperimentDir:
    """An experiment, and an `hpcexp` that completes and otherwise echoes what it was given."""
    (here / "bin").mkdir()
    command = here / "bin" / "hpcexp"
    command.write_text(COMMAND.format(python=sys.executable))
    command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{here / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("PS1", "> ")
    return build_tiny(here / "experiments")


@contextmanager
def shell(*command: str) -> Iterator[int]:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    )
    os.close(theirs)
    try:
        yield ours
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def press(terminal: int, keys: str, *, until: str) -> str:
    os.write(terminal, keys.encode())
    read, deadline = "", time.monotonic() + 30
    while until not in read:
        assert time.monotonic() < deadline, read
        if select.select([terminal], [], [], 0.2)[0]:
            read += os.read(terminal, 4096).decode(errors="replace")
    return read


def complete_and_enter(terminal: int, typed: str, *, expected: str) -> None:
    """Type, press tab, wait for what is completed, and enter the line."""
    press(terminal, f"{typed}\t", until=expected[-6:])
    press(terminal, "\n", until=f"<{expected}")


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes_names_that_hold_its_word_breaks(lab: ExperimentDir) -> None:
    with shell("bash", "--norc", "--noprofile", "-i") as terminal:
        press(terminal, 'eval "$(hpcexp completion bash)"; echo rea""dy\n', until="ready\r\n")
        complete_and_enter(terminal, "hpcexp logs la", expected="logs latest")
        complete_and_enter(terminal, "hpcexp logs tiny rnn_width=4_r", expected=f"logs tiny {RUN}")
        begun = lab.name[: lab.name.index("@") + 2]
        complete_and_enter(terminal, f"hpcexp plot {begun}", expected=f"plot {lab.name}")
        complete_and_enter(terminal, "hpcexp hol", expected="hold")


@pytest.mark.skipif(shutil.which("zsh") is None, reason="needs zsh")
def test_zsh_completes_experiments_and_runs(lab: ExperimentDir, here: Path) -> None:
    with shell("zsh", "-f", "-i") as terminal:
        start = f"autoload -U compinit; compinit -u -d {here}/dump; "
        start += 'eval "$(hpcexp completion zsh)"; echo rea""dy\n'
        press(terminal, start, until="ready\r\n")
        complete_and_enter(terminal, "hpcexp logs la", expected="logs latest")
        complete_and_enter(terminal, "hpcexp logs tiny rnn_width=4_r", expected=f"logs tiny {RUN}")


@pytest.mark.skipif(shutil.which("fish") is None, reason="needs fish")
def test_fish_completes_experiments_and_runs(lab: ExperimentDir) -> None:
    def ask(line: str) -> list[str]:
        script = f"hpcexp completion fish | source; complete -C '{line}'"
        done = subprocess.run(
            ["fish", "--no-config", "-c", script], capture_output=True, text=True, check=True
        )
        return [found.split("\t")[0] for found in done.stdout.splitlines()]

    assert ask("hpcexp logs la") == ["latest"]
    assert ask("hpcexp logs tiny rnn_width=4_r") == [RUN]


def test_what_is_wrong_is_not_said_in_the_line_that_is_typed(
    lab: ExperimentDir, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "hpcexp.toml").write_text("no toml")
    for line, index in (("hpcexp plot la", "2"), ("hpcexp logs tiny rnn", "3")):
        words = {"COMP_WORDS": line, "COMP_CWORD": index, "_HPCEXP_COMPLETE": "bash_complete"}
        done = subprocess.run(
            ["hpcexp"], env={**os.environ, **words}, capture_output=True, text=True
        )
        assert (done.stdout.strip(), done.stderr) == ("", "")


def test_completion_loads_nothing_that_takes_long(lab: ExperimentDir) -> None:
    heavy = ("pydantic", "yaml", "rich", "submitit", "numpy", "pandas", "torch")
    probe = (
        "import sys; sys.argv = ['hpcexp']\nfrom hpcexp.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    for line, index in (("hpcexp plot la", "2"), ("hpcexp logs tiny rnn", "3")):
        words = {"COMP_WORDS": line, "COMP_CWORD": index, "_HPCEXP_COMPLETE": "bash_complete"}
        command = [sys.executable, "-c", probe]
        environment = {**os.environ, **words}
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        first, *_, last = done.stdout.splitlines()
        assert first.startswith("plain,")
        assert last == "[]"
