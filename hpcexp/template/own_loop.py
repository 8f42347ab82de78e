"""The hyperparameters of a workload that trains by itself: those that its template declares."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from hpcexp.errors import Problem
from hpcexp.template.document import Entries
from hpcexp.template.nodes import Node, to_plain
from hpcexp.workloads.own_loop import OWN_LOOPS, has_own_loop
from hpcexp.workloads.own_loop.config import OwnLoopConfig


def declare_hyperparameters(
    config_class: type[BaseModel], params: Node, entries: Entries
) -> tuple[type[BaseModel], list[Problem]]:
    """The class with what the command has places for, or the function parameters.

    What is to be trained is looked for in the working directory, which is that of the launch.
    """
    if not issubclass(config_class, OwnLoopConfig):
        return config_class, []
    axes = dict(_list_axes(entries))
    try:
        made = config_class.specialise(to_plain(params), axes=axes, project_dir=Path.cwd())
    except ValueError as error:
        setting, _, message = str(error).partition(": ")
        return config_class, [params.entries[setting].origin.problem(message)]
    return made, []


def list_defaults(config_class: type[BaseModel] | None) -> dict[str, Any]:
    """The defaults that were declared, which the plan keeps: the source may change."""
    if config_class is None or not issubclass(config_class, OwnLoopConfig):
        return {}
    return dict(config_class.defaults)


def find_undeclared_ranks(params: Node, entries: Entries) -> list[Problem]:
    """Resources for several processes of a run, where the training is not said to be that."""
    resources = entries["resources"].entries if "resources" in entries else {}
    launcher = params.entries.get("launcher")
    several = {
        name: node
        for name in ("nodes", "processes_per_node")
        if (node := resources.get(name)) is not None and node.value not in (None, 1)
    }
    workload = entries["workload"].value
    if launcher is None or launcher.value != "torchrun":
        if has_own_loop(str(workload)):
            way = "write launcher: torchrun under params if the training is made for several"
        else:
            own = ", ".join(OWN_LOOPS)
            way = f"only a training of your own (workload: {own}) can be several"
        return [
            node.origin.problem(f"workload {workload} is one process per run; {way}")
            for node in several.values()
        ]
    packing = resources.get("packing")
    if several and packing is not None and packing.value != "none":
        message = "runs of several processes have their job alone; write packing: none"
        return [packing.origin.problem(message)]
    return []


def _list_axes(entries: Entries) -> Iterator[tuple[str, Any]]:
    """Every name that makes groups, and one of its values."""
    zipped = entries.get("zip")
    tables = [entries["grid"]] if "grid" in entries else []
    tables += (zipped.items or [zipped]) if zipped is not None else []
    for table in tables:
        for name, axis in table.entries.items():
            yield name, to_plain(axis.items[0]) if axis.items else None
    named = entries["groups"].entries.values() if "groups" in entries else ()
    for group in named:
        yield from ((name, to_plain(value)) for name, value in group.entries.items())
    yield from ((name, None) for name in (entries["derive"].entries if "derive" in entries else ()))
