"""`hpcexp foretell`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hpcexp.cli.options import (
    complete_experiment,
    experiments_dir_option,
    find,
    json_option,
    print_json,
)

if TYPE_CHECKING:
    from hpcexp.analysis.foretelling.learn import Foretelling

NUM_BEST = 5
RULE_NAME = "foretell_rule.yaml"


@click.command()
@click.argument(
    "experiment_names",
    metavar="EXP_DIR...",
    nargs=-1,
    required=True,
    shell_complete=complete_experiment,
)
@click.option(
    "--metric",
    "metrics",
    metavar="NAME",
    multiple=True,
    help="Look at this column only, such as loss.self_recon. Repeatable.  [default: all]",
)
@click.option(
    "--success",
    "success_below",
    type=float,
    metavar="VALUE",
    help="A run whose primary metric ends below it is a success.  [default: the workload's]",
)
@click.option(
    "--level",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.9,
    help="The F1 that a rule must have from its epoch on.",
)
@click.option(
    "--audit",
    type=click.FloatRange(0, 1),
    default=0.1,
    help="Share of the doomed runs that the rule lets train on, to check it.",
)
@click.option(
    "--output",
    "output_dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the files go.  [default: plots/ of the first experiment]",
)
@json_option
@experiments_dir_option
def foretell(
    *,
    experiment_names: tuple[str, ...],
    metrics: tuple[str, ...],
    success_below: float | None,
    level: float,
    audit: float,
    output_dir: Path | None,
    as_json: bool,
    experiments_dir: Path | None,
) -> None:
    """Learn from which epoch on which metric foretells success.

    Draws F1 and AUC by epoch, and writes the earliest rule that is good enough as a `stop` rule
    for a template: a run that it foretells to fail ends there, but for a share that is trained on
    to check the rule. Every number is of runs that had no say in the rule. docs/foretelling.md.

    Examples:

    \b
      hpcexp foretell max_epoch
      hpcexp foretell max_epoch rnn_width --json
    """
    from hpcexp.analysis.figures.drawing import save_drawing
    from hpcexp.analysis.figures.foretelling import draw_foretelling
    from hpcexp.analysis.foretelling.learn import learn_to_foretell
    from hpcexp.analysis.frames import load
    from hpcexp.store.files import write_text

    experiments = [
        find(name, experiments_dir, quiet=as_json, archives=True) for name in experiment_names
    ]
    found = learn_to_foretell(
        [load(experiment) for experiment in experiments],
        metrics=metrics,
        success_below=success_below,
        level=level,
    )
    directory = output_dir or experiments[0].plots_dir
    directory.mkdir(parents=True, exist_ok=True)
    written = list(save_drawing(draw_foretelling(found), plots_dir=directory))
    rule_path = directory / RULE_NAME
    if found.rule is not None:
        write_text(rule_path, spell_rule(found, audit=audit))
        written.append(rule_path)
    else:
        rule_path.unlink(missing_ok=True)  # of an earlier call, which this one contradicts
    if as_json:
        print_json(_to_json(found, audit=audit, written=written))
        return
    click.echo("\n".join(_describe(found)))
    if found.rule is not None:
        click.echo("\nfor a template\n")
        click.echo(spell_rule(found, audit=audit).rstrip())
    click.echo(f"\nwrote {', '.join(path.name for path in written)}\nin {directory}/")


def spell_rule(found: Foretelling, *, audit: float) -> str:
    """The rule as a piece of a template, with where it comes from."""
    assert found.rule is not None
    rule = found.rule.to_stop_rule(audit=audit)
    items = ", ".join(f"{key}: {value}" for key, value in rule.items())
    held_out = found.held_out
    assert held_out is not None
    return (
        f"# learnt from {', '.join(found.names)}: {found.num_successes} successes\n"
        f"# ({found.metric.name} < {found.metric.success_below:g}) and {found.num_failures} "
        f"failures; on runs held out it\n"
        f"# stopped {held_out.num_stopped} of the failures, and {held_out.num_lost} of the "
        "successes\n"
        f"params:\n  stop:\n    - {{{items}}}\n"
    )


def _describe(found: Foretelling) -> Iterator[str]:
    from hpcexp.analysis.describe import align

    total = found.num_successes + found.num_failures
    yield (
        f"{total} runs with an outcome: {found.num_successes} successes ({found.metric.title} < "
        f"{found.metric.success_below:g}), {found.num_failures} failures"
    )
    yield ""
    rows = [["foretold by", "epoch", "F1", "AUC", "threshold"]]
    best = found.table.sort_values(["f1", "auc"], ascending=False, kind="stable")
    best = best.drop_duplicates(["split", "metric"]).head(NUM_BEST)
    for row in best.to_dict("records"):
        rows.append(
            [
                f"{row['metric']} ({row['split']})",
                str(row["epoch"]),
                f"{row['f1']:.2f}",
                f"{row['auc']:.2f}",
                f"{row['threshold']:.3g}",
            ]
        )
    yield from align(rows, right=(1, 2, 3, 4))
    naive = float(found.table["f1_all_succeed"].iloc[0])
    yield f"  (each at its best epoch; to call all runs successes has F1 {naive:.2f})"
    yield ""
    yield from _describe_rule(found)
    for warning in found.warnings:
        yield f"warning   {warning}"


def _describe_rule(found: Foretelling) -> Iterator[str]:
    from hpcexp.analysis.statistics.proportions import wilson_interval

    if found.rule is None or found.held_out is None:
        yield (
            f"no rule   no metric reaches F1 {found.level:g} and stays there before the last "
            "epoch: let the runs train to their end, or learn from more of them"
        )
        return
    held_out = found.held_out
    low, high = wilson_interval(held_out.num_lost, held_out.num_successes)
    yield f"rule      doomed: {found.rule.describe()}"
    yield (
        f"held out  chosen anew without the runs it is tried on, it stops "
        f"{held_out.num_stopped} of {held_out.num_failures} failures"
    )
    yield (
        f"wrong     and {held_out.num_lost} of {held_out.num_successes} successes "
        f"[{100 * low:.0f} %, {100 * high:.0f} %]"
    )
    yield f"saves     {100 * found.saved:.0f} % of the epochs of runs like these"
    yield (
        f"calibration  Brier score {found.brier:.3f} ({found.brier_base:.3f} by the share of "
        "successes alone)"
    )


def _to_json(found: Foretelling, *, audit: float, written: list[Path]) -> dict[str, Any]:
    held_out = None if found.held_out is None else dataclasses.asdict(found.held_out)
    return {
        "experiments": found.names,
        "num_successes": found.num_successes,
        "num_failures": found.num_failures,
        "success_below": found.metric.success_below,
        "rule": None if found.rule is None else found.rule.to_stop_rule(audit=audit),
        "held_out": held_out,
        "brier": None if found.rule is None else found.brier,
        "brier_base": found.brier_base,
        "saved": None if found.rule is None else found.saved,
        "warnings": found.warnings,
        "files": [str(path) for path in written],
    }
