"""A template file -> a checked Template, or every fault of it at once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from pydantic import BaseModel

from hpcexp.errors import Problem, TemplateError, UsageError
from hpcexp.template.check import Checked, check_num_runs, check_values
from hpcexp.template.check_groups import check_groups
from hpcexp.template.collector import paused_collector
from hpcexp.template.comparison import Comparison, find_unknown_names
from hpcexp.template.document import Entries, Header, find_unknown_keys
from hpcexp.template.extend import read_layers
from hpcexp.template.factors import check_factors, list_factors
from hpcexp.template.faults import find_faults
from hpcexp.template.fields import list_fields
from hpcexp.template.merge import merge_layers
from hpcexp.template.names import describe_alternatives
from hpcexp.template.nodes import Node, Origin, Source, find_nearest, to_plain
from hpcexp.template.notify import Notify
from hpcexp.template.overrides import find_shadowed, parse_overrides
from hpcexp.template.own_loop import (
    declare_hyperparameters,
    find_undeclared_ranks,
    list_defaults,
)
from hpcexp.template.resources import Resources
from hpcexp.template.template import Template
from hpcexp.template.track import Track
from hpcexp.workloads import list_workloads, load_config_class
from hpcexp.workloads.own import is_own
from hpcexp.workloads.own.places import find_code_dir, find_project_dirs, look_in, need

_HEADER_KEYS = tuple(Header.model_fields)


@paused_collector()
def load_template(
    path: Path | str,
    *,
    profile: str | None = None,
    overrides: Sequence[str] = (),
    rand_inits: int | None = None,
    name: str | None = None,
) -> Template:
    """Read a template, with what it extends, and check it in full; nothing is written.

    The named `profile` is laid over the template, then `overrides` such as
    `params.lr=0.01`, then `rand_inits` and `name`. Profiles that are not chosen are
    checked, too, but for the groups of their grids.

    Raises TemplateError with every fault of every file, each with its line.
    """
    label = str(path)
    directory = Path(path).absolute().parent
    look_in(directory, lambda: find_project_dirs(directory))
    read = read_layers(Path(path))
    if not read.is_complete:
        raise _fail(read.problems, read.sources, already=[])
    options, misread = parse_overrides(overrides, label=label)
    options += _list_options(label, rand_inits=rand_inits, name=name)
    base, found = merge_layers(read.layers)
    loaded = _Loaded(label, base, options, problems=found)
    checks = loaded.check(profile)
    misread += read.problems
    if misread or loaded.problems:
        raise _fail(loaded.problems, read.sources, already=misread)
    recorded = [f"rand_inits={rand_inits}"] if rand_inits is not None else []
    recorded += [f"name={name}"] if name is not None else []
    template = _build(checks, profile, (*overrides, *recorded), tuple(read.sources))
    for name in template.resources.code:
        need(find_code_dir(name))
    if "comparison" in checks.entries:
        unknown = find_unknown_names(checks.entries["comparison"], template.groups())
        if unknown:
            raise _fail(unknown, read.sources, already=[])
    return template


@dataclass
class _Checks:
    """What checking one variant of a template gave: itself, or itself with a profile."""

    entries: Entries
    grid: Node
    params: Node
    problems: list[Problem] = field(default_factory=list)
    config_class: type[BaseModel] | None = None
    values: Checked | None = None


@dataclass
class _Loaded:
    """A merged template, its options, and the problems found so far."""

    label: str
    base: Entries
    options: list[Entries]
    problems: list[Problem]

    def check(self, profile: str | None) -> _Checks:
        """Check the chosen variant in full, and what the other profiles say."""
        profiles = self.base["profiles"].entries if "profiles" in self.base else {}
        for layer in (self.base, *_layers_of(profile, profiles), *self.options):
            for _, path in _list_code_dirs(layer.get("resources")):
                look_in(path, partial(list, [path]))
        self.problems += find_unknown_keys(self.base, hyperparameters=self._list_hyperparameters())
        self.problems += self._check_profile_name(profile, profiles)
        chosen = self._check_variant([*_layers_of(profile, profiles), *self.options])
        self.problems += chosen.problems
        self.problems += find_shadowed(self.options, chosen.grid.entries)
        if chosen.values is not None:
            values = chosen.values
            others = {**list_factors(values), **values.sampled, **values.derive}
            by = "zip, sample or derive" if values.sampled else "zip or derive"
            given = [name for name in others if name not in chosen.grid.entries]
            self.problems += find_shadowed(self.options, given, by=by)
        self.problems += _check_grid(chosen)
        for other in profiles:
            if other != profile:
                found = self._check_variant(_layers_of(other, profiles)).problems
                self.problems += [p for p in found if p.where.startswith(f"profiles.{other}.")]
        return chosen

    def _check_variant(self, layers: Sequence[Mapping[str, Node]]) -> _Checks:
        entries, problems = merge_layers([self.base, *layers])
        checks = _Checks(
            entries=entries,
            grid=entries.get("grid") or self._empty("grid"),
            params=entries.get("params") or self._empty("params"),
            problems=problems,
        )
        checks.problems += self._check_header(entries)
        resources = entries.get("resources") or self._empty("resources")
        checks.problems += _check_model(Resources, resources, noun="resource")
        checks.problems += _check_code_dirs(resources)
        comparison = entries.get("comparison") or self._empty("comparison")
        checks.problems += _check_model(Comparison, comparison, noun="key of comparison")
        notify = entries.get("notify") or self._empty("notify")
        checks.problems += _check_model(Notify, notify, noun="way to notify")
        track = entries.get("track") or self._empty("track")
        checks.problems += _check_model(Track, track, noun="tracker")
        self._check_hyperparameters(checks)
        return checks

    def _check_header(self, entries: Entries) -> list[Problem]:
        if "name" not in entries:
            origin = Origin(self.label, None, "name (that of the file)")
            entries["name"] = Node(Path(self.label).stem, origin)
        problems: list[Problem] = []
        if "workload" not in entries:
            root = Origin(self.label, None, "workload")
            problems.append(root.problem(f"missing; write one of: {', '.join(list_workloads())}"))
            entries["workload"] = Node("", root)
        elif isinstance(entries["workload"].value, str) and not _get_workload(entries):
            node = entries["workload"]
            problems.append(node.origin.problem(_explain_no_workload(str(node.value))))
        header = Node({key: entries[key] for key in _HEADER_KEYS if key in entries}, self._root)
        return problems + _check_model(Header, header, noun="key of a template")

    def _check_hyperparameters(self, checks: _Checks) -> None:
        workload = _get_workload(checks.entries)
        if workload is None:
            return
        checks.config_class, undeclared = declare_hyperparameters(
            load_config_class(workload), checks.params, checks.entries
        )
        checks.problems += undeclared
        checks.problems += find_undeclared_ranks(checks.params, checks.entries)
        noun = f"hyperparameter of workload {workload}"
        checks.values = check_values(checks.config_class, checks.params, checks.grid, noun=noun)
        check_factors(checks.config_class, checks.entries, checks.values, noun=noun)
        checks.problems += checks.values.problems

    def _check_profile_name(
        self, profile: str | None, profiles: Mapping[str, Node]
    ) -> list[Problem]:
        if profile is None or profile in profiles:
            return []
        hint = describe_alternatives(profile, profiles) if profiles else "; the template has none"
        message = f"no such profile: {profile or 'no name'}{hint}"
        return [Origin(self.label, None, "--profile").problem(message)]

    def _list_hyperparameters(self) -> Mapping[str, object]:
        workload = _get_workload(self.base)
        return list_fields(load_config_class(workload)) if workload else {}

    def _empty(self, section: str) -> Node:
        return Node({}, Origin(self.label, None, section))

    @property
    def _root(self) -> Origin:
        return Origin(self.label, None, "")


def _layers_of(profile: str | None, profiles: Mapping[str, Node]) -> list[Mapping[str, Node]]:
    return [profiles[profile].entries] if profile is not None and profile in profiles else []


def _list_options(label: str, *, rand_inits: int | None, name: str | None) -> list[Entries]:
    options: list[Entries] = []
    if rand_inits is not None:
        options.append({"rand_inits": Node(rand_inits, Origin(label, None, "--rand-inits"))})
    if name is not None:
        text = name.encode("utf-8", "replace").decode()  # a terminal may send other bytes
        options.append({"name": Node(text, Origin(label, None, "--name"))})
    return options


def _get_workload(entries: Mapping[str, Node]) -> str | None:
    value = entries["workload"].value if "workload" in entries else None
    return value if isinstance(value, str) and not _explain_no_workload(value) else None


def _explain_no_workload(name: str) -> str:
    """Why there is no such workload; empty where there is."""
    if not is_own(name):
        known = list_workloads()
        hint = describe_alternatives(name, known)
        return "" if name in known else f"no such workload: {name}{hint}"
    try:
        load_config_class(name)
    except UsageError as error:
        return str(error)
    return ""


def _check_model(model: type[BaseModel], node: Node, *, noun: str) -> list[Problem]:
    problems = []
    for fault in find_faults(model, to_plain(node), noun=noun):
        nearest, rest = find_nearest(node, fault.names)
        problems.append(nearest.origin.problem(fault.message, inside=rest))
    return problems


def _list_code_dirs(resources: Node | None) -> list[tuple[Node, Path]]:
    """The directories of `resources.code`, as far as they are spelled well."""
    code = resources.entries.get("code") if resources is not None else None
    items = code.value if code is not None and isinstance(code.value, list) else []
    return [(item, find_code_dir(item.value)) for item in items if isinstance(item.value, str)]


def _check_code_dirs(resources: Node) -> list[Problem]:
    return [
        item.origin.problem(f"there is no directory {path}")
        for item, path in _list_code_dirs(resources)
        if not path.is_dir()
    ]


def _check_grid(checks: _Checks) -> list[Problem]:
    """The size of the grid, and if it can be expanded, each of its groups."""
    if checks.values is None or checks.config_class is None:
        return []
    given = checks.entries["rand_inits"].value if "rand_inits" in checks.entries else 1
    rand_inits = given if isinstance(given, int) else 1
    problems = check_num_runs(checks.grid, checks.values, rand_inits=rand_inits)
    noun = f"hyperparameter of workload {_get_workload(checks.entries)}"
    return problems or check_groups(checks.config_class, checks.params, checks.values, noun=noun)


def _build(
    checks: _Checks,
    profile: str | None,
    overrides: tuple[str, ...],
    sources: tuple[Source, ...],
) -> Template:
    entries = checks.entries
    plain = {key: to_plain(entries[key]) for key in _HEADER_KEYS if key in entries}
    resources = to_plain(entries["resources"]) if "resources" in entries else {}
    notify = to_plain(entries["notify"]) if "notify" in entries else {}
    track = to_plain(entries["track"]) if "track" in entries else {}
    comparison = to_plain(entries["comparison"]) if "comparison" in entries else {}
    axes, values = to_plain(checks.grid), checks.values
    assert values is not None
    header = Header.model_validate(plain).model_dump()
    # A workload that trains by itself may have been checked with more than its own class knows.
    is_whole = checks.config_class is load_config_class(header["workload"])
    return Template(
        **header,
        params={**list_defaults(checks.config_class), **to_plain(checks.params)},
        grid={name: tuple(items) for name, items in axes.items()},
        zips=tuple(
            {name: tuple(to_plain(i) for i in items) for name, items in zipped.items()}
            for zipped in values.zips
        ),
        named={name: to_plain(node) for name, node in values.named.items()},
        exclude=tuple(values.exclude),
        derive={name: str(node.value) for name, node in values.derive.items()},
        sample=to_plain(entries["sample"]) if values.space is not None else {},
        comparison=Comparison.model_validate(comparison),
        resources=Resources.model_validate(resources),
        notify=Notify.model_validate(notify),
        track=Track.model_validate(track),
        profile=profile,
        overrides=overrides,
        sources=sources,
        checked=values.configs if is_whole else {},
    )


def _fail(
    problems: Sequence[Problem], sources: Sequence[Source], *, already: Sequence[Problem]
) -> TemplateError:
    """The faults in the order of files and lines, without echoes of what was misread."""
    misread = [(str(p.path), p.where) for p in already if p.where]
    told = [p for p in problems if not any(_is_inside(p, path, w) for path, w in misread)]
    files = [str(source.path) for source in sources]
    kept = dict.fromkeys([*already, *told])

    def get_place(problem: Problem) -> tuple[int, float]:
        path = str(problem.path)
        line = math.inf if problem.where.startswith("--") else problem.line or 0
        return (files.index(path) if path in files else len(files), line)

    return TemplateError(sorted(kept, key=get_place))


def _is_inside(problem: Problem, path: str, where: str) -> bool:
    return str(problem.path) == path and f"{problem.where}.".startswith(f"{where}.")
