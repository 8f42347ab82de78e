"""The hyperparameters of groups as flat tables, and where they differ."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hpcexp.errors import HpcexpError
from hpcexp.store.experiment import Plan, read_run_config
from hpcexp.store.layout import ExperimentDir

Settings = Mapping[str, Any]
"""Dotted name -> value, without sections; lists are values."""

ABSENT = "-"


def read_configs(experiment: ExperimentDir, plan: Plan) -> dict[str, Mapping[str, Any]]:
    """The full configuration of each group, nested; without groups of which none can be read."""
    configs: dict[str, Mapping[str, Any]] = {}
    for run in plan.runs:
        if run.group in configs:
            continue
        try:
            configs[run.group] = read_run_config(experiment.run(run.name)).params
        except HpcexpError:
            continue  # the runs are read one by one, and what is damaged is told there
    return configs


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested hyperparameters by their dotted names."""
    flat: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def find_differing(settings: Sequence[Settings]) -> list[str]:
    """Names whose values differ; of sections of different `kind` only the kind.

    What the settings of another kind are called is no difference by itself.
    """
    names = list(dict.fromkeys(name for one in settings for name in one))
    differing = [name for name in names if len({spell_key(one, name) for one in settings}) > 1]
    kinds = [name.removesuffix("kind") for name in differing if name.endswith(".kind")]
    return [
        name
        for name in differing
        if name.endswith(".kind") or not any(name.startswith(kind) for kind in kinds)
    ]


def spell_key(settings: Settings, name: str) -> str:
    """A value in a form that tells any two values apart; 1 and 1.0 are one."""
    if name not in settings:
        return ABSENT
    value = settings[name]
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        value = int(value)
    return json.dumps(value, sort_keys=True)


def is_part_of(name: str, sections: Sequence[str]) -> bool:
    """Whether a dotted name is one of the sections or inside one."""
    return any(f"{name}.".startswith(f"{section}.") for section in sections)


def walk_models(model: object, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Every section of a validated configuration, with its dotted name, outer ones first."""
    for name in getattr(type(model), "model_fields", {}):
        value = getattr(model, name)
        if hasattr(type(value), "model_fields"):
            yield f"{prefix}{name}", value
            yield from walk_models(value, f"{prefix}{name}.")
