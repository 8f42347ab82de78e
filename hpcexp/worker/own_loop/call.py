"""`python -m hpcexp.worker.own_loop.call`: call the function that trains a run."""

from __future__ import annotations

import importlib
import inspect
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from hpcexp.client import VARIABLE, run
from hpcexp.workloads.own_loop.signature import CONFIG, HANDLE

BUDGET = ("max_epoch", "max_step")


def main() -> int:
    """Call the function; whether it has ended or was stopped is told by what it asked."""
    sys.path.insert(0, str(Path.cwd()))
    told = json.loads(Path(os.environ[VARIABLE]).read_text(encoding="utf-8"))
    function = load(told["function"])
    function(**choose_arguments(function, told["params"], told))
    if not run.was_told_to_stop:
        run.complete()
    return 0


def load(reference: str) -> Any:
    """What `package.module:name` stands for; imports the module."""
    module, _, name = reference.partition(":")
    return getattr(importlib.import_module(module), name)


def choose_arguments(
    function: Any, params: Mapping[str, Any], told: Mapping[str, Any]
) -> dict[str, Any]:
    """What a function is called with, by the names of its parameters."""
    budget = {n: told[n] for n in BUDGET if told.get(n) is not None}
    given = {**budget, **params}
    wanted = inspect.signature(function).parameters
    arguments: dict[str, Any] = {HANDLE: run} if HANDLE in wanted else {}
    if CONFIG in wanted:
        arguments[CONFIG] = _make_config(function, given)
        return arguments
    check_names(told["function"], params, [wanted])
    return {**arguments, **{n: v for n, v in given.items() if n in wanted or n in params}}


def check_names(
    reference: str, params: Mapping[str, Any], wanted: Sequence[Mapping[str, inspect.Parameter]]
) -> None:
    """Raise TypeError for a hyperparameter that nobody takes: it would be without effect.

    The template's are checked at launch; a group that was added later may have another.
    """
    parameters = {name: p for each in wanted for name, p in each.items()}
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return
    unknown = [name for name in params if name not in parameters]
    if unknown:
        raise TypeError(
            f"{reference} has no hyperparameter {', '.join(unknown)}; it has: "
            f"{', '.join(name for name in parameters if name != HANDLE)}"
        )


def _make_config(function: Any, given: Mapping[str, Any]) -> Any:
    """The dataclass that the parameter is annotated with, else a namespace of all."""
    import dataclasses

    declared = inspect.get_annotations(function, eval_str=True).get(CONFIG)
    if isinstance(declared, type) and dataclasses.is_dataclass(declared):
        known = {field.name for field in dataclasses.fields(declared) if field.init}
        return declared(**{n: v for n, v in given.items() if n in known or n not in BUDGET})
    if declared is dict:
        return dict(given)
    return SimpleNamespace(**given)


if __name__ == "__main__":
    sys.exit(main())
