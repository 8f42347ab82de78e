"""Options and arguments that several commands share, and how an experiment is found."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from rich.console import Console

    from hpcexp.store.layout import ExperimentDir
    from hpcexp.store.status import State

Command = TypeVar("Command", bound=Callable[..., Any])


Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def completing_quietly(complete: Complete) -> Complete:
    """Nothing is offered where something is wrong: a message would stand in the line."""

    def complete_quietly(
        context: click.Context, parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        from hpcexp.errors import HpcexpError

        try:
            return complete(context, parameter, incomplete)
        except (HpcexpError, OSError, KeyError, TypeError):
            return []

    return complete_quietly


@completing_quietly
def complete_experiment(
    _context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Names of experiments for the shell's completion."""
    from hpcexp.site import find_experiments_dir
    from hpcexp.store.find import list_archived, list_experiments

    directory = find_experiments_dir()
    found = [*list_experiments(directory), *list_archived(directory)]
    names = ["latest", *(e.name for e in found)]
    return [CompletionItem(name) for name in names if incomplete in name]


@completing_quietly
def complete_run(
    context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Names of groups and runs of the experiment that was named before."""
    from hpcexp.site import find_experiments_dir
    from hpcexp.store.files import read_json
    from hpcexp.store.find import find_experiment

    # While the value of an option is typed, click has not sorted the arguments yet.
    text = context.params.get("experiment_name") or next(iter(context.args), None)
    if text is None:
        return []
    found = find_experiment(text, experiments_dir=find_experiments_dir())
    # Not `read_plan`, whose imports take longer than anybody waits for a shell.
    plan = read_json(found.experiment.plan_path)
    names = [item["name"] for part in ("groups", "runs") for item in plan[part]]
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


@completing_quietly
def complete_tag(
    _context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Tags that notes have, and the one that `hpcexp meeting` looks for."""
    from hpcexp.site import find_experiments_dir
    from hpcexp.store.catalogue import list_tags

    tags = list_tags(find_experiments_dir())
    return [CompletionItem(tag) for tag in tags if tag.startswith(incomplete.removeprefix("#"))]


def experiments_dir_option(command: Command) -> Command:
    """`--experiments-dir` and `--site`."""
    for option in (
        click.option(
            "--site",
            metavar="NAME",
            expose_value=False,
            callback=_name_site,
            shell_complete=complete_site,
            help="The site of the configuration files that counts.  [default: by host name]",
        ),
        click.option(
            "--experiments-dir",
            type=click.Path(path_type=Path),
            help="Where experiments are.  [default: as `hpcexp site` says, else ./experiments]",
        ),
    ):
        command = option(command)
    return command


_SITE_IS_NAMED = "hpcexp.site"


def _name_site(context: click.Context, _parameter: click.Parameter, name: str | None) -> None:
    """Let the site count for this process, and for what it starts."""
    if name is not None and not context.resilient_parsing:
        os.environ["HPCEXP_SITE"] = name
        context.meta[_SITE_IS_NAMED] = True


def is_site_named() -> bool:
    """Whether the command line names a site."""
    return bool(click.get_current_context().meta.get(_SITE_IS_NAMED))


@completing_quietly
def complete_site(
    _context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Names of sites for the shell's completion."""
    from hpcexp.site.document import read_documents
    from hpcexp.site.layers import list_sites

    names = list_sites(read_documents())
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def json_option(command: Command) -> Command:
    """`--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")(command)


def executor_options(command: Command) -> Command:
    """`--slurm`, `--local`, `--inline` and `--jobs`."""
    for option in (
        click.option(
            "--jobs",
            type=click.IntRange(min=1),
            help="Jobs at a time on this machine.  [default: what fits]",
        ),
        click.option(
            "--inline", is_flag=True, help="Train in this process: for a debugger, a first look."
        ),
        click.option("--local", is_flag=True, help="Train in processes on this machine."),
        click.option(
            "--slurm",
            is_flag=True,
            help="Submit to Slurm.  [default: as last time; a new one where Slurm is]",
        ),
    ):
        command = option(command)
    return command


def resource_options(command: Command) -> Command:
    """`--mem-gb`, `--timeout` and `--set`."""
    for option in (
        click.option(
            "--set",
            "settings",
            metavar="KEY=VALUE",
            multiple=True,
            help="Ask for other resources, such as cpus=4. Repeatable.",
        ),
        click.option("--timeout", metavar="DURATION", help="Longest time of a job, such as 12h."),
        click.option("--mem-gb", type=int, help="Memory of a job."),
    ):
        command = option(command)
    return command


class _StateType(click.ParamType["State"]):
    """A state, spelled as people type it; looked up only when it is needed."""

    name = "state"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> State:
        """The state of that name."""
        from hpcexp.store.status import State

        names = {state.words.replace(" ", "-"): state for state in State}
        spelled = str(value).replace("_", "-").replace(" ", "-")
        if spelled not in names:
            self.fail(f"{value!r} is no state; there are {', '.join(names)}", param, ctx)
        return names[spelled]

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """All that begin so."""
        from hpcexp.store.status import State

        del ctx, param
        names = [state.words.replace(" ", "-") for state in State]
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def state_option(command: Command) -> Command:
    """`--state`."""
    return click.option(
        "--state",
        "states",
        type=_StateType(),
        metavar="STATE",
        multiple=True,
        help="Only runs in this state, such as timed-out. Repeatable.",
    )(command)


def experiment_argument(command: Command) -> Command:
    """`EXP_DIR`."""
    return click.argument("experiment_name", metavar="EXP_DIR", shell_complete=complete_experiment)(
        command
    )


def runs_argument(command: Command) -> Command:
    """`[RUN]...`."""
    return click.argument("runs", metavar="[RUN]...", nargs=-1, shell_complete=complete_run)(
        command
    )


def resolve_experiments_dir(given: Path | None) -> Path:
    """The directory of experiments: as given, else as the site says, else `experiments`."""
    from hpcexp.site import find_experiments_dir

    return given or find_experiments_dir()


def find(
    text: str, experiments_dir: Path | None, *, quiet: bool = False, archives: bool = False
) -> ExperimentDir:
    """The experiment that was meant; says on standard error which one a name stood for.

    An archived one is refused unless `archives`, which is for commands that only read.
    """
    from hpcexp.store.find import find_experiment

    directory = resolve_experiments_dir(experiments_dir)
    found = find_experiment(text, experiments_dir=directory, archives=archives)
    if not found.by_path and not quiet:
        others = (
            "" if found.num_matches == 1 else f" (the newest of {found.num_matches} that match)"
        )
        where = f", read from {found.experiment.archive}" if found.experiment.archive else ""
        click.echo(f"{found.experiment.name}{where}{others}", err=True)
    import_from(found.experiment)
    return found.experiment


def import_from(experiment: ExperimentDir) -> None:
    """A laboratory's own workload is the one that the experiment's jobs train."""
    from hpcexp.workloads.own.places import look_in

    def find_code() -> list[Path]:
        from hpcexp.launch.code import list_code_dirs

        return list_code_dirs(experiment)

    look_in(experiment.path, find_code)


def pick_executor(
    experiment: ExperimentDir | None = None, *, slurm: bool, local: bool, inline: bool
) -> str:
    """The executor that was asked for, else the experiment's last, else what fits this machine.

    Raises UsageError where two were asked for.
    """
    from hpcexp.errors import UsageError
    from hpcexp.launch.executors import choose_executor

    wanted = {"slurm": slurm, "local": local, "inline": inline}
    chosen = [name for name, is_wanted in wanted.items() if is_wanted]
    if len(chosen) > 1:
        raise UsageError("--slurm, --local and --inline exclude each other: give one of them")
    return chosen[0] if chosen else choose_executor(experiment)


def print_json(value: Any) -> None:
    """Print a value as JSON."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def make_console() -> Console:
    """A console that neither wraps nor colours what is piped into a file."""
    import shutil

    from rich.console import Console

    console = Console(highlight=False, soft_wrap=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=max(160, shutil.get_terminal_size().columns))
    return console
