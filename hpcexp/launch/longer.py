"""Raising the budget of an experiment, where that leaves what was trained a part of what will be.

A longer run may be the same run, only longer; or another one from its first step on, where
something that it trains with depends on how long it is planned to be. Only the first is
allowed: configurations are made anew with the longer budget, and compared.
"""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hpcexp.errors import HpcexpError, UsageError
from hpcexp.launch.busy import find_busy, name_some
from hpcexp.launch.new_groups import Added, add_groups
from hpcexp.launch.observe import Observation
from hpcexp.launch.regroup import (
    assemble_config,
    differ,
    look_up_config,
    name_source,
    spell_group,
    spell_values,
)
from hpcexp.store.checkpoints import list_checkpoints
from hpcexp.store.experiment import Plan, PlannedGroup
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.status import FINISHED, RunStatus, State
from hpcexp.template import BUDGET, describe_faults, show
from hpcexp.workloads import load_config_class

Configs = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Longer:
    """A plan with a raised budget, the configurations of its groups, and what each had before."""

    plan: Plan
    configs: Configs
    budget: Mapping[str, Any]
    former: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Continued:
    """Runs that go on: where each had ended, and where it ends now. The others, counted by why."""

    runs: Mapping[str, Mapping[str, int]]
    num_ended: int = 0  # of their own, before the budget did
    unfinished: tuple[str, ...] = field(default=())


def raise_budget(
    experiment: ExperimentDir, plan: Plan, configs: Configs, budget: Mapping[str, Any]
) -> Longer:
    """The plan with a longer budget.

    Raises UsageError, with all that is against it: a value that is not allowed, no longer, or
    without effect, and whatever depends on the budget.
    """
    longer = dataclasses.replace(plan, params={**plan.params, **budget})
    found: dict[str, list[PlannedGroup]] = {}
    raised = {}
    for group in plan.groups:
        raised[group.name] = {**configs[group.name], **budget}
        for problem in _find_problems(longer, configs[group.name], raised[group.name], group):
            found.setdefault(problem, []).append(group)
    if not found and not any(_differ_in_length(plan, configs[n], raised[n]) for n in raised):
        found[f"{_spell(budget)} is no longer than what it has"] = list(plan.groups)
    if found:
        lines = _describe_refusal(experiment, plan, budget, found)
        first = next(iter(found.values()))[0]
        lines += _describe_way_out(experiment, Added(plan, configs), budget, first)
        raise UsageError("\n".join(lines))
    former = {name: {key: config.get(key) for key in BUDGET} for name, config in configs.items()}
    return Longer(longer, raised, budget, former)


def _find_problems(
    longer: Plan, before: Mapping[str, Any], after: Mapping[str, Any], group: PlannedGroup
) -> Iterator[str]:
    config_class = load_config_class(longer.workload)
    faults = describe_faults(config_class, after)
    if faults:
        yield from faults
        return
    old, new = config_class.model_validate(before), config_class.model_validate(after)
    assembled = assemble_config(longer, group)
    if faults := describe_faults(config_class, assembled):
        yield from faults
        return
    for name in differ(assembled, after, like=config_class):
        source = name_source(longer, group, name)
        if name in BUDGET:
            yield f"{name} is given by {source}, and would stay {show(assembled[name])}"
        else:
            shown = [show(look_up_config(c, name)) for c in (before, assembled)]
            yield f"{name} is given by {source}: it is {shown[0]}, and would become {shown[1]}"
    if after["max_epoch"] != before["max_epoch"] and new.max_step is not None:
        yield f"max_epoch has no effect beside max_step ({new.max_step}); write --set max_step=..."
    elif new.num_steps < old.num_steps:
        yield f"{new.num_steps} steps are fewer than the {old.num_steps} that it has"
    elif new.num_steps > old.num_steps:
        for name in old.list_budget_dependents():
            yield f"{name} depends on the length of the whole run ({_explain(before, name)})"


def _explain(config: Mapping[str, Any], name: str) -> str:
    section = look_up_config(config, name)
    if isinstance(section, Mapping):
        shown = [f"{key}: {show(section[key])}" for key in ("kind", "unit") if key in section]
        return ", ".join(shown)
    return show(section)


def _differ_in_length(plan: Plan, before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    config_class = load_config_class(plan.workload)
    old, new = config_class.model_validate(before), config_class.model_validate(after)
    return new.num_steps != old.num_steps


def _describe_refusal(
    experiment: ExperimentDir,
    plan: Plan,
    budget: Mapping[str, Any],
    found: Mapping[str, Sequence[PlannedGroup]],
) -> list[str]:
    lines = [f"{experiment.name}: --set {_spell(budget)} is refused, nothing was changed"]
    for problem, groups in found.items():
        names = name_some([group.name for group in groups])
        where = "" if len(groups) == len(plan.groups) else f"  (in {names})"
        lines.append(f"  {problem}{where}")
    return lines


def _describe_way_out(
    experiment: ExperimentDir, there: Added, budget: Mapping[str, Any], group: PlannedGroup
) -> list[str]:
    """The command that adds such a group of so many steps, where there can be one."""
    spelled = spell_group(there.plan, group, changes=budget)
    try:
        added = add_groups(experiment, there.plan, there.configs, [spelled])
    except HpcexpError:
        return []
    new = added.plan.groups[-1].name
    if not _differ_in_length(there.plan, there.configs[group.name], added.configs[new]):
        return []
    return [
        "Runs of another length that are other runs from their first step on are another group:",
        f"  hpcexp extend {experiment.name} --add-group {shlex.quote(spelled)}",
    ]


def _spell(budget: Mapping[str, Any]) -> str:
    return ",".join(spell_values(budget))


def choose_continued(observation: Observation, before: Configs, longer: Longer) -> Continued:
    """The runs that ended because their budget did, and those that the longer one will find.

    Raises UsageError where runs are being worked on, or have nothing to continue from;
    HpcexpError where Slurm did not answer.
    """
    _check_idle(observation)
    config_class = load_config_class(longer.plan.workload)
    old = {name: config_class.model_validate(config) for name, config in before.items()}
    new = {name: config_class.model_validate(c) for name, c in longer.configs.items()}
    runs, num_ended, unfinished = {}, 0, []
    for run in observation.plan.runs:
        status = observation.statuses[run.name]
        was, becomes = old[run.group], new[run.group]
        if becomes.num_steps == was.num_steps:
            continue
        if _ended_with_budget(status, num_steps=was.num_steps, is_exact=was.ends_on_evaluation):
            runs[run.name] = {
                "step": status.step,
                "epoch": status.epoch,
                "num_steps": becomes.num_steps,
                "num_epochs": becomes.num_epochs,
            }
        elif status.state in FINISHED:
            num_ended += 1
        else:
            unfinished.append(run.name)
    _check_checkpoints(observation.experiment, list(runs))
    return Continued(runs, num_ended, tuple(unfinished))


def _ended_with_budget(status: RunStatus, *, num_steps: int, is_exact: bool) -> bool:
    """Also where it was stopped by what was only measured because its budget ended there."""
    stopped_there = status.state == State.STOPPED and status.step >= num_steps
    return status.state == State.COMPLETED or (stopped_there and not is_exact)


def _check_idle(observation: Observation) -> None:
    name = observation.experiment.name
    busy = find_busy(observation, unchanged="nothing was changed")
    if busy:
        raise UsageError(
            f"{name}: the budget of runs that are being worked on cannot be raised: "
            f"{name_some(busy)}; nothing was changed. Wait until they end, or hpcexp cancel {name}"
        )


def _check_checkpoints(experiment: ExperimentDir, names: Sequence[str]) -> None:
    lacking = [name for name in names if not list_checkpoints(experiment.run(name))]
    if lacking:
        raise UsageError(
            f"{experiment.name}: these runs have no checkpoint to go on from (were they cleaned?): "
            f"{name_some(lacking)}; nothing was changed. Launch the template anew with the longer "
            "budget"
        )
