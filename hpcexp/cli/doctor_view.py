"""What the doctor found, for people."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Sequence

import click

from hpcexp.cli.options import make_console
from hpcexp.launch.doctor.examine import Examination
from hpcexp.launch.doctor.findings import Finding, Level, Report, count_levels
from hpcexp.launch.doctor.machine import PYTHON_NAMES
from hpcexp.launch.doctor.node_job import NodeReport

COLOURS = {Level.PASSED: "green", Level.WARN: "yellow", Level.ERROR: "red"}
NAME_WIDTH = 20
INDENT = " " * (8 + NAME_WIDTH)
ORDER = list(Level)


def describe_examination(examination: Examination) -> None:
    """Print everything that was found, and in the last line how it looks."""
    machine = examination.machine
    _print_section("this machine", [f for f in machine.findings if f.check in PYTHON_NAMES])
    rest = tuple(f for f in machine.findings if f.check not in PYTHON_NAMES)
    _print_section("experiments", rest, not_checked=machine.not_checked)
    if examination.settings.findings:
        _print_section("settings", examination.settings.findings)
    cluster = examination.cluster
    _print_section("Slurm", cluster.findings, not_checked=cluster.not_checked)
    if examination.node is not None:
        _print_node(examination, examination.node)
    if examination.obstacles:
        click.echo(f"\nno node was looked at, because of: {_list_names(examination.obstacles)}")
    click.echo(f"\n{summarise(examination.findings)}")


def summarise(findings: Sequence[Finding]) -> str:
    """Such as `21 passed, 1 warning, no errors`."""
    counts = count_levels(findings)
    words = {Level.WARN: "warning", Level.ERROR: "error"}
    parts = [f"{counts[Level.PASSED]} passed"]
    for level, word in words.items():
        count = counts[level]
        parts.append(f"{count or 'no'} {word}{'' if count == 1 else 's'}")
    return ", ".join(parts)


def _print_section(
    title: str, findings: Sequence[Finding], *, not_checked: Sequence[str] = ()
) -> None:
    click.secho(f"\n{title}" if title != "this machine" else title, bold=True)
    for finding in findings:
        _print_finding(finding)
    if not_checked:
        _print_wrapped(f"        not checked, because of that: {_list_names(not_checked)}")


def _print_finding(finding: Finding) -> None:
    level = click.style(f"{finding.level:<8}", fg=COLOURS[finding.level])
    name = finding.check.replace("_", " ")
    _print_wrapped(f"{name:<{NAME_WIDTH - 1}} {finding.found}", before=level)
    for line in finding.details:
        _print_wrapped(f"{INDENT}{line}")
    if finding.todo:
        _print_wrapped(f"{INDENT}-> {finding.todo}")


def _print_wrapped(text: str, *, before: str = "") -> None:
    """Print a line, wrapped where somebody looks at it; what is piped stays a line."""
    if not sys.stdout.isatty():
        click.echo(f"{before}{text}")
        return
    width = max(60, shutil.get_terminal_size().columns)
    blank = " " * len(click.unstyle(before))
    lines = textwrap.wrap(
        blank + text, width, subsequent_indent=INDENT, drop_whitespace=True,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
    click.echo("\n".join([before + lines[0][len(blank) :], *lines[1:]]))


def _print_node(examination: Examination, node: NodeReport) -> None:
    """What both sides found about each other, then a table of what each found by itself."""
    _print_section(f"node {node.node}".strip(), node.findings)
    if not node.on_node.findings:
        return
    from rich.markup import escape
    from rich.table import Table

    click.echo()
    table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 2, 0, 0))
    for header in ("", "check", "here", f"on {node.node}"):
        table.add_column(escape(header), overflow="fold")
    login = Report((*examination.machine.findings, *examination.cluster.findings))
    for there in node.on_node.findings:
        here = login.get(there.check)
        level = max(there.level, here.level if here else there.level, key=ORDER.index)
        table.add_row(
            f"[{COLOURS[level]}]{level}[/]",
            there.check.replace("_", " "),
            escape(here.found) if here else "-",
            escape(there.found),
        )
    make_console().print(table)
    advised = [f for f in node.on_node.findings if f.todo and not _is_known(f, login)]
    if advised:
        click.echo()
    for finding in advised:
        _print_finding(finding)
    if node.on_node.not_checked:
        _print_wrapped(f"not checked there: {_list_names(node.on_node.not_checked)}")


def _is_known(finding: Finding, login: Report) -> bool:
    """Whether the same was found, and said, about this machine."""
    here = login.get(finding.check)
    return here is not None and (here.level, here.todo) == (finding.level, finding.todo)


def _list_names(names: Sequence[str]) -> str:
    return ", ".join(name.replace("_", " ") for name in names)
