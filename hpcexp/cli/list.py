"""`hpcexp list`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hpcexp.cli.dates import DAY
from hpcexp.cli.options import (
    complete_experiment,
    complete_tag,
    experiments_dir_option,
    json_option,
    print_json,
    resolve_experiments_dir,
    state_option,
)

if TYPE_CHECKING:
    from hpcexp.store.catalogue import Catalogue, Entry
    from hpcexp.store.status import State

MAX_QUESTION_LENGTH = 60
MAX_PROBLEMS_SHOWN = 10


@click.command(name="list")
@click.argument("text", metavar="[NAME]", default="", shell_complete=complete_experiment)
@click.option(
    "--where",
    metavar="CONDITION",
    multiple=True,
    help="A hyperparameter, such as rnn_width=32 or 'lr<1e-3'. Repeatable: all must hold.",
)
@click.option(
    "--tag",
    "tags",
    metavar="WORD",
    multiple=True,
    shell_complete=complete_tag,
    help="Experiments with a note so tagged. Repeatable: all must be there.",
)
@click.option("--since", type=DAY, metavar="DAY", help="Launched on this day or later, or 7d ago.")
@click.option("--until", type=DAY, metavar="DAY", help="Launched on this day or earlier.")
@state_option
@json_option
@experiments_dir_option
def list_experiments(
    *,
    text: str,
    where: tuple[str, ...],
    tags: tuple[str, ...],
    since: date | None,
    until: date | None,
    states: tuple[State, ...],
    as_json: bool,
    experiments_dir: Path | None,
) -> None:
    """Find experiments, newest first.

    By part of their NAME, by hyperparameters (varied, set or default), by tags of notes and of
    imported notebooks, by day, and by the state of any of their runs as it was written last:
    `hpcexp status` asks the scheduler too.

    Examples:

    \b
      hpcexp list batch_size --since 2022-12-01
      hpcexp list --where rnn_width=32 --where 'loss_weights.predict.z>0.01'
      hpcexp list --tag present_in_meeting --state failed --json
    """
    from hpcexp.store.catalogue import Query, search
    from hpcexp.store.conditions import parse_condition
    from hpcexp.store.notebook.tags import check_tag

    query = Query(
        text="" if text == "latest" else text,
        conditions=tuple(parse_condition(condition) for condition in where),
        tags=tuple(check_tag(tag) for tag in tags),
        states=states,
        since=since,
        until=until,
    )
    directory = resolve_experiments_dir(experiments_dir)
    found = search(directory, query)
    if as_json:
        print_json([_to_json(entry) for entry in found.entries])
    else:
        click.echo("\n".join(_describe(found, directory, num_conditions=len(where))))
    for problem in found.problems[:MAX_PROBLEMS_SHOWN]:
        click.echo(f"! {problem}", err=True)


def _to_json(entry: Entry) -> dict[str, Any]:
    plan = entry.plan
    return {
        "experiment": str(entry.experiment.place),
        "name": plan.name,
        "launched": entry.launched,
        "question": plan.question,
        "workload": plan.workload,
        "site": site_of(entry),
        "num_runs": len(plan.runs),
        "states": dict(entry.states),
        "groups": [group.name for group in plan.groups],
        "matching_groups": list(entry.matching_groups),
        "tags": list(entry.tags),
        "num_notes": len(entry.notes),
    }


def _describe(found: Catalogue, directory: Path, *, num_conditions: int) -> list[str]:
    if not found.entries:
        searched = f"none of {found.num_searched} experiments in {directory}/ is like that"
        none = f"there are no experiments in {directory}/: hpcexp launch TEMPLATE makes one"
        return [searched if found.num_searched else none]
    with_sites = len({site_of(entry) for entry in found.entries}) > 1
    header = [
        "experiment",
        *(["site"] if with_sites else []),
        "runs",
        "states",
        *(["groups"] if num_conditions else []),
    ]
    rows = [[*header, "tags", "question"]]
    rows += [
        _make_row(entry, with_groups=bool(num_conditions), with_site=with_sites)
        for entry in found.entries
    ]
    return _align(rows)


def site_of(entry: Entry) -> str:
    """Where its runs train, or did: a site's or a host's name; `-` where that is not said."""
    from hpcexp.store.copies import read_copy_record

    record = read_copy_record(entry.experiment)
    return (record.label if record else str(entry.plan.site.get("name", ""))) or "-"


def _make_row(entry: Entry, *, with_groups: bool, with_site: bool) -> list[str]:
    counts = [f"{count} {state.words}" for state, count in entry.states.most_common()]
    states = ", ".join([*counts, *(["archived"] if entry.experiment.archive else [])])
    groups = [f"{len(entry.matching_groups)} of {len(entry.plan.groups)}"] if with_groups else []
    question = entry.plan.question
    if len(question) > MAX_QUESTION_LENGTH:
        question = f"{question[: MAX_QUESTION_LENGTH - 1]}…"
    tags = " ".join(f"#{tag}" for tag in entry.tags)
    site = [site_of(entry)] if with_site else []
    runs = str(len(entry.plan.runs))
    return [entry.experiment.name, *site, runs, states, *groups, tags, question]


def _align(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
