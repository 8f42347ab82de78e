"""`hpcexp eval`: pictures and numbers of trained models."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from hpcexp.cli.options import (
    experiment_argument,
    experiments_dir_option,
    find,
    json_option,
    make_console,
    print_json,
    runs_argument,
)
from hpcexp.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

    from hpcexp.worker.inspection.evaluate import EvalReport, LookedInto

MAX_SEQUENCES = 64
MAX_LISTED = 10
PROBLEM_EXIT_CODE = 1


@click.command(name="eval")
@experiment_argument
@runs_argument
@click.option(
    "--kind",
    "kinds",
    metavar="KIND",
    multiple=True,
    help="Only this: encoder, decoder, trajectory or prediction (sps), samples (others). "
    "Repeatable.",
)
@click.option(
    "--at",
    metavar="last|best|EPOCH",
    default="last",
    help="Which parameters: the last, the best by a metric, or those kept at an epoch.",
)
@click.option("--metric", metavar="NAME", help="The metric of `--at best`.")
@click.option(
    "--split",
    metavar="NAME",
    help="train, validate or evaluate.  [default: what each kind is made for]",
)
@click.option(
    "--sequences",
    metavar="COUNT|LIST",
    default="4",
    help="Which are drawn: the first so many, or a list such as 0,3,7 (`7,` for one).",
)
@click.option(
    "--output",
    "output_dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the files go.  [default: eval/last and so on in the experiment]",
)
@click.option("--device", metavar="NAME", help="cpu, cuda, cuda:1.  [default: a GPU if any]")
@json_option
@experiments_dir_option
def evaluate(
    *,
    experiment_name: str,
    runs: tuple[str, ...],
    kinds: tuple[str, ...],
    at: str,
    metric: str | None,
    split: str | None,
    sequences: str,
    output_dir: Path | None,
    device: str | None,
    as_json: bool,
    experiments_dir: Path | None,
) -> None:
    """Look into trained models: pictures and numbers of every run.

    \b
      encoder     linear projection MSE, DCI, MIG and SAP of the latents, by group
      decoder     what each latent does to the image, from -2 to 2 standard deviations
      trajectory  latents over time, of the encoder and of the RNN on its own
      prediction  true, reconstructed and predicted frames
      samples     images and what is predicted of them (unmix, classify)

    Works while runs train. RUN is a run or a group; all runs without it. What the numbers
    mean: docs/eval.md.

    Examples:

    \b
      hpcexp eval latest
      hpcexp eval latest --kind prediction --sequences 0,3,7
      hpcexp eval latest rnn_width=48 --at best --metric linear_projection_mse
    """
    epoch_or_name = parse_at(at)
    if metric is not None and epoch_or_name != "best":
        raise UsageError(f"--metric {metric} is for --at best, not for --at {at}")
    places = parse_sequences(sequences)
    experiment = find(experiment_name, experiments_dir, quiet=as_json)
    from hpcexp.launch.observe import observe
    from hpcexp.launch.selection import select_runs

    names = select_runs(observe(experiment), runs)
    from hpcexp.train.inspection import Request
    from hpcexp.worker.inspection.evaluate import evaluate_runs
    from hpcexp.worker.inspection.parameters import Choice

    with _showing_progress(len(names), is_quiet=as_json) as show:
        report = evaluate_runs(
            experiment,
            names,
            request=Request(kinds=kinds, split=split, sequences=places),
            choice=Choice(epoch_or_name, metric),
            device=device,
            output_dir=output_dir,
            on_run=show,
        )
    _finish(report, as_json=as_json)


def parse_at(text: str) -> Literal["last", "best"] | int:
    """Which parameters are meant.

    Raises UsageError for anything but last, best and an epoch.
    """
    if text == "last":
        return "last"
    if text == "best":
        return "best"
    if not text.isascii() or not text.isdigit():
        raise UsageError(f"--at {text}: write last, best, or an epoch such as 500")
    return int(text)


def parse_sequences(text: str) -> tuple[int, ...]:
    """The first so many (`4`), or those of a list (`0,3,7`; `7,` for a single one).

    Raises UsageError for anything else, and for more than can be looked at.
    """
    if not re.fullmatch(r"[0-9]+(,[0-9]+)*,?", text, flags=re.ASCII):
        raise UsageError(f"--sequences {text}: write how many, such as 4, or which, such as 0,3,7")
    numbers = [int(number) for number in text.split(",") if number]
    count = len(set(numbers)) if "," in text else numbers[0]
    if not 1 <= count <= MAX_SEQUENCES:
        raise UsageError(
            f"--sequences {text}: {count} are asked for; allowed is 1 to {MAX_SEQUENCES}"
        )
    return tuple(dict.fromkeys(numbers)) if "," in text else tuple(range(count))


@contextmanager
def _showing_progress(num_runs: int, *, is_quiet: bool) -> Iterator[Callable[[LookedInto], None]]:
    """A bar on a terminal, a line for each run elsewhere; runs without result are always said."""
    if is_quiet:
        yield lambda _: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    console = make_console()
    columns = (TextColumn("  {task.description}"), BarColumn(bar_width=24), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("looking into runs", total=num_runs)

        def show(looked: LookedInto) -> None:
            progress.advance(bar)
            if line := _describe_run(looked, is_terminal=console.is_terminal):
                console.print(line, markup=False)

        yield show


def _describe_run(looked: LookedInto, *, is_terminal: bool) -> str:
    if looked.problem:
        return f"  problem  {looked.run.name}: {looked.problem}"
    if looked.skipped:
        return f"  skipped  {looked.run.name}: {looked.skipped}"
    return "" if is_terminal else f"  done     {looked.run.name}, epoch {looked.epoch}"


def _finish(report: EvalReport, *, as_json: bool) -> None:
    """Tables and figures of all runs, then what is said; the exit code is 1 after a problem."""
    from hpcexp.analysis.eval_tables import save_eval_tables

    saved = save_eval_tables(report)
    for problem in saved.problems:
        click.echo(f"! {problem}", err=True)
    if as_json:
        print_json(_to_json(report))
    else:
        _print_report(report, saved.tables)
    if any(run.problem for run in report.runs):
        click.get_current_context().exit(PROBLEM_EXIT_CODE)


def _print_report(report: EvalReport, tables: dict[str, pd.DataFrame]) -> None:
    console = make_console()
    for table in tables.values():
        console.print(_render_groups(table))
    notes = Counter(note for run in report.runs for note in run.notes)
    for note, count in list(notes.items())[:MAX_LISTED]:
        console.print(f"! {note} ({count} of {len(report.runs)} runs)", markup=False)
    num_files = sum(len(run.files) for run in report.runs)
    kinds = list(dict.fromkeys(path.parent.name for run in report.runs for path in run.files))
    console.print(f"wrote {num_files} files: {', '.join(f'{kind}/' for kind in kinds)}")
    for kind, table in tables.items():
        path, num_earlier = report.directory.table_path(kind), len(table) - len(report.runs)
        kept = f" (rows of earlier calls: {num_earlier})" if num_earlier else ""
        console.print(f"table  {path.name}, drawn in {path.stem}.pdf and .png{kept}", markup=False)
    click.echo(f"in {report.directory.path}/")


def _render_groups(table: pd.DataFrame) -> Any:
    from rich.table import Table

    from hpcexp.analysis.inspection import list_metrics, summarise_groups

    metrics = list_metrics(table)
    shown = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 2, 0, 0))
    shown.add_column("group (medians)", overflow="fold")
    for header in ("n", *(metric.title for metric in metrics)):
        shown.add_column(header, justify="right")
    for row in summarise_groups(table, metrics).to_dict("records"):
        n = f"{row['n']}" + (f" + {row['not_final']} not final" if row["not_final"] else "")
        shown.add_row(row["group"], n, *(_spell(row[metric.name]) for metric in metrics))
    return shown


def _spell(value: float) -> str:
    if math.isinf(value):
        return "diverged"
    return "-" if math.isnan(value) else f"{value:.3f}"


def _to_json(report: EvalReport) -> dict[str, Any]:
    return {
        "experiment": str(report.experiment.path),
        "directory": str(report.directory.path),
        "runs": [
            {
                "run": looked.run.name,
                "group": looked.run.group,
                "state": looked.state.value,
                "epoch": looked.epoch,
                "step": looked.step,
                "numbers": {
                    kind: {name: _finite(value) for name, value in numbers.items()}
                    for kind, numbers in looked.numbers.items()
                },
                "notes": list(looked.notes),
                "skipped": looked.skipped,
                "problem": looked.problem,
                "files": [str(path) for path in looked.files],
            }
            for looked in report.runs
        ],
        "tables": [str(report.directory.table_path(kind)) for kind in report.kinds_with_numbers],
    }


def _finite(value: float) -> float | None:
    """JSON has no NaN."""
    return value if math.isfinite(value) else None
