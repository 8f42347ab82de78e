"""`hpcexp replay`: a step that diverged, run once more and watched."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hpcexp.cli.options import (
    complete_run,
    experiment_argument,
    experiments_dir_option,
    find,
    json_option,
    make_console,
    print_json,
)
from hpcexp.errors import HpcexpError, UsageError

if TYPE_CHECKING:
    from hpcexp.train.forensics import ModuleNorms
    from hpcexp.train.watch import Measure
    from hpcexp.worker.replay import Replay

MAX_SAMPLES_SHOWN = 16
MODULES_AROUND = 4
NOT_AGAIN_EXIT_CODE = 1


@click.command()
@experiment_argument
@click.argument("run", metavar="RUN", required=False, shell_complete=complete_run)
@click.option("--device", metavar="NAME", help="cpu, cuda, cuda:1.  [default: a GPU if any]")
@click.option("--all", "show_all", is_flag=True, help="Norms of all modules.")
@json_option
@experiments_dir_option
def replay(
    *,
    experiment_name: str,
    run: str | None,
    device: str | None,
    show_all: bool,
    as_json: bool,
    experiments_dir: Path | None,
) -> None:
    """Show the step at which a run diverged happen again.

    The step is run once more from the state before it, with the samples and random numbers that
    it had, and every module is watched: where the first value was that is not finite, and what
    the norms around it are. Nothing is written. Exit code: 0 if it diverged again, 1 if not, 2 if
    there is nothing to replay.

    Examples:

    \b
      hpcexp replay latest lr=1.0_rand_3
      hpcexp replay latest lr=1.0_rand_3 --device cpu --json
    """
    from hpcexp.api.replaying import choose_recorded

    experiment = find(experiment_name, experiments_dir, quiet=as_json)
    try:
        name = choose_recorded(experiment, run)
        from hpcexp.worker.replay import replay_run

        replayed = replay_run(experiment.run(name), device=device)
    except HpcexpError as error:
        raise UsageError(str(error)) from error  # 1 means that it did not happen again
    if as_json:
        print_json(_to_json(replayed))
    else:
        _show(replayed, show_all=show_all)
    if not replayed.happened_again:
        click.get_current_context().exit(NOT_AGAIN_EXIT_CODE)


def _show(replayed: Replay, *, show_all: bool) -> None:
    console = make_console()
    samples = ", ".join(map(str, replayed.samples[:MAX_SAMPLES_SHOWN]))
    rest = ", ..." if len(replayed.samples) > MAX_SAMPLES_SHOWN else ""
    click.echo(f"{replayed.run}: {replayed.reason}")
    click.echo(f"replayed on {replayed.device}, {replayed.dtype}, learning rate {replayed.lr:g}")
    click.echo(f"samples {samples}{rest}\n")
    console.print(_render_losses(replayed))
    first = replayed.examination.first
    if first is not None:
        click.echo(f"\n{first.describe()}{_count_bad(first.measure)}\n")
    else:
        click.echo("\nall values are finite\n")
    modules, num_hidden = _pick_modules(replayed, show_all=show_all)
    console.print(_render_modules(modules, marked=first.module if first else ""))
    if num_hidden:
        click.echo(f"... and {num_hidden} modules more: --all shows them")
    click.echo(f"\n{_conclude(replayed)}")


def _conclude(replayed: Replay) -> str:
    if not replayed.happened_again:
        return (
            "it did not happen again: on another device, or with another torch, sums are rounded "
            "otherwise"
        )
    place = "in the same place" if replayed.has_same_place else "but not in the same place"
    if not replayed.recorded_first:
        place = "where it began then is not known"
    numbers = "the same numbers" if replayed.has_same_numbers else "numbers that differ"
    return f"it happened again, {place}, with {numbers}"


def _render_losses(replayed: Replay) -> Any:
    from rich.table import Table

    table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 3, 0, 0))
    table.add_column("loss term, without its weight", overflow="fold")
    for header in ("then", "now"):
        table.add_column(header, justify="right", no_wrap=True)
    then, now = (record.tolist() for record in (replayed.recorded, replayed.examination.record))
    names = ("weighted sum", *replayed.loss_names, "norm of the gradient")
    order = (*range(1, len(names) - 1), 0, len(names) - 1)
    for place in order:
        table.add_row(names[place], f"{then[place]:.6g}", f"{now[place]:.6g}")
    return table


def _pick_modules(replayed: Replay, *, show_all: bool) -> tuple[Sequence[ModuleNorms], int]:
    """Those around the first that was not finite, in the order of computation."""
    modules, first = replayed.examination.modules, replayed.examination.first
    names = [norms.name for norms in modules]
    if show_all or first is None or first.module not in names:
        shown = modules if show_all else modules[: 2 * MODULES_AROUND + 1]
    else:
        place = names.index(first.module)
        shown = modules[max(0, place - MODULES_AROUND) : place + MODULES_AROUND + 1]
    return shown, len(modules) - len(shown)


def _render_modules(modules: Sequence[ModuleNorms], *, marked: str) -> Any:
    from rich.table import Table

    table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 3, 0, 0))
    table.add_column("norms, in order of computation", overflow="fold")
    for header in ("calls", "output", "its gradient", "parameters", "their gradient"):
        table.add_column(header, justify="right", no_wrap=True)
    for norms in modules:
        sign = "> " if marked and norms.name == marked else "  "
        measures = (norms.output, norms.output_gradient, norms.parameters, norms.gradient)
        table.add_row(
            f"{sign}{norms.name or '(the model)'}",
            str(norms.num_calls or "-"),
            *(_spell(measure) for measure in measures),
        )
    return table


def _spell(measure: Measure | None) -> str:
    if measure is None:
        return "-"
    if measure.is_finite:
        return f"{measure.norm:.3g}"
    return "NaN" if measure.num_nan else "inf"


def _count_bad(measure: Measure) -> str:
    if measure.is_finite:
        return ""
    counts = (("NaN", measure.num_nan), ("infinite", measure.num_infinite))
    bad = ", ".join(f"{count} {what}" for what, count in counts if count)
    return f": {bad} of {measure.num_values} values, norm of the others {measure.norm:.3g}"


def _to_json(replayed: Replay) -> dict[str, Any]:
    import dataclasses

    from hpcexp.train.forensics_record import name_values, spell_norms

    first = replayed.examination.first
    return {
        "run": replayed.run,
        "step": replayed.step,
        "epoch": replayed.epoch,
        "reason": replayed.reason,
        "device": replayed.device,
        "dtype": replayed.dtype,
        "lr": replayed.lr,
        "samples": list(replayed.samples),
        "recorded": name_values(replayed.recorded, replayed.loss_names),
        "replayed": name_values(replayed.examination.record, replayed.loss_names),
        "happened_again": replayed.happened_again,
        "same_place": replayed.has_same_place,
        "same_numbers": replayed.has_same_numbers,
        "first": None if first is None else dataclasses.asdict(first),
        "first_in_words": "" if first is None else first.describe(),
        "modules": [spell_norms(norms) for norms in replayed.examination.modules],
    }
