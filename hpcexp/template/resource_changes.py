"""`--set resources.mem_gb=16` for jobs of an experiment that exists already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hpcexp.errors import Problem, TemplateError
from hpcexp.template.faults import find_faults
from hpcexp.template.names import describe_alternatives
from hpcexp.template.nodes import Origin, to_plain
from hpcexp.template.read import UnreadableError, parse_value
from hpcexp.template.resources import Resources

LABEL = "command line"


def parse_resource_changes(
    settings: Sequence[str], *, options: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """What jobs are to ask for instead: `settings` are texts such as `resources.cpus=4`.

    `options` are values that have an option of their own; None is left out.
    Raises TemplateError, with all faults.
    """
    changes: dict[str, Any] = {}
    problems: list[Problem] = []
    for setting in settings:
        try:
            name, value = _parse(setting)
        except UnreadableError as error:
            problems.append(error.problem)
        else:
            changes[name] = value
    changes |= {k: v for k, v in (options or {}).items() if v is not None}
    for fault in find_faults(Resources, changes, noun="resource"):
        where = ".".join(["resources", *map(str, fault.names)])
        problems.append(Problem(path=LABEL, line=None, where=where, message=fault.message))
    if problems:
        raise TemplateError(problems)
    return changes


def _parse(setting: str) -> tuple[str, Any]:
    name, separator, text = setting.partition("=")
    key = name.strip().removeprefix("resources.")
    origin = Origin(path=LABEL, line=None, where=f"--set {name.strip()}")
    if not separator or not text.strip():
        raise UnreadableError(origin.problem("no value; write it as --set resources.cpus=4"))
    if key not in Resources.model_fields:
        hint = describe_alternatives(key, list(Resources.model_fields))
        raise UnreadableError(
            origin.problem(f"no such resource{hint}; only what jobs ask for can be changed here")
        )
    node, problems = parse_value(text, origin=origin)
    if problems:
        raise UnreadableError(problems[0])
    return key, to_plain(node)
