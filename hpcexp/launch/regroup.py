"""The configuration of a group from an experiment's plan, as its template would give it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from hpcexp.errors import HpcexpError, UsageError
from hpcexp.grid import GROUP, Group
from hpcexp.store.experiment import Plan, PlannedGroup, read_run_config
from hpcexp.store.layout import ExperimentDir
from hpcexp.template import DeriveError, assemble, show
from hpcexp.workloads import load_config_class

# Relative in a template, absolute in a configuration.
_LOCATED = "warm_start.run"


def read_configs(experiment: ExperimentDir, plan: Plan) -> dict[str, dict[str, Any]]:
    """The configuration of each group, from one of its runs.

    With a budget of which not all runs have learnt yet: that extension was killed.
    """
    configs = {}
    for group, runs in plan.list_members().items():
        configs[group] = dict(read_run_config(experiment.run(runs[0].name)).params)
        for extension in plan.extensions:
            if not extension.is_applied and group in extension.former_budget:
                configs[group] |= extension.budget
    return configs


def assemble_config(plan: Plan, group: PlannedGroup | Group) -> dict[str, Any]:
    """The hyperparameters of a group as a template would write them, without the defaults.

    Raises UsageError where a derived value cannot be computed.
    """
    config_class = load_config_class(plan.workload)
    try:
        return assemble(
            config_class,
            plan.params,
            named=plan.named,
            derive=plan.derive,
            group=Group(group.name, group.values),
        )
    except DeriveError as error:
        raise UsageError(f"group {group.name}: derive.{error.name}: {error.message}") from error


def check_as_launched(plan: Plan, configs: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise HpcexpError where the plan does not explain the configurations of its groups.

    Then hpcexp has changed since, or the experiment is of a version that kept less in its
    plan: what is made of the plan would differ from the rest in more than was asked for.
    """
    config_class = load_config_class(plan.workload)
    for group in plan.groups:
        found = differ(assemble_config(plan, group), configs[group.name], like=config_class)
        if found:
            raise HpcexpError(
                f"{plan.name}: this version of hpcexp would make another configuration of group "
                f"{group.name} than was launched (another {', '.join(found[:5])}); nothing was "
                "changed. Use the version that launched it; new initialisations can be added "
                "with this one"
            )


def differ(
    one: Mapping[str, Any],
    other: Mapping[str, Any],
    *,
    like: type[BaseModel],
    with_places: bool = False,
) -> list[str]:
    """Dotted names of the hyperparameters that are not the same in two configurations.

    Places of files are compared only `with_places`.
    """
    flat = [dict(_walk(like.model_validate(c).model_dump(mode="json"))) for c in (one, other)]
    names = dict.fromkeys([*flat[0], *flat[1]])
    missing = object()
    return [
        name
        for name in names
        if (name != _LOCATED or with_places)
        and flat[0].get(name, missing) != flat[1].get(name, missing)
    ]


def look_up_config(config: Mapping[str, Any], name: str) -> Any:
    """The value at a dotted name.

    Raises KeyError where there is none.
    """
    value: Any = config
    for part in name.split("."):
        if not isinstance(value, Mapping):
            raise KeyError(name)
        value = value[part]
    return value


def name_source(plan: Plan, group: PlannedGroup, name: str) -> str:
    """What gives a group its value of a hyperparameter, in words."""
    for derived, expression in plan.derive.items():
        if overlaps(derived, name):
            return f"derive ({derived}: {show(expression)})"
    if any(overlaps(axis, name) for axis in group.values if axis != GROUP):
        return "an axis of the grid"
    return f"the group {group.values.get(GROUP, group.name)}"


def overlaps(one: str, other: str) -> bool:
    """Whether two dotted names are the same, or one is a part of the other."""
    return f"{one}.".startswith(f"{other}.") or f"{other}.".startswith(f"{one}.")


def spell_group(plan: Plan, group: PlannedGroup, *, changes: Mapping[str, Any]) -> str:
    """A group with other values of some hyperparameters, as `--add-group` understands it."""
    axes = [*plan.grid, *(axis for zipped in plan.zips for axis in zipped)]
    values = {name: value for name, value in group.values.items() if name != GROUP}
    named = group.values.get(GROUP)
    kept = values if not plan.named else {name: values[name] for name in axes if name in values}
    return ",".join([*([named] if named is not None else []), *spell_values({**kept, **changes})])


def spell_values(values: Mapping[str, Any]) -> list[str]:
    """`KEY=VALUE` of each, to be read again."""
    shown = {name: show(value) for name, value in values.items()}
    return [
        f"{name}={json.dumps(values[name]) if text.endswith('...') else text}"
        for name, text in shown.items()
    ]


def _walk(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in config.items():
        if isinstance(value, Mapping) and value:
            yield from _walk(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
