"""YAML text -> nodes with lines, read strictly: every fault is collected, none is guessed at."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import yaml

from hpcexp.errors import Problem
from hpcexp.template.nodes import Node, Origin, Scalar
from hpcexp.template.scalars import ScalarError, resolve_plain

_MAX_BYTES = 4 << 20
_MAX_DEPTH = 50
_MAX_NODES = 200_000
_PLAIN = "plain"
_TEXT_TAG = "tag:yaml.org,2002:str"
_COLLECTION_TAGS = {"tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"}
_SURROGATE = re.compile("[\ud800-\udfff]")
_MERGE_KEY = "<<"


class UnreadableError(Exception):
    """A file or text of which nothing can be used; holds its one problem."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(problem.message)


def read_text(path: Path, *, label: str) -> str:
    """The text of a template file; a byte order mark is dropped.

    Raises UnreadableError where the file is missing, not a file, too large or not UTF-8.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        raise _unreadable(label, None, "no such file") from None
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        reason = getattr(error, "strerror", None) or str(error)
        raise _unreadable(label, None, f"cannot be read: {reason}") from None
    if len(content) > _MAX_BYTES:
        raise _unreadable(label, None, f"larger than {_MAX_BYTES >> 20} MiB: not a template")
    return _decode(content, label)


def parse_document(text: str, *, label: str) -> tuple[Node, list[Problem]]:
    """The mapping that a template file holds, and the faults that leave it usable.

    Raises UnreadableError where the text is no YAML, or is not one mapping.
    """
    node, problems = _parse(text, Origin(path=label, line=1, where=""))
    if node is None or node.value is None:
        raise _unreadable(label, None, "empty; write at least workload: NAME")
    if not isinstance(node.value, dict):
        message = "not a mapping; a template is made of lines such as workload: NAME"
        raise _unreadable(label, node.origin.line, message)
    return node, problems


def parse_value(text: str, *, origin: Origin) -> tuple[Node, list[Problem]]:
    """The value of a command-line option, read as a template reads it; keeps its origin.

    Raises UnreadableError where the text is no YAML.
    """
    node, problems = _parse(text, origin)
    return node or Node(None, origin), problems


def _unreadable(label: str, line: int | None, message: str, where: str = "") -> UnreadableError:
    return UnreadableError(Problem(path=label, line=line, where=where, message=message))


def _decode(content: bytes, label: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        message = f"not UTF-8: byte 0x{content[error.start]:02x}; save the file as UTF-8"
        raise _unreadable(label, line, message) from None


def _parse(text: str, root: Origin) -> tuple[Node | None, list[Problem]]:
    try:
        tree = _compose(text)
        if tree is None:
            return None, []
        builder = _Builder(root)
        return builder.build(tree, root), builder.problems
    except yaml.MarkedYAMLError as error:
        raise _translate_marked(error, root) from None
    except yaml.reader.ReaderError as error:
        raise _translate_reader(error, text, root) from None


def _compose(text: str) -> yaml.Node | None:
    loader = _Loader(io.StringIO(text))
    try:
        return loader.get_single_node()
    finally:
        loader.dispose()


class _Loader(yaml.SafeLoader):
    """Composes nodes only: unquoted scalars keep a mark of their own, depth is limited."""

    def __init__(self, stream: io.StringIO) -> None:
        super().__init__(stream)
        self._depth = 0

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> str:
        if kind is yaml.ScalarNode:
            return _PLAIN if implicit[0] else _TEXT_TAG
        return str(super().resolve(kind, value, implicit))  # type: ignore[no-untyped-call]

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(
                None, None, f"nested more than {_MAX_DEPTH} deep", mark
            )
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


class _Builder:
    """Turns composed YAML nodes into nodes with origins; collects what is wrong."""

    def __init__(self, root: Origin) -> None:
        self.problems: list[Problem] = []
        self._root = root
        self._num_nodes = 0
        self._open: set[int] = set()

    def build(self, node: yaml.Node, origin: Origin) -> Node:
        """One node and all below it."""
        self._count(node)
        if isinstance(node, yaml.ScalarNode):
            return Node(self._build_scalar(node, origin), origin)
        if node.tag not in _COLLECTION_TAGS:
            self._refuse_tag(node, origin)
        if id(node) in self._open:
            self._report(origin, "contains itself through an alias")
            return Node(None, origin)
        self._open.add(id(node))
        built = self._build_collection(cast("yaml.CollectionNode", node), origin)
        self._open.discard(id(node))
        return built

    def _build_collection(self, node: yaml.CollectionNode, origin: Origin) -> Node:
        if isinstance(node, yaml.MappingNode):
            return Node(self._build_mapping(node, origin), origin)
        items = [self.build(item, self._at(item, origin, origin.where)) for item in node.value]
        return Node(items, origin)

    def _build_mapping(self, node: yaml.MappingNode, origin: Origin) -> dict[str, Node]:
        entries: dict[str, Node] = {}
        merged: dict[str, Node] = {}
        for key_node, value_node in node.value:
            if _is_merge_key(key_node):
                self._merge(value_node, origin, merged)
                continue
            key = self._read_key(key_node, origin)
            if key is None:
                continue
            place = self._at(key_node, origin, f"{origin.where}.{key}".removeprefix("."))
            if key in entries:
                self._report(place, self._explain_repeat(entries[key].origin, place))
            entries[key] = self.build(value_node, place)
        return {**merged, **entries}

    def _merge(self, node: yaml.Node, origin: Origin, merged: dict[str, Node]) -> None:
        """Add the entries behind `<<`; of a list of mappings the first that has a key wins."""
        parts = node.value if isinstance(node, yaml.SequenceNode) else [node]
        for part in parts:
            if isinstance(part, yaml.MappingNode):
                for key, child in self.build(part, origin).entries.items():
                    merged.setdefault(key, child)
            else:
                place = self._at(part, origin, f"{origin.where}.<<".removeprefix("."))
                self._report(place, "must be an alias of a mapping, or a list of such aliases")

    def _read_key(self, node: yaml.Node, origin: Origin) -> str | None:
        place = self._at(node, origin, origin.where)
        if not isinstance(node, yaml.ScalarNode):
            self._report(place, "a key must be text, not a list or a mapping")
            return None
        key = self._build_scalar(node, place)
        if isinstance(key, str) and key:
            return key
        self._report(place, f"a key must be text; {node.value or 'nothing'} is not")
        return None

    def _build_scalar(self, node: yaml.ScalarNode, origin: Origin) -> Scalar:
        if _SURROGATE.search(node.value):
            self._report(origin, "holds half of a surrogate pair, which is no character")
            return None
        if node.tag == _TEXT_TAG:
            return str(node.value)
        if node.tag != _PLAIN:
            self._refuse_tag(node, origin)
            return None
        try:
            return resolve_plain(node.value)
        except ScalarError as error:
            self._report(origin, str(error))
            return None

    def _explain_repeat(self, first: Origin, second: Origin) -> str:
        if first.line is None:
            return "given twice; keep one"
        where = f"lines {first.line} and {second.line}"
        return f"given twice, on {where if first.line != second.line else 'one line'}; keep one"

    def _refuse_tag(self, node: yaml.Node, origin: Origin) -> None:
        tag = node.tag.replace("tag:yaml.org,2002:", "!!")
        self._report(origin, f"the tag {tag} is not allowed; write the plain value")

    def _count(self, node: yaml.Node) -> None:
        self._num_nodes += 1
        if self._num_nodes > _MAX_NODES:
            message = f"more than {_MAX_NODES} values once its aliases are followed"
            raise yaml.composer.ComposerError(None, None, message, node.start_mark)

    def _at(self, node: yaml.Node, origin: Origin, where: str) -> Origin:
        if self._root.line is None:  # an option of the command line has no lines
            return replace(origin, where=where)
        return Origin(path=origin.path, line=node.start_mark.line + 1, where=where)

    def _report(self, origin: Origin, message: str) -> None:
        self.problems.append(origin.problem(message))


def _is_merge_key(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.tag == _PLAIN and node.value == _MERGE_KEY


def _translate_marked(error: yaml.MarkedYAMLError, root: Origin) -> UnreadableError:
    mark = error.problem_mark or error.context_mark
    reason = _reword(error.problem or error.context or "cannot be read")
    column = f" (column {mark.column + 1})" if mark else ""
    line = mark.line + 1 if mark and root.line is not None else None
    return _unreadable(root.path, line, f"not YAML: {reason}{column}", root.where)


def _translate_reader(error: yaml.reader.ReaderError, text: str, root: Origin) -> UnreadableError:
    line = text.count("\n", 0, error.position) + 1 if root.line is not None else None
    code = error.character if isinstance(error.character, int) else ord(error.character[:1])
    return _unreadable(root.path, line, f"not YAML: the character U+{code:04X}", root.where)


def _reword(reason: str) -> str:
    """PyYAML's reason in one line, with what to do about the commonest."""
    if "'\\t'" in reason:
        return "a tab; indent with spaces"
    if "mapping values are not allowed here" in reason:
        return 'a second ": " in one line, or a wrong indent; quote text that holds ": "'
    if "but found another document" in reason:
        return "a second document after ---; a template is one document"
    if "expected '<document start>'" in reason or "expected <block end>" in reason:
        return "a wrong indent, or a key that is not in line with the others"
    return " ".join(reason.split())
