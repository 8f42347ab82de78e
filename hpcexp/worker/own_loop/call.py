"""`python -m hpcexp.worker.own_loop.call`: call the function that trains a run."""

from __future__ import annotations

import importlib
import inspect
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from hpcexp.client import VARIABLE, run
from hpcexp.workloads.own_loop.signature import CONFIG, HANDLE


def main() -> int:
    """Call the function; whether it has ended or was stopped is told by what it asked."""
    sys.path.insert(0, str(Path.cwd()))
    told = json.loads(Path(os.environ[VARIABLE]).read_text(encoding="utf-8"))
    module, _, name = told["function"].partition(":")
    function = getattr(importlib.import_module(module), name)
    function(**choose_arguments(function, told["params"], told))
    if not run.was_told_to_stop:
        run.complete()
    return 0


def choose_arguments(
    function: Any, params: Mapping[str, Any], told: Mapping[str, Any]
) -> dict[str, Any]:
    """What a function is called with, by the names of its parameters."""
    budget = {n: told[n] for n in ("max_epoch", "max_step") if told.get(n) is not None}
    given = {**budget, **params}
    wanted = inspect.signature(function).parameters
    arguments: dict[str, Any] = {HANDLE: run} if HANDLE in wanted else {}
    if CONFIG in wanted:
        arguments[CONFIG] = _make_config(function, given)
        return arguments
    takes_all = any(p.kind is p.VAR_KEYWORD for p in wanted.values())
    named = {n: v for n, v in given.items() if n in wanted or (takes_all and n in params)}
    return {**arguments, **named}


def _make_config(function: Any, given: Mapping[str, Any]) -> Any:
    """The dataclass that the parameter is annotated with, else a namespace of all."""
    import dataclasses

    declared = inspect.get_annotations(function, eval_str=True).get(CONFIG)
    if isinstance(declared, type) and dataclasses.is_dataclass(declared):
        known = {field.name for field in dataclasses.fields(declared) if field.init}
        return declared(**{n: v for n, v in given.items() if n in known})
    if declared is dict:
        return dict(given)
    return SimpleNamespace(**given)


if __name__ == "__main__":
    sys.exit(main())
