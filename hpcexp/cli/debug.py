"""`hpcexp debug` and `hpcexp lr-range`: finding out why a model does not learn."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from hpcexp.cli.options import json_option, make_console, print_json

if TYPE_CHECKING:
    from hpcexp.grid import Group
    from hpcexp.template import Template
    from hpcexp.worker.debug.findings import Examination

FAILURES_EXIT_CODE = 1
COLOURS = {"PASSED": "green", "FAILED": "red", "SKIPPED": "yellow"}
NAME_WIDTH = 22
DEFAULT_STEPS = 300
Command = TypeVar("Command", bound=Callable[..., Any])


def template_options(command: Command) -> Command:
    """What names a group of a template."""
    for option in (
        click.option("--device", metavar="NAME", help="cpu, cuda, cuda:1.  [default: cpu]"),
        click.option(
            "--rand-init", type=click.IntRange(min=0), default=0, help="Which initialisation."
        ),
        click.option(
            "--set", "overrides", metavar="KEY=VALUE", multiple=True, help="Override. Repeatable."
        ),
        click.option("--profile", metavar="NAME", help="Apply a profile of the template."),
        click.option(
            "--group",
            "groups",
            metavar="GROUP",
            multiple=True,
            help="Such as rnn_width=48. Repeatable.  [default: the first]",
        ),
        click.argument("template_path", metavar="TEMPLATE", type=click.Path(path_type=Path)),
    ):
        command = option(command)
    return command


@click.command()
@template_options
@click.option(
    "--steps",
    type=click.IntRange(min=1),
    default=DEFAULT_STEPS,
    help="Steps in which one batch should be learned by heart.",
)
@click.option("--layers", is_flag=True, help="Also statistics of activations and gradients.")
@json_option
def debug(
    *,
    template_path: Path,
    groups: tuple[str, ...],
    profile: str | None,
    overrides: tuple[str, ...],
    rand_init: int,
    device: str | None,
    steps: int,
    layers: bool,
    as_json: bool,
) -> None:
    """Check in a minute whether the model of a group can learn, and if not, why.

    Overfits one batch that stays the same; looks at the data, the gradients, the loss at the
    beginning, batches of one, mixed-up examples, the order of inputs, and an easier data set.
    Nothing is written. After a failure the exit code is 1. What they mean: docs/debug.md.

    Examples:

    \b
      hpcexp debug templates/quickstart.yaml
      hpcexp debug templates/unmix/decoders.yaml --group decoder=dot,activation=sigmoid
    """
    template, chosen = _choose(template_path, groups, profile, overrides, quiet=as_json)
    from hpcexp.api.debugging import make_bench
    from hpcexp.worker.debug.examine import examine

    examinations = []
    for group in chosen:
        bench = make_bench(template, group, rand_init=rand_init, device=device, steps=steps)
        if not as_json:
            click.secho(f"{template.name}, group {group.name}", bold=True)
        made = examine(
            bench, group=group.name, with_layers=layers, on_finding=None if as_json else _print
        )
        examinations.append(made)
        if not as_json:
            _print_end(made)
    if as_json:
        print_json([made.to_json() for made in examinations])
    if any(made.has_failures for made in examinations):
        click.get_current_context().exit(FAILURES_EXIT_CODE)


@click.command(name="lr-range")
@template_options
@click.option("--min", "lowest", type=float, default=1e-6, help="First learning rate.")
@click.option("--max", "highest", type=float, default=10.0, help="Last learning rate.")
@click.option(
    "--steps", type=click.IntRange(min=10), default=200, help="Steps from one to the other."
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the files go.  [default: lr_range/ and the template's name]",
)
@json_option
def lr_range(
    *,
    template_path: Path,
    groups: tuple[str, ...],
    profile: str | None,
    overrides: tuple[str, ...],
    rand_init: int,
    device: str | None,
    lowest: float,
    highest: float,
    steps: int,
    output: Path | None,
    as_json: bool,
) -> None:
    """Train while the learning rate rises, and draw the loss over the rate.

    The rate to take is well below the one where the loss rises again; the test names the one at
    which the loss falls fastest. It stops where the loss has grown fourfold.

    Examples:

    \b
      hpcexp lr-range templates/quickstart.yaml
      hpcexp lr-range templates/unmix/decoders.yaml --group decoder=pair_mlp,activation=sigmoid
    """
    from hpcexp.errors import UsageError

    if not 0 < lowest < highest:
        raise UsageError(
            f"--min {lowest:g} --max {highest:g}: rates are above 0, and the first is the smaller"
        )
    template, chosen = _choose(template_path, groups, profile, overrides, quiet=as_json)
    from hpcexp.analysis.figures.drawing import save_drawing
    from hpcexp.analysis.figures.lr_range import draw_lr_range
    from hpcexp.api.debugging import make_bench
    from hpcexp.worker.debug.lr_range import sweep_lr

    directory = output or Path("lr_range") / template.name
    reports = []
    for group in chosen:
        bench = make_bench(template, group, rand_init=rand_init, device=device, steps=steps)
        sweep = sweep_lr(bench, lowest=lowest, highest=highest, num_steps=steps)
        drawing = draw_lr_range(sweep, template=template.name, group=group.name)
        try:
            directory.mkdir(parents=True, exist_ok=True)
            files = save_drawing(drawing, plots_dir=directory)
        except OSError as error:
            raise UsageError(
                f"{directory}: cannot be written ({error.strerror}); choose another with --output"
            ) from error
        reports.append({**sweep.to_json(), "group": group.name, "files": list(map(str, files))})
        if not as_json:
            click.echo(f"{group.name}: {sweep.describe()}")
            click.echo(f"wrote {', '.join(path.name for path in files)} in {directory}/")
    if as_json:
        print_json(reports)


def _choose(
    path: Path, names: Sequence[str], profile: str | None, overrides: Sequence[str], *, quiet: bool
) -> tuple[Template, list[Group]]:
    """The template and the groups that are meant; says which where it was left open."""
    from hpcexp.api.debugging import choose_groups

    template, groups, number = choose_groups(path, names, profile=profile, overrides=overrides)
    if number > 1 and not names and not quiet:
        click.echo(f"the first of {number} groups; --group chooses another", err=True)
    return template, groups


def _print(finding: Any) -> None:
    """One line for what was found, and one for what it usually means."""
    level = click.style(f"{finding.level.value:<8}", fg=COLOURS[finding.level.value])
    _wrap(f"{finding.check:<{NAME_WIDTH}}{finding.found}", before=level)
    if finding.means:
        _wrap(f"{'usually':<{NAME_WIDTH}}{finding.means}", before=" " * 8)


def _wrap(text: str, *, before: str) -> None:
    """Print a line; on a terminal its continuation stands below its beginning."""
    import textwrap

    if not sys.stdout.isatty():
        click.echo(f"{before}{text}")
        return
    indent = " " * (8 + NAME_WIDTH)
    width = max(60, shutil.get_terminal_size().columns)
    lines = textwrap.wrap(" " * 8 + text, width, subsequent_indent=indent, break_on_hyphens=False)
    click.echo("\n".join([before + lines[0][8:], *lines[1:]]))


def _print_end(made: Examination) -> None:
    levels = [finding.level.value for finding in made.findings]
    failed, skipped = levels.count("FAILED"), levels.count("SKIPPED")
    if made.layers:
        _print_layers(made)
    click.echo(f"\n{levels.count('PASSED')} passed, {failed or 'none'} failed, {skipped} skipped\n")


def _print_layers(made: Examination) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("layer", overflow="fold")
    table.add_column("kind")
    headers = {
        "shape": "shape", "mean": "mean", "std": "SD", "share_zero": "zeros",
        "grad_rms": "gradient", "weight_grad_rms": "of its weights",
    }  # fmt: skip
    for header in headers.values():
        table.add_column(header, justify="right")
    for row in made.layers:
        cells = [_spell(row[key]) for key in headers]
        table.add_row(escape(row["layer"]), row["kind"], *cells)
    click.echo("\nactivations, and gradients (root mean square), of the untrained model")
    make_console().print(table)


def _spell(value: object) -> str:
    if isinstance(value, list):
        return " x ".join(map(str, value))
    return "-" if value is None else f"{value:.3g}"
