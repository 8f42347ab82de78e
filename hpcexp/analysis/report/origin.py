"""Where an experiment came from, what was varied, and how to do it again."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hpcexp.analysis.groups import GroupAxis, list_hyperparameters, spell_label
from hpcexp.analysis.sampled.table import describe_distributions
from hpcexp.analysis.settings import find_differing, flatten, is_part_of, spell_key
from hpcexp.errors import HpcexpError
from hpcexp.store.experiment import Plan
from hpcexp.store.files import read_json
from hpcexp.store.layout import ExperimentDir

MAX_VALUES = 40
MAX_TEXT_BYTES = 60_000
_PACKAGES = "packages.txt"
_SHOWN_PACKAGES = ("torch", "numpy", "hpcexp")


@dataclass(frozen=True)
class Varied:
    """A hyperparameter that differs between groups, with its values.

    `is_declared`: the template says so; else it came along, and may be the cause.
    """

    name: str
    values: tuple[str, ...]
    is_declared: bool


@dataclass(frozen=True)
class Origin:
    """Everything of provenance that a reader may ask for, as text."""

    facts: tuple[tuple[str, str], ...]
    extensions: tuple[tuple[str, str], ...]
    templates: tuple[tuple[str, str], ...]
    patch: str
    packages: str
    commands: tuple[tuple[str, str], ...]


def list_varied_settings(plan: Plan, configs: Mapping[str, Mapping[str, Any]]) -> list[Varied]:
    """What the groups differ in: declared names first, then what differs besides."""
    declared = list_hyperparameters(plan.groups)
    drawn = describe_distributions(plan)
    axes = [
        Varied(
            name,
            (drawn[name],)
            if name in drawn
            else _list_values([g.values for g in plan.groups], name),
            is_declared=True,
        )
        for name in declared
    ]
    flat = [flatten(config) for config in configs.values()]
    others = [name for name in find_differing(flat) if not is_part_of(name, declared)]
    return [*axes, *(Varied(n, _list_values(flat, n), is_declared=False) for n in others)]


def list_shared_settings(configs: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Hyperparameters that all groups have in common, by dotted name."""
    flat = [flatten(config) for config in configs.values()]
    if not flat:
        return []
    return [
        (name, spell_label(value))
        for name, value in flat[0].items()
        if len({spell_key(one, name) for one in flat}) == 1
    ]


def _list_values(settings: Sequence[Mapping[str, Any]], name: str) -> tuple[str, ...]:
    spelled = [spell_label(one[name]) if name in one else "-" for one in settings]
    values = list(dict.fromkeys(spelled))
    if len(values) > MAX_VALUES:
        values = [*values[:MAX_VALUES], f"and {len(values) - MAX_VALUES} more"]
    return tuple(values)


def read_origin(experiment: ExperimentDir, plan: Plan, axis: GroupAxis) -> Origin:
    """Read the provenance; what is not there or damaged is left out."""
    try:
        record = read_json(experiment.provenance_dir / "provenance.json")
    except HpcexpError as error:
        record = {"problem": str(error)}
    packages = _read_text(experiment, _PACKAGES)
    return Origin(
        facts=tuple(_list_facts(plan, record if isinstance(record, dict) else {}, packages)),
        extensions=tuple(
            (e.created[:16].replace("T", " "), f"{e.command} ({e.user}, {e.commit or 'no commit'})")
            for e in plan.extensions
        ),
        templates=_read_templates(experiment),
        patch=_read_text(experiment, "uncommitted.patch"),
        packages=packages,
        commands=tuple(_list_commands(experiment, plan, axis)),
    )


def _list_facts(plan: Plan, record: Mapping[str, Any], packages: str) -> list[tuple[str, str]]:
    git = record.get("git") or {}
    pins = dict(line.split("==", 1) for line in packages.splitlines() if "==" in line)
    versions = ", ".join(f"{name} {pins[name]}" for name in _SHOWN_PACKAGES if name in pins)
    facts = {
        "launched": str(record.get("created", ""))[:19].replace("T", " "),
        "by": " on ".join(str(record[key]) for key in ("user", "host") if record.get(key)),
        "command": str(record.get("command", "")),
        "in": str(record.get("working_dir", "")),
        "commit": _spell_commit(git),
        "further code": ", ".join(map(_spell_tree, record.get("trees") or [])),
        "python": ", ".join(filter(None, [str(record.get("python", "")), versions])),
        "system": str(record.get("platform", "")),
        "workload": plan.workload,
        "seed": str(plan.seed),
        "profile": plan.profile or "",
        "overrides": " ".join(plan.overrides),
        "repeats": _spell_reproduced(record.get("reproduces")),
        "problem": str(record.get("problem", "")),
    }
    if plan.is_imported:
        facts |= {"commit": "", "python": "", "origin": "results from elsewhere, imported"}
    return [(name, value) for name, value in facts.items() if value]


def _spell_commit(git: Mapping[str, Any]) -> str:
    """Of a new repository its files are known, and no commit."""
    if not git:
        return "the code was in no git repository"
    if not git.get("commit"):
        return "none yet: the repository has only uncommitted files"
    return f"{git['commit']}{' with uncommitted changes' if git.get('is_dirty') else ''}"


def _spell_tree(git: Mapping[str, Any]) -> str:
    changed = " with uncommitted changes" if git.get("is_dirty") else ""
    return f"{git.get('top_dir', '')} at {str(git.get('commit') or 'no commit')[:10]}{changed}"


def _spell_reproduced(value: object) -> str:
    return " ".join(map(str, value.values())) if isinstance(value, Mapping) else ""


def _read_templates(experiment: ExperimentDir) -> tuple[tuple[str, str], ...]:
    """The main template first, then those that it extends."""
    try:
        paths = sorted(p for p in experiment.template_dir.iterdir() if p.is_file())
    except OSError:
        return ()
    paths.sort(key=lambda path: path.name.startswith("extends_"))
    return tuple((path.name, _cut(path.read_text(errors="replace"))) for path in paths)


def _read_text(experiment: ExperimentDir, name: str) -> str:
    try:
        return _cut((experiment.provenance_dir / name).read_text(errors="replace"))
    except OSError:
        return ""


def _cut(text: str) -> str:
    if len(text) <= MAX_TEXT_BYTES:
        return text
    return f"{text[:MAX_TEXT_BYTES]}\n... ({len(text) - MAX_TEXT_BYTES:,} letters more)"


def _list_commands(experiment: ExperimentDir, plan: Plan, axis: GroupAxis) -> list[tuple[str, str]]:
    """What it does, and the command that does it."""
    name = shlex.quote(experiment.name)
    looks = [
        ("numbers and figures", f"hpcexp plot {name}"),
        ("this page again", f"hpcexp report {name}"),
        ("the tables for other programs", f"hpcexp export {name} --to csv"),
    ]
    if plan.is_imported or not axis.names:
        return looks
    run = next(run.name for run in plan.runs if run.group == axis.names[0])
    return [
        ("train one run again with the code of its launch, and compare every number",
         f"hpcexp reproduce {name} {shlex.quote(run)}"),
        *looks,
    ]  # fmt: skip
