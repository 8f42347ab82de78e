"""Reading what a class declares from its text, so that torch need not be imported.

`config_class = Config` and `primary_metric = PRIMARY_METRIC` in a class, where both names are
imported at the top of the module, say where the hyperparameters are. Only that module is
imported then. What cannot be read so is read by importing the module itself.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import resolve_name
from pathlib import Path

from hpcexp.errors import UsageError
from hpcexp.workloads.own.importing import find_module, suggest
from hpcexp.workloads.own.reference import Reference

CONFIG, METRIC = "config_class", "primary_metric"
MEMBERS = (
    *("config", "loss_names", "metric_names", "build_model", "load_data", "draw", "schedule"),
    "evaluate",
)
_MAX_FOLLOWED = 5  # modules that only hand a class on


@dataclass(frozen=True)
class Declaration:
    """Dotted names of what a class declares."""

    config: str
    metric: str


def read_declaration(reference: Reference) -> Declaration | None:
    """What a class declares, as far as its text says it; None where the text does not.

    Raises UsageError where there is no such class, or where it lacks a member.
    """
    assert reference.class_name is not None
    module, name = reference.module, reference.class_name
    for _ in range(_MAX_FOLLOWED):
        text = _read_module(module)
        if text is None:
            return None
        if (found := text.find_class(name)) is not None:
            return _read_class(text, found)
        imported = text.imports.get(name)
        if imported is None:
            if text.may_hold(name):
                return None
            known = [node.name for node in text.tree.body if isinstance(node, ast.ClassDef)]
            raise UsageError(f"{module} has no class {name}{suggest(name, known)}")
        module, _, name = imported.rpartition(".")
    return None


class _Text:
    """A module's text, and what its names stand for that it imports at its top."""

    def __init__(self, module: str, tree: ast.Module, *, is_package: bool) -> None:
        self.module, self.tree = module, tree
        self.package = module if is_package else module.rpartition(".")[0]
        self.imports = dict(self._list_imports())

    def _list_imports(self) -> Iterator[tuple[str, str]]:
        for node in self.tree.body:
            if isinstance(node, ast.Import):
                for alias in node.names:
                    first = alias.name.partition(".")[0]
                    yield (alias.asname, alias.name) if alias.asname else (first, first)
            elif isinstance(node, ast.ImportFrom):
                origin = "." * node.level + (node.module or "")
                base = resolve_name(origin, self.package) if node.level else origin
                for alias in node.names:
                    yield alias.asname or alias.name, f"{base}.{alias.name}"

    def find_class(self, name: str) -> ast.ClassDef | None:
        classes = [n for n in self.tree.body if isinstance(n, ast.ClassDef) and n.name == name]
        return classes[-1] if classes else None

    def may_hold(self, name: str) -> bool:
        """Whether the name may be bound in a way that the text does not tell."""
        hands_on = "*" in self.imports or any(
            isinstance(n, ast.FunctionDef) and n.name == "__getattr__" for n in self.tree.body
        )
        bound = {n.id for n in ast.walk(self.tree) if isinstance(n, ast.Name)}
        nested = {n.name for n in ast.walk(self.tree) if isinstance(n, ast.ClassDef)}
        return hands_on or name in bound | nested

    def resolve(self, value: ast.expr) -> str | None:
        """The dotted name behind `Name` or `module.Name`; None where it is not imported."""
        parts: list[str] = []
        while isinstance(value, ast.Attribute):
            parts.insert(0, value.attr)
            value = value.value
        if not isinstance(value, ast.Name) or value.id not in self.imports:
            return None
        return ".".join([self.imports[value.id], *parts])


def _read_module(module: str) -> _Text | None:
    spec = find_module(module)
    if not spec.has_location or spec.origin is None or not spec.origin.endswith(".py"):
        return None
    try:
        tree = ast.parse(Path(spec.origin).read_bytes(), filename=spec.origin)
    except SyntaxError as error:
        where = f"{spec.origin}, line {error.lineno}"
        raise UsageError(
            f"{module} cannot be imported: SyntaxError: {error.msg} ({where})"
        ) from error
    except (OSError, ValueError):
        return None
    return _Text(module, tree, is_package=spec.submodule_search_locations is not None)


def _read_class(text: _Text, node: ast.ClassDef) -> Declaration | None:
    is_plain = not node.bases and not node.keywords and not node.decorator_list
    values = _list_values(node)
    if is_plain:
        check_members(
            {*values, *_list_other_members(node)},
            of=f"{text.module}.{node.name}, line {node.lineno}",
        )
    resolved = [text.resolve(values[name]) if name in values else None for name in (CONFIG, METRIC)]
    config, metric = resolved
    return None if config is None or metric is None else Declaration(config, metric)


def check_members(names: set[str], *, of: str) -> None:
    """Raise UsageError where a workload lacks something that is needed to train it."""
    missing = [name for name in (CONFIG, METRIC, *MEMBERS) if name not in names]
    if missing:
        raise UsageError(
            f"{of}, lacks {', '.join(missing)}; docs/adding-a-workload.md says what each gives"
        )


def _list_values(node: ast.ClassDef) -> dict[str, ast.expr]:
    """The values that are assigned in the body of a class."""
    values: dict[str, ast.expr] = {}
    for item in node.body:
        if isinstance(item, ast.Assign):
            values |= {t.id: item.value for t in item.targets if isinstance(t, ast.Name)}
        elif isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name) and item.value:
            values[item.target.id] = item.value
    return values


def _list_other_members(node: ast.ClassDef) -> Iterator[str]:
    """Methods, what they set of `self`, and names that are bound in some branch."""
    for item in ast.walk(node):
        if isinstance(item, ast.FunctionDef):
            yield item.name
        elif isinstance(item, ast.Name) and isinstance(item.ctx, ast.Store):
            yield item.id
        elif isinstance(item, ast.Attribute) and isinstance(item.ctx, ast.Store):
            yield item.attr
