"""A template file and all the files that it extends, as layers to merge."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from hpcexp.errors import Problem
from hpcexp.template.document import Entries, check_sections, keep_inherited
from hpcexp.template.names import suggest
from hpcexp.template.nodes import Node, Source, join_choices, show
from hpcexp.template.read import UnreadableError, parse_document, read_text

_MAX_LAYERS = 100


@dataclass
class Layers:
    """The layers from the most general to the file itself, what was read, what is wrong."""

    layers: list[Entries] = field(default_factory=list)
    sources: list[Source] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    is_complete: bool = True  # False where a file could not be read at all


def read_layers(path: Path) -> Layers:
    """Read a template and, following `extends`, the files below it; collects every fault."""
    reader = _Reader()
    try:
        reader.read(path, chain=())
    except UnreadableError as error:
        reader.report_unreadable(error.problem)
    return reader.result


class _Reader:
    def __init__(self) -> None:
        self.result = Layers()
        self._documents: dict[str, Entries] = {}

    def read(self, path: Path, *, chain: tuple[str, ...]) -> None:
        """Append the layers below a file, then the file's own."""
        entries = self._load(path)
        if "extends" in entries:
            for parent in self._list_parents(entries["extends"]):
                self._read_parent(path, parent, (*chain, str(path)))
        self.result.layers.append(keep_inherited(entries) if chain else entries)

    def report_unreadable(self, problem: Problem) -> None:
        self.result.is_complete = False
        self.result.problems.append(problem)

    def _load(self, path: Path) -> Entries:
        """The entries of a file, read once. Raises UnreadableError."""
        key = os.path.realpath(path)
        if key not in self._documents:
            if not _exists(path):
                hint = _hint_file(path)
                raise UnreadableError(Problem(str(path), None, "", f"no such file{hint}"))
            text = read_text(path, label=str(path))
            self.result.sources.append(Source(path=path, text=text))
            document, problems = parse_document(text, label=str(path))
            self._documents[key], found = check_sections(document.entries)
            self.result.problems += [*problems, *found]
        return self._documents[key]

    def _list_parents(self, node: Node) -> Iterator[Node]:
        for item in node.items or [node]:
            if _is_relative_path(item.value):
                yield item
            elif item.value is not None:
                message = "must be a path relative to this file, or a list of such paths"
                self.report_unreadable(item.origin.problem(message))

    def _read_parent(self, path: Path, node: Node, chain: tuple[str, ...]) -> None:
        parent = Path(os.path.normpath(path.parent / str(node.value)))
        seen = [os.path.realpath(link) for link in chain]
        if os.path.realpath(parent) in seen:
            links = " -> ".join([*chain[seen.index(os.path.realpath(parent)) :], str(parent)])
            self.report_unreadable(node.origin.problem(f"a cycle: {links}"))
        elif not _exists(parent):
            message = f"no such file: {show(str(parent))}{_hint_file(parent)}"
            self.report_unreadable(node.origin.problem(message))
        elif len(self.result.layers) + len(chain) > _MAX_LAYERS:
            message = f"more than {_MAX_LAYERS} files are extended"
            self.report_unreadable(node.origin.problem(message))
        else:
            self._read_readable(parent, chain)

    def _read_readable(self, parent: Path, chain: tuple[str, ...]) -> None:
        try:
            self.read(parent, chain=chain)
        except UnreadableError as error:
            self.report_unreadable(error.problem)


def _is_relative_path(value: object) -> bool:
    is_text = isinstance(value, str) and value.isprintable() and value.strip() != ""
    return is_text and not Path(str(value)).is_absolute()


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # such as a name that is too long
        return False


def _hint_file(path: Path) -> str:
    try:
        others = sorted(path.parent.iterdir())
    except OSError:
        return ""
    names = {other.stem: other.name for other in others if other.suffix in {".yaml", ".yml"}}
    near = [names[stem] for stem in suggest(path.stem, names)]
    return f"; did you mean {join_choices(near)}?" if near else ""
