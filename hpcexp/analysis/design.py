"""What the design of an experiment does not let one conclude, whatever the numbers say.

Every caveat comes from the plan and the groups' configurations: it would have been the same
before the first run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ValidationError

from hpcexp.analysis.families import Family, make_family
from hpcexp.analysis.groups import list_hyperparameters, make_group_axis, spell_label
from hpcexp.analysis.settings import find_differing, flatten, is_part_of, spell_key, walk_models
from hpcexp.analysis.statistics.reach import LEVEL, find_smallest_size, smallest_p
from hpcexp.errors import UsageError
from hpcexp.grid import GROUP
from hpcexp.store.experiment import Plan
from hpcexp.train.config import TrainConfig
from hpcexp.train.schedule import Ramp
from hpcexp.workloads import load_config_class
from hpcexp.workloads.own import is_own

MORE_VARIED = "more_than_one_variable"
BUDGETS = ("max_epoch", "max_step")
POOL = "train_set_pool"
"""Of results from elsewhere: how many samples the batches of all groups were drawn from."""

MAX_FORESEEN = 200

_MAX_NAMES = 4
_FAR_STEP = 10**12
_ENDED = 0.02


@dataclass(frozen=True)
class Caveat:
    """One thing to know before believing a difference.

    `by_group` is what differs, by group: two groups that differ in it cannot show that the
    declared variable is the cause. Empty where it is not about a difference.
    """

    kind: str
    message: str
    by_group: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, str]:
        """Its kind and its message."""
        return {"kind": self.kind, "message": self.message}

    def concerns(self, first: str, second: str) -> bool:
        """Whether it stands between a difference of these groups and its cause."""
        return self.by_group.get(first) != self.by_group.get(second)


def find_caveats(
    plan: Plan,
    configs: Mapping[str, Mapping[str, Any]],
    family: Family,
    *,
    num_runs: Mapping[str, int],
    unfinished: Mapping[str, int],
) -> tuple[Caveat, ...]:
    """All caveats of an experiment.

    `configs` are full configurations by group, nested. `num_runs` are the runs of each group
    that have or may still get an outcome; `unfinished` counts those not ended, by state.
    """
    flat = {name: flatten(config) for name, config in configs.items()}
    models = _load_models(plan.workload, configs)
    found = [
        _find_too_few(family, num_runs),
        _find_more_varied(plan, flat),
        _find_unequal_updates(plan, flat, models),
        *_find_unended_schedules(models),
        _find_pooled(flat),
        _find_unfinished(unfinished),
    ]
    return tuple(caveat for caveat in found if caveat is not None)


def foresee(plan: Plan) -> tuple[Caveat, ...]:
    """The caveats of an experiment that is still to be launched; none beyond MAX_FORESEEN groups.

    Imports nothing heavy.
    """
    if not 1 < len(plan.groups) <= MAX_FORESEEN:
        return ()
    axis = make_group_axis(plan.groups)
    family = make_family(plan.comparison, plan.groups, axis, is_sampled=bool(plan.sample))
    num_runs = Counter(run.group for run in plan.runs)
    return find_caveats(plan, plan.configs, family, num_runs=num_runs, unfinished={})


def list_declared(plan: Plan) -> list[str]:
    """What the template says is varied; a named group is a name of its own."""
    return list_hyperparameters(plan.groups)


def _find_too_few(family: Family, num_runs: Mapping[str, int]) -> Caveat | None:
    pairs = [(num_runs[a], num_runs[b]) for a, b in family.pairs if num_runs[a] and num_runs[b]]
    if not pairs:
        return None
    best = len(family.pairs) * min(smallest_p(m, n) for m, n in pairs)
    if best <= LEVEL:
        return None
    needed = find_smallest_size(LEVEL / len(family.pairs))
    most = max(max(pair) for pair in pairs)
    return Caveat(
        "too_few_runs",
        f"with {most} {_plural(most, 'run')} per group no difference can ever be significant among "
        f"{family.words}: the smallest p is {min(best, 1):.2g}; {needed} runs per group are the "
        "least",
    )


def _find_more_varied(plan: Plan, flat: Mapping[str, Mapping[str, Any]]) -> Caveat | None:
    """Hyperparameters that vary and were not declared, or were varied together."""
    names, declared = list(flat), list_declared(plan)
    differing = find_differing([flat[name] for name in names])
    undeclared = [name for name in differing if not is_part_of(name, declared)]
    if GROUP in declared and len(undeclared) == 1 and len(declared) == 1:
        return None  # named groups that differ in one hyperparameter
    is_whole = GROUP in declared or bool(plan.sample)  # each sample has values of its own
    together = undeclared if is_whole else [*_find_aliased(plan), *undeclared]
    if not together:
        return None
    subject = "the groups" if GROUP in declared else " and ".join(declared) or "the groups"
    by_group = {n: "|".join(spell_key(flat[n], name) for name in together) for n in names}
    if GROUP in declared:
        message = f"the groups differ in {_join(together)} together"
    elif undeclared:
        message = f"besides {subject} the groups differ in {_join(undeclared)}"
    else:
        message = f"{_join(together)} vary together"
    return Caveat(MORE_VARIED, f"{message}: which one matters is not shown", by_group)


def _find_aliased(plan: Plan) -> list[str]:
    """Declared names of which one tells the other: axes that move together."""
    columns = {
        name: tuple(spell_key(group.values, name) for group in plan.groups)
        for name in list_declared(plan)
    }
    varied = {name: column for name, column in columns.items() if len(set(column)) > 1}
    pairs = {
        name: {other for other in varied if _is_function(varied[name], varied[other])}
        for name in varied
    }
    return [name for name, others in pairs.items() if len(others) > 1]


def _is_function(first: Sequence[str], second: Sequence[str]) -> bool:
    """Whether each value of the first goes with one value of the second."""
    return len(set(zip(first, second, strict=True))) == len(set(first))


def _find_unequal_updates(
    plan: Plan, flat: Mapping[str, Mapping[str, Any]], models: Mapping[str, TrainConfig]
) -> Caveat | None:
    if set(BUDGETS) & set(list_declared(plan)):
        return None  # the training length is the question
    steps = {name: model.num_steps for name, model in models.items()}
    if not steps:
        counted = {name: _count_steps(settings) for name, settings in flat.items()}
        steps = {name: count for name, count in counted.items() if count is not None}
    if len(steps) < len(flat) or len(set(steps.values())) < 2:
        return None
    low, high = min(steps.values()), max(steps.values())
    return Caveat(
        "unequal_updates",
        f"the groups also differ in their number of updates ({_group_digits(low)} to "
        f"{_group_digits(high)}): this does not show that {_name_cause(plan, flat)} "
        "the cause; params.max_step makes them equal",
        {name: str(count) for name, count in steps.items()},
    )


def _name_cause(plan: Plan, flat: Mapping[str, Mapping[str, Any]]) -> str:
    """`batch_size is`: the declared names that are hyperparameters."""
    known = {name for settings in flat.values() for name in settings}
    declared = [d for d in list_declared(plan) if any(is_part_of(name, [d]) for name in known)]
    if not declared:
        return "what they are named for is"
    return f"{_join(declared)} {'is' if len(declared) == 1 else 'are'}"


def _count_steps(settings: Mapping[str, Any]) -> int | None:
    """Of results from elsewhere, as far as they tell."""
    try:
        if settings.get("max_step") is not None:
            return int(settings["max_step"])
        per_epoch = int(settings["train_set_size"]) // int(settings["batch_size"])
        return int(settings["max_epoch"]) * per_epoch
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None


def _find_unended_schedules(models: Mapping[str, TrainConfig]) -> list[Caveat]:
    """Schedules that are still on their way when the budget ends."""
    left: dict[str, dict[str, float]] = {}
    for group, model in models.items():
        for name, section in walk_models(model):
            for place, value in _measure_rest(name, section, model):
                left.setdefault(place, {})[group] = value
    return [
        Caveat(
            "unended_schedule",
            f"{name} has not ended when training does ({_describe_rest(rests.values())})"
            + ("" if len(rests) == len(models) else f", in {len(rests)} of {len(models)} groups"),
            {group: f"{rests.get(group, 0):.2f}" for group in models},
        )
        for name, rests in left.items()
    ]


def _measure_rest(name: str, section: object, model: TrainConfig) -> list[tuple[str, float]]:
    """How far the last step is from where the schedule leads to, if it is not there."""
    value: Callable[..., float] | None = getattr(section, "probability", None)
    if isinstance(section, Ramp):
        value = section.value
    if value is None:
        return []
    last = value(model.num_steps - 1, budget=model)
    end = value(_FAR_STEP, budget=model)
    if abs(last - end) <= max(_ENDED, _ENDED * abs(value(0, budget=model) - end)):
        return []
    return [(name, last)]


def _describe_rest(rests: Any) -> str:
    low, high = min(rests), max(rests)
    return f"still {low:.2g}" if f"{low:.2g}" == f"{high:.2g}" else f"still {low:.2g} to {high:.2g}"


def _find_pooled(flat: Mapping[str, Mapping[str, Any]]) -> Caveat | None:
    """Batches drawn from one pool for all groups: the size of the training set is not theirs."""
    sizes = {name: settings.get("train_set_size") for name, settings in flat.items()}
    pools = {name: settings.get(POOL) for name, settings in flat.items()}
    pooled = [name for name in flat if pools[name] is not None and pools[name] != sizes[name]]
    if not pooled:
        return None
    sizes_shown = sorted({spell_label(sizes[name]) for name in pooled})
    return Caveat(
        "pooled_training_set",
        f"the training set is pooled across groups: batches of train_set_size "
        f"{', '.join(sizes_shown)} came from {spell_label(pools[pooled[0]])} samples",
        {name: f"{sizes[name]}" for name in flat},
    )


def _find_unfinished(unfinished: Mapping[str, int]) -> Caveat | None:
    states = ", ".join(f"{count} {state.replace('_', ' ')}" for state, count in unfinished.items())
    count = sum(unfinished.values())
    if not count:
        return None
    return Caveat(
        "unfinished_runs",
        f"{count} {_plural(count, 'run')} {'has' if count == 1 else 'have'} not ended ({states}): "
        "verdicts may change, and looking often finds differences where there are none",
    )


def _load_models(workload: str, configs: Mapping[str, Mapping[str, Any]]) -> dict[str, TrainConfig]:
    """Validated configurations; none where the workload or a group is not known to this version.

    Of a laboratory's own workload only what all workloads have: to look at somebody's results
    runs none of their code.
    """
    try:
        config_class: type[BaseModel] = TrainConfig
        if is_own(workload):
            known = TrainConfig.model_fields
            configs = {
                group: {name: value for name, value in config.items() if name in known}
                for group, config in configs.items()
            }
        else:
            config_class = load_config_class(workload)
        models = {name: config_class.model_validate(config) for name, config in configs.items()}
    except (UsageError, ValidationError):
        return {}
    return {name: model for name, model in models.items() if isinstance(model, TrainConfig)}


def _join(names: Sequence[str]) -> str:
    shown = list(names[:_MAX_NAMES])
    if len(names) > _MAX_NAMES:
        shown.append(f"{len(names) - _MAX_NAMES} more")
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def _plural(count: int, noun: str) -> str:
    return noun if count == 1 else f"{noun}s"


def _group_digits(number: int) -> str:
    return f"{number:,}".replace(",", " ")
