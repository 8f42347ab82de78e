"""The help of every command: what it does, and examples that it takes."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from hpcexp.cli.app import COMMANDS as TABLE
from hpcexp.cli.app import app
from tests.cli.in_process import here

__all__ = ["here"]

EXAMPLES = re.compile(r"Examples:\n\n\s*\x08\n((?:\s+\S.*\n?)+)")


def list_commands(group: click.Group, name: str = "") -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for key in group.list_commands(context):
        command = group.get_command(context, key)
        assert command is not None, key
        yield f"{name}{key}", command
        if isinstance(command, click.Group):
            yield from list_commands(command, f"{name}{key} ")


COMMANDS = dict(list_commands(app))


def test_the_table_names_every_command_as_it_names_itself_and_fits_a_terminal() -> None:
    for name, (_, text) in TABLE.items():
        assert COMMANDS[name].name == name
        assert len(text) + max(map(len, TABLE)) + 4 <= 78
        assert text.endswith(".")


def test_a_command_that_is_misspelt_is_guessed(here: Path) -> None:
    assert here
    result = CliRunner().invoke(app, ["stauts"])
    assert result.exit_code == 2
    assert "no such command: stauts; did you mean status" in result.output


def read_examples(command: click.Command) -> list[str]:
    found = EXAMPLES.search(f"{command.help}\n")
    return [line.strip() for line in found[1].splitlines() if line.strip()] if found else []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_shows_examples_of_itself(name: str) -> None:
    examples = read_examples(COMMANDS[name])
    assert examples, f"hpcexp {name} --help has no section Examples"
    assert any(f"hpcexp {name}" in example for example in examples)


@pytest.mark.parametrize(
    "example", dict.fromkeys(e for command in COMMANDS.values() for e in read_examples(command))
)
def test_every_example_is_one_that_its_command_takes(
    example: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HPCEXP_SITE", "put back at the end: --site sets it")
    (here / "old_notes.txt").touch()  # the one file that must be there to be named
    inner = re.search(r"\$\((.*)\)", example)
    words = shlex.split(re.split(r" [|>;] |  ", inner[1] if inner else example)[0])
    if words[0] != "hpcexp":
        assert "hpcexp" in example
        return
    context = click.Context(app)
    command: click.Command = app
    rest = words[1:]
    while isinstance(command, click.Group) and rest:
        found = command.get_command(context, rest[0])
        if found is None:
            break
        command, rest = found, rest[1:]
    command.parse_args(click.Context(command, parent=context), rest)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_says_what_it_does(name: str) -> None:
    silent = [
        parameter.opts[0]
        for parameter in COMMANDS[name].params
        if isinstance(parameter, click.Option) and not parameter.help
    ]
    assert silent == []
