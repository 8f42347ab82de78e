"""A laboratory's workload: its hyperparameters, its primary metric, and itself."""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from hpcexp.errors import UsageError
from hpcexp.workloads.own.declared import (
    CONFIG,
    MEMBERS,
    METRIC,
    Declaration,
    check_members,
    read_declaration,
)
from hpcexp.workloads.own.importing import (
    describe_error,
    find_module,
    get_attribute,
    has_module,
    import_module,
)
from hpcexp.workloads.own.reference import Reference, parse_reference

if TYPE_CHECKING:
    from hpcexp.train.config import TrainConfig
    from hpcexp.train.metric import Metric
    from hpcexp.train.workload import Workload

SLOW = "torch"


@dataclass(frozen=True)
class Declared:
    """What the login node reads of a workload. `note` says what made reading it slow."""

    config_class: type[TrainConfig]
    primary_metric: Metric
    note: str = ""


def find_own(name: str) -> Declared:
    """The hyperparameters and the primary metric of `package.module:Class` or `package`.

    Imports no torch unless the laboratory's own modules do.

    Raises UsageError where it cannot be found or imported, or is no workload: in words, with
    the file and line of an error of theirs.
    """
    found = _find(name)
    if isinstance(found, UsageError):
        raise UsageError(str(found))
    return found


@functools.cache
def _find(name: str) -> Declared | UsageError:
    """Once for each name: a module that fails is not tried again and again."""
    started, had_torch = time.monotonic(), SLOW in sys.modules
    try:
        reference = parse_reference(name)
        config, metric = (
            _read_doors(reference) if reference.class_name is None else _read(reference)
        )
        _check_config(config, name)
        _check_metric(metric, name)
    except UsageError as error:
        return error
    note = ""
    if SLOW in sys.modules and not had_torch:
        note = (
            f"reading the hyperparameters of {name} imported torch "
            f"({time.monotonic() - started:.1f} s): keep {config.__name__} and its metric in a "
            "module, and a package, that do not import it"
        )
    return Declared(config, metric, note)


def check_own(name: str) -> None:
    """Import a laboratory's workload as a job does, torch included.

    Raises UsageError where it cannot be imported, or is no workload.
    """
    find_own(name)
    reference = parse_reference(name)
    if reference.class_name is None:
        get_attribute(import_module(f"{reference.module}.workload"), "build", noun="function")
    else:
        names = getattr(_import_class(reference), "metric_names", None)
        if isinstance(names, tuple | list):
            _check_metric_is_reported(name, names)


def _check_metric_is_reported(name: str, metric_names: Sequence[str]) -> None:
    metric = find_own(name).primary_metric.name
    if metric not in metric_names:
        raise UsageError(
            f"{name}: its primary metric {metric} is none of its metric_names, "
            f"{', '.join(map(str, metric_names)) or 'of which there are none'}"
        )


def forget() -> None:
    """Look at every workload anew, as a test does that has changed one."""
    _find.cache_clear()


def _read_doors(reference: Reference) -> tuple[Any, Any]:
    module = import_module(f"{reference.module}.config")
    find_module(f"{reference.module}.workload")
    return (
        get_attribute(module, "Config", noun="class"),
        get_attribute(module, "PRIMARY_METRIC", noun="metric"),
    )


def _read(reference: Reference) -> tuple[Any, Any]:
    declared = read_declaration(reference)
    if declared is not None:
        return _follow(declared)
    found = _import_class(reference)
    # `config` is set when it is made.
    check_members({*dir(found), *MEMBERS}, of=f"{reference.module}.{reference.class_name}")
    return getattr(found, CONFIG), getattr(found, METRIC)


def _follow(declared: Declaration) -> tuple[Any, Any]:
    return _import_dotted(declared.config), _import_dotted(declared.metric)


def _import_dotted(dotted: str) -> Any:
    """What a dotted name stands for: as much of it as there is a module of that name."""
    parts = dotted.split(".")
    for count in range(len(parts) - 1, 0, -1):
        if count == 1 or has_module(".".join(parts[:count])):
            value: Any = import_module(".".join(parts[:count]))
            for part in parts[count:]:
                value = get_attribute(value, part, noun="name")
            return value
    raise AssertionError("a dotted name has at least two parts")


def _import_class(reference: Reference) -> Any:
    assert reference.class_name is not None
    module = import_module(reference.module)
    found = get_attribute(module, reference.class_name, noun="class")
    if not isinstance(found, type):
        raise UsageError(f"{reference.module}.{reference.class_name} is no class: {found!r:.60}")
    return found


def _check_config(config: Any, name: str) -> None:
    from hpcexp.train.config import TrainConfig

    if not (isinstance(config, type) and issubclass(config, TrainConfig)):
        raise UsageError(
            f"{name}: its hyperparameters, {_spell(config)}, are no subclass of "
            "hpcexp.train.config.TrainConfig"
        )
    try:
        config.model_json_schema()
    except Exception as error:
        raise UsageError(
            f"{name}: a hyperparameter of {_spell(config)} is of a type that no template can "
            f"write: {describe_error(error)}"
        ) from error


def _check_metric(metric: Any, name: str) -> None:
    from hpcexp.train.metric import Metric

    if not isinstance(metric, Metric):
        raise UsageError(
            f"{name}: its primary metric is {_spell(metric)}; make it a hpcexp.train.metric.Metric"
        )


def _spell(value: Any) -> str:
    return (
        f"{value.__module__}.{value.__qualname__}" if isinstance(value, type) else f"{value!r:.60}"
    )


def build_own(name: str, config: TrainConfig) -> Workload:
    """Build a laboratory's workload for one configuration; imports their modules.

    Raises UsageError where it cannot be imported or lacks something; errors of its
    constructor are left as they are.
    """
    reference = parse_reference(name)
    if reference.class_name is None:
        module = import_module(f"{reference.module}.workload")
        built = get_attribute(module, "build", noun="function")(config)
    else:
        built = _import_class(reference)(config)
    # A package has its configuration and its metric in the other door.
    has = {*(name for name in MEMBERS if hasattr(built, name)), CONFIG, METRIC}
    check_members(has, of=f"{type(built).__module__}.{type(built).__qualname__}")
    _check_metric_is_reported(name, built.metric_names)
    return cast("Workload", built)
