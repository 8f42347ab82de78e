"""Samples that are added to an experiment: the sequence goes on, what was drawn stays."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from hpcexp.errors import HpcexpError, Problem, TemplateError, UsageError
from hpcexp.grid import Group, expand_groups
from hpcexp.launch.new_groups import Added, configure_group
from hpcexp.sampling import Points, Space, draw_points, find_sample_number, parse_space
from hpcexp.store.experiment import Plan, PlannedGroup
from hpcexp.store.layout import ExperimentDir
from hpcexp.template import LABEL


def read_space(plan: Plan) -> Space:
    """What a plan's samples are drawn from.

    Raises UsageError where it has none.
    """
    if not plan.sample:
        raise UsageError(
            f"{plan.name}: its template has no sampled axes (sample:); hpcexp extend --add-group "
            "adds groups by their values"
        )
    space, flaws = parse_space(plan.sample)
    if space is None:
        raise HpcexpError(f"{plan.name}: sample in its plan: {flaws[0].message}")
    return space


def add_samples(
    experiment: ExperimentDir,
    plan: Plan,
    configs: Mapping[str, Mapping[str, Any]],
    count: int,
) -> Added:
    """The plan with `count` samples in all, the first as they are.

    Raises UsageError for a method whose samples cannot be continued, and where there are so many
    already or no more; HpcexpError where this version draws other samples than the plan has.
    """
    space = read_space(plan)
    _check_continued(experiment, space, count)
    points = draw_points(dataclasses.replace(space, count=count))
    if len(points.values) < count:
        raise UsageError(
            f"--samples {count}: the axes have {len(points.values)} different combinations"
        )
    groups = expand_groups(
        plan.grid, named=plan.named, zips=plan.zips, exclude=plan.exclude, samples=points
    )
    _check_unchanged(plan, groups)
    new = [g for g in groups if (find_sample_number(g.name) or 0) >= space.count]
    return _add(experiment, plan, configs, new, count=count)


def add_points(
    experiment: ExperimentDir,
    plan: Plan,
    configs: Mapping[str, Mapping[str, Any]],
    values: Sequence[Mapping[str, Any]],
) -> Added:
    """The plan with samples of given values, numbered after those that it has."""
    numbers = [find_sample_number(group.name) for group in plan.groups]
    first = 1 + max((n for n in numbers if n is not None), default=-1)
    groups = expand_groups({}, samples=Points(tuple(values), {}, first))
    return _add(experiment, plan, configs, groups, count=int(plan.sample["count"]))


def find_flaw(
    experiment: ExperimentDir,
    plan: Plan,
    configs: Mapping[str, Mapping[str, Any]],
    values: Mapping[str, Any],
) -> str:
    """Why the workload refuses a sample of these values; empty where it does not."""
    (group,) = expand_groups({}, samples=Points((values,), {}, 0))
    try:
        configure_group(experiment, plan, group, like=configs)
    except HpcexpError as error:
        return str(error)
    return ""


def _add(
    experiment: ExperimentDir,
    plan: Plan,
    configs: Mapping[str, Mapping[str, Any]],
    groups: Sequence[Group],
    *,
    count: int,
) -> Added:
    problems: list[Problem] = []
    made = dict(configs)
    for group in groups:
        try:
            made[group.name] = configure_group(experiment, plan, group, like=configs)
        except HpcexpError as error:
            problems.append(Problem(LABEL, None, f"--samples, {group.name}", str(error)))
    if problems:
        raise TemplateError(problems)
    planned = tuple(PlannedGroup(group.name, dict(group.values)) for group in groups)
    extended = dataclasses.replace(
        plan, groups=(*plan.groups, *planned), sample={**plan.sample, "count": count}
    )
    return Added(extended, made)


def _check_continued(experiment: ExperimentDir, space: Space, count: int) -> None:
    if space.is_adaptive:
        raise UsageError(
            f"{experiment.name}: its samples depend on results (method: {space.method}); "
            f"hpcexp search {experiment.name} --samples {count} goes on"
        )
    if count <= space.count:
        raise UsageError(
            f"{experiment.name}: has {space.count} samples already: --samples is their number in "
            "all; nothing was changed"
        )
    if space.method == "latin_hypercube":
        raise UsageError(
            f"{experiment.name}: a Latin hypercube of {space.count} samples is no part of one of "
            f"{count}: every axis is cut into as many slices as there are samples, and no slice "
            "may hold two. Launch it anew with the larger count; method: sobol can be continued"
        )


def _check_unchanged(plan: Plan, groups: Sequence[Group]) -> None:
    drawn = {group.name: dict(group.values) for group in groups}
    for group in plan.groups:
        values = dict(group.values)
        # Groups that were added by hand have no number; they may have completed others' values.
        if find_sample_number(group.name) is None:
            continue
        if any(values.get(name) != value for name, value in drawn.get(group.name, {}).items()):
            raise HpcexpError(
                f"{plan.name}: this version of hpcexp draws another {group.name} than was "
                "launched; nothing was changed. Use the version that launched it"
            )
