"""Groups that are added to an experiment: what they are called, and what they train."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpcexp.errors import HpcexpError, Problem, TemplateError, UsageError
from hpcexp.grid import GROUP, Group, expand_groups
from hpcexp.launch.declared import load_declared_class
from hpcexp.launch.regroup import assemble_config, differ, look_up_config, overlaps
from hpcexp.store.experiment import Plan, PlannedGroup
from hpcexp.store.launch_place import read_launch_dir
from hpcexp.store.layout import ExperimentDir
from hpcexp.template import (
    NewGroup,
    apply_dotted,
    describe_faults,
    merge_plain,
    parse_new_groups,
    show,
)
from hpcexp.workloads import load_config_class


@dataclass(frozen=True)
class Added:
    """A plan with more groups, and the configurations of all of them."""

    plan: Plan
    configs: Mapping[str, Mapping[str, Any]]


class _RefusedError(Exception):
    """Why one group cannot be added."""


def add_groups(
    experiment: ExperimentDir,
    plan: Plan,
    configs: Mapping[str, Mapping[str, Any]],
    texts: Sequence[str],
) -> Added:
    """The plan with the groups that `texts` describe.

    Raises TemplateError, with all faults: unknown names, values that are not allowed, axes
    without a value, and groups that are there already.
    """
    added = Added(plan, configs)
    problems: list[Problem] = []
    for asked in parse_new_groups(texts, config_class=load_declared_class(experiment, plan)):
        try:
            added = _add_group(experiment, added, asked)
        except (_RefusedError, HpcexpError) as error:
            problems.append(Problem("command line", None, asked.where, str(error)))
    if problems:
        raise TemplateError(problems)
    return Added(_complete_values(added), added.configs)


def _add_group(experiment: ExperimentDir, added: Added, asked: NewGroup) -> Added:
    plan, group = _find_of_template(added.plan, asked) or _make_group(added.plan, asked)
    known = {name.lower(): name for name in added.configs}
    if group.name.lower() in known:
        raise _RefusedError(f"{known[group.name.lower()]} is a group of the experiment already")
    config = configure_group(experiment, plan, group, like=added.configs, given=asked.values)
    config_class = load_config_class(plan.workload)
    for name, other in added.configs.items():
        if not differ(config, other, like=config_class, with_places=True):
            raise _RefusedError(f"trains what the group {name} trains")
    groups = (*plan.groups, PlannedGroup(group.name, dict(group.values)))
    return Added(dataclasses.replace(plan, groups=groups), {**added.configs, group.name: config})


def configure_group(
    experiment: ExperimentDir,
    plan: Plan,
    group: Group,
    *,
    like: Mapping[str, Mapping[str, Any]],
    given: Iterable[str] = (),
) -> dict[str, Any]:
    """What a new group trains, beside the groups of the configurations `like`.

    `given` are the hyperparameters that somebody names here and now. Raises UsageError where the
    workload refuses the values.
    """
    config_class = load_config_class(plan.workload)
    data = assemble_config(plan, group)
    if faults := describe_faults(load_declared_class(experiment, plan), data):
        raise UsageError("; ".join(faults))
    config = config_class.model_validate(data).model_dump(mode="json")
    config = _anchor_warm_start(experiment, config, given)
    launched = next(iter(like.values()))
    completed = config_class.model_validate(launched).model_dump(mode="json")
    return _leave_out_newer(config, launched, completed)


def _find_of_template(plan: Plan, asked: NewGroup) -> tuple[Plan, Group] | None:
    """A group of the template that was left out at launch, by its own name."""
    for group in expand_groups(plan.grid, named=plan.named, zips=plan.zips):
        if group.name == asked.text:
            return plan, group
    return None


def _make_group(plan: Plan, asked: NewGroup) -> tuple[Plan, Group]:
    """A group of its axes' values and of others, and the plan that knows it."""
    axes = [*plan.grid, *(axis for zipped in plan.zips for axis in zipped)]
    _check_names(plan, asked)
    _check_axes(plan, asked, axes)
    values = {axis: asked.values[axis] for axis in axes}
    others = {name: value for name, value in asked.values.items() if name not in axes}
    if not plan.named:
        return plan, _name_group({**values, **others})
    if not asked.names and not others:
        raise _RefusedError(
            f"is of none of the groups {', '.join(plan.named)}; write "
            f"{next(iter(plan.named))},{asked.text}"
        )
    if not others:
        return plan, _name_group(values, named=asked.names[0])
    own = apply_dotted(_get_named(plan, asked), others)
    name = ",".join([*asked.names, _name_group(others).name])
    named = {**plan.named, name: own}
    return dataclasses.replace(plan, named=named), _name_group(values, named=name)


def _get_named(plan: Plan, asked: NewGroup) -> dict[str, Any]:
    return merge_plain({}, plan.named[asked.names[0]]) if asked.names else {}


def _name_group(values: Mapping[str, Any], *, named: str | None = None) -> Group:
    axes = {name: [value] for name, value in values.items()}
    return expand_groups(axes, named=[named] if named is not None else [])[0]


def _check_names(plan: Plan, asked: NewGroup) -> None:
    unknown = [name for name in asked.names if name not in plan.named]
    if unknown:
        there = f"there are {', '.join(plan.named)}" if plan.named else "it has no named groups"
        raise _RefusedError(
            f"the template has no group {unknown[0]!r}; {there}; write KEY=VALUE to set a "
            "hyperparameter"
        )
    if len(asked.names) > 1:
        raise _RefusedError(f"{' and '.join(asked.names)} are two groups; give one of them")


def _check_axes(plan: Plan, asked: NewGroup, axes: Sequence[str]) -> None:
    for name in asked.values:
        derived = next((d for d in plan.derive if overlaps(d, name)), None)
        if derived is not None:
            raise _RefusedError(
                f"{name} is derived ({derived}: {plan.derive[derived]}); a hyperparameter is "
                "either given or derived"
            )
        outer = next((a for a in axes if a != name and overlaps(a, name)), None)
        if outer is not None:
            raise _RefusedError(f"{name} overlaps the axis {outer}; give that a value")
    missing = [axis for axis in axes if axis not in asked.values]
    if missing:
        raise _RefusedError(
            "; ".join(
                f"needs a value of the axis {axis} (the others have {_list_values(plan, axis)})"
                for axis in missing
            )
        )


def _list_values(plan: Plan, axis: str) -> str:
    values = [group.values[axis] for group in plan.groups if axis in group.values]
    return ", ".join(dict.fromkeys(show(value) for value in values))


def _anchor_warm_start(
    experiment: ExperimentDir, config: dict[str, Any], given: Iterable[str]
) -> dict[str, Any]:
    """Paths of a template are relative to where it was launched, given ones to where we are."""
    settings = config.get("warm_start")
    if not settings:
        return config
    is_new = any(overlaps(name, "warm_start.run") for name in given)
    base_dir = Path.cwd() if is_new else read_launch_dir(experiment)
    return {**config, "warm_start": {**settings, "run": str(base_dir / settings["run"])}}


def _leave_out_newer(
    config: Mapping[str, Any], launched: Mapping[str, Any], completed: Mapping[str, Any]
) -> dict[str, Any]:
    """Without defaults of hyperparameters that there were not at launch.

    The jobs run the code of the launch, which may not know them. `completed` is the
    configuration of a group that was `launched`, with all defaults of today.
    """
    kept = {}
    for name, value in config.items():
        if name in launched and isinstance(launched[name], Mapping) and isinstance(value, Mapping):
            kept[name] = _leave_out_newer(value, launched[name], completed[name])
        elif name in launched or name not in completed or value != completed[name]:
            kept[name] = value
    return kept


def _complete_values(added: Added) -> Plan:
    """Every group says its value of all that varies: tables and figures tell them apart by it."""
    varying = dict.fromkeys(name for group in added.plan.groups for name in group.values)
    groups = []
    for group in added.plan.groups:
        values = dict(group.values)
        for name in varying:
            if name not in values and name != GROUP and _has(added.configs[group.name], name):
                values[name] = look_up_config(added.configs[group.name], name)
        groups.append(PlannedGroup(group.name, values))
    return dataclasses.replace(added.plan, groups=tuple(groups))


def _has(config: Mapping[str, Any], name: str) -> bool:
    try:
        look_up_config(config, name)
    except KeyError:
        return False
    return True
