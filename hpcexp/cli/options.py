"""Options and arguments that several commands share, and how an experiment is found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from hpcexp.launch.launch import ExecutorName
    from hpcexp.store.layout import ExperimentDir

ExperimentsDir = Annotated[
    Path | None,
    typer.Option(
        "--experiments-dir",
        help="Where experiments are. [default: $HPCEXP_EXPERIMENTS_DIR, else ./experiments]",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
Slurm = Annotated[bool, typer.Option("--slurm", help="Submit to Slurm.")]
Local = Annotated[bool, typer.Option("--local", help="Train in processes on this machine.")]
Inline = Annotated[
    bool, typer.Option("--inline", help="Train in this process, for a debugger or a first look.")
]
Jobs = Annotated[
    int | None,
    typer.Option("--jobs", min=1, help="Jobs at a time on this machine. [default: what fits]"),
]


def complete_experiment(incomplete: str) -> list[str]:
    """Names of experiments for the shell's completion."""
    from hpcexp.store.experiment import default_experiments_dir
    from hpcexp.store.find import list_experiments

    names = [e.name for e in list_experiments(default_experiments_dir())]
    return [name for name in ["latest", *names] if incomplete in name]


ExperimentName = Annotated[
    str,
    typer.Argument(
        metavar="EXP_DIR",
        help="A path, `latest`, or part of a name (the newest that matches).",
        autocompletion=complete_experiment,
    ),
]


def resolve_experiments_dir(given: Path | None) -> Path:
    """The directory of experiments: as given, else from the environment, else `experiments`."""
    from hpcexp.store.experiment import default_experiments_dir

    return given or default_experiments_dir()


def find(text: str, experiments_dir: Path | None, *, quiet: bool = False) -> ExperimentDir:
    """The experiment that was meant; says on standard error which one a name stood for."""
    from hpcexp.store.find import find_experiment

    found = find_experiment(text, experiments_dir=resolve_experiments_dir(experiments_dir))
    if not found.by_path and not quiet:
        others = (
            "" if found.num_matches == 1 else f" (the newest of {found.num_matches} that match)"
        )
        typer.echo(f"{found.experiment.name}{others}", err=True)
    return found.experiment


def pick_executor(*, slurm: bool, local: bool, inline: bool) -> ExecutorName:
    """The executor that was asked for, else the one that fits this machine.

    Raises UsageError where two were asked for.
    """
    from hpcexp.errors import UsageError
    from hpcexp.launch.launch import choose_executor

    chosen: list[ExecutorName] = []
    if slurm:
        chosen.append("slurm")
    if local:
        chosen.append("local")
    if inline:
        chosen.append("inline")
    if len(chosen) > 1:
        raise UsageError("--slurm, --local and --inline exclude each other: give one of them")
    return chosen[0] if chosen else choose_executor()


def print_json(value: Any) -> None:
    """Print a value as JSON."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def make_console() -> Console:
    """A console that neither wraps nor colours what is piped into a file."""
    import shutil

    from rich.console import Console

    console = Console(highlight=False, soft_wrap=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=max(160, shutil.get_terminal_size().columns))
    return console
