"""The next samples of a search, by Optuna's tree-structured Parzen estimator.

Optuna keeps nothing: every call tells it all samples and their results anew, so that what is
asked depends on the experiment directory alone.
Source: Bergstra et al. 2011, Algorithms for hyper-parameter optimization; Akiba et al. 2019.
"""

from __future__ import annotations

import importlib.util
import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from hpcexp.analysis.frames import load
from hpcexp.analysis.sampled import SampleTable, make_sample_table
from hpcexp.errors import UsageError
from hpcexp.sampling import Axis, Space
from hpcexp.sampling.conditions import keep_active, order_by_dependence
from hpcexp.store.layout import ExperimentDir

_TRIES = 20  # for each sample that is asked for: others may repeat what was tried


def require_optuna() -> None:
    """Raise UsageError where Optuna is not installed."""
    if importlib.util.find_spec("optuna") is None:
        raise UsageError(
            "a search that learns from results (method: tpe) needs Optuna: "
            "pip install 'hpcexp[optuna]'; method: sobol needs nothing"
        )


def suggest_samples(
    experiment: ExperimentDir,
    count: int,
    find_flaw: Callable[[Mapping[str, Any]], str] = lambda _: "",
) -> list[dict[str, Any]]:
    """The values of so many new samples; fewer where almost every one was tried or has a flaw.

    Where `find_flaw` says why a sample cannot be, another is asked for in its place: that is
    drawing from the space without what is refused.
    The value of a sample is the median of its finished runs. A diverged one is worse than all
    others; samples of which no run has ended teach nothing.
    Raises UsageError where Optuna is missing.
    """
    require_optuna()
    results = load(experiment)
    table = make_sample_table(results)
    space = table.space
    study = _tell(table, space, num_known=len(results.plan.groups))
    seen = {_spell(group.values) for group in results.plan.groups}
    suggested: list[dict[str, Any]] = []
    for _ in range(count * _TRIES):
        if len(suggested) == count:
            break
        values = _ask(study, space)
        if _spell(values) not in seen:
            seen.add(_spell(values))
            # One that is refused stays without a result: the next keeps away from it.
            if not find_flaw(values):
                suggested.append(values)
    return suggested


def _tell(table: SampleTable, space: Space, *, num_known: int) -> Any:
    """A study in memory that knows all samples with results."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # options that Optuna calls experimental
        sampler = optuna.samplers.TPESampler(
            seed=(space.seed * 1_000_003 + num_known) % 2**32,
            n_startup_trials=max(1, space.start // 2),
            multivariate=True,  # axes together, not each by itself
            group=True,  # with axes that are not always there
            constant_liar=True,  # samples that are asked for together keep apart
        )
    study = optuna.create_study(direction="minimize", sampler=sampler)
    for values, outcome in _list_outcomes(table, space):
        params = {name: _encode(space.get_axis(name), value) for name, value in values.items()}
        study.add_trial(
            optuna.trial.create_trial(
                params=params,
                distributions={name: _distribute(space.get_axis(name)) for name in params},
                value=outcome,
            )
        )
    return study


def _list_outcomes(table: SampleTable, space: Space) -> Iterator[tuple[dict[str, Any], float]]:
    """Values of the sampled axes and the metric; diverged ones a range above the worst."""
    finite = table.first[np.isfinite(table.first)]
    worst = 1.0 if not len(finite) else float(finite.max() + np.ptp(finite) + 1e-9)
    names = {axis.name for axis in space.axes}
    for values, number, outcome in zip(table.values, table.numbers, table.first, strict=True):
        if number >= 0 and not np.isnan(outcome):
            own = {name: value for name, value in values.items() if name in names}
            own = {n: v for n, v in own.items() if n in keep_active(own, space.conditions)}
            yield own, float(outcome) if np.isfinite(outcome) else worst


def _ask(study: Any, space: Space) -> dict[str, Any]:
    trial = study.ask()
    values: dict[str, Any] = {}
    for name in order_by_dependence([axis.name for axis in space.axes], space.conditions):
        axis = space.get_axis(name)
        if name not in keep_active({**values, name: None}, space.conditions):
            continue
        if axis.distribution == "choice":
            place = trial.suggest_categorical(name, _distribute(axis).choices)
            values[name] = axis.arguments[place]
        else:
            u = trial.suggest_float(name, 0.0, 1.0)
            values[name] = axis.take(min(max(u, 1e-9), 1 - 1e-9))
    return {axis.name: values[axis.name] for axis in space.axes if axis.name in values}


def _distribute(axis: Axis) -> Any:
    """Places along the axis from 0 to 1, so that each distribution means what it says; levels by
    number."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    if axis.distribution == "choice":
        return CategoricalDistribution(tuple(range(len(axis.arguments))))
    return FloatDistribution(0.0, 1.0)


def _encode(axis: Axis, value: Any) -> float | int:
    return axis.arguments.index(value) if axis.distribution == "choice" else axis.find_place(value)


def _spell(values: Mapping[str, Any]) -> str:
    return json.dumps(dict(values), sort_keys=True)
