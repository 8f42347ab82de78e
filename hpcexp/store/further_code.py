"""Code besides the git tree of the launch: further trees, and packages that are in none."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hpcexp.store.code_tree import (
    BYTECODE,
    MAX_FILE_BYTES,
    CodeTree,
    LeftOut,
    NoTreeError,
    read_code_tree,
    spell_bytes,
)
from hpcexp.store.git import may_be_secret
from hpcexp.workloads.own.places import CodeDir

MAX_FILES = 20_000
MAX_BYTES = 100_000_000
TREES, PACKAGES = "trees", "packages"


@dataclass(frozen=True)
class Source:
    """A file to be copied, or a link to be made."""

    path: Path
    num_bytes: int
    link: str | None = None


@dataclass(frozen=True)
class Further:
    """Code that is copied besides the tree of the launch: a git tree, or a package in none.

    `copy` is its place in `code/`; null if it was not copied, and the `problem` is why.
    """

    path: str
    copy: str | None
    num_changes: int = 0
    problem: str = ""


@dataclass
class FurtherPlan:
    """What is copied besides the tree of the launch: files by their places in `code/`.

    `roots` are the directories that were asked for, and their places.
    """

    records: list[Further] = field(default_factory=list)
    sources: dict[str, Source] = field(default_factory=dict)
    roots: dict[CodeDir, str | None] = field(default_factory=dict)
    left_out: list[LeftOut] = field(default_factory=list)

    @property
    def packages(self) -> list[str]:
        """The packages that are copied by themselves, as they are outside of git."""
        is_alone = [p for p, copy in self.roots.items() if copy and copy.startswith(PACKAGES)]
        return [place.package or place.path.name for place in is_alone]


def read_tree(directory: Path, *, exclude: Sequence[Path]) -> tuple[CodeTree | None, str]:
    """The git tree of a directory, or why it cannot be copied."""
    try:
        tree = read_code_tree(directory, exclude=exclude)
    except NoTreeError as error:
        return None, str(error)
    num_files, num_bytes = len(tree.files), tree.num_bytes
    if num_files <= MAX_FILES and num_bytes <= MAX_BYTES:
        return tree, ""
    largest = ", ".join(f"{name} {spell_bytes(size)}" for name, size in tree.list_largest(num=3))
    return None, (
        f"the git tree {tree.top_dir} is too large to be copied: {num_files} files, "
        f"{spell_bytes(num_bytes)}, of {MAX_FILES} and {spell_bytes(MAX_BYTES)} at most; let git "
        f"ignore what is no code ({largest})"
    )


def plan_further(
    places: Sequence[CodeDir], *, launched_in: CodeTree | None, exclude: Sequence[Path]
) -> FurtherPlan:
    """Look at the code of directories besides the tree of the launch; nothing is copied yet.

    The git tree that a directory is in, else the package that is needed of it. What can be
    copied neither way is imported from where it is.
    """
    plan = FurtherPlan()
    trees: dict[Path, tuple[CodeTree, str]] = {}
    for place in places:
        if launched_in is not None and launched_in.find(place.path) is not None:
            continue  # copied with the tree of the launch
        known = [(name, copy) for t, copy in trees.values() if (name := t.find(place.path))]
        if known:
            plan.roots[place] = _join(known[0][1], known[0][0])
            continue
        tree, problem = read_tree(place.path, exclude=exclude)
        name = None if tree is None else tree.find(place.path)
        if tree is not None and name is not None:
            copy = f"{TREES}/{len(trees) + 1}"
            trees[tree.top_dir] = (tree, copy)
            _add_tree(plan, tree, copy)
            plan.roots[place] = _join(copy, name)
        else:
            _add_package(plan, place, problem or f"git ignores {place.path}")
    return plan


def list_tree(tree: CodeTree, copy: str) -> dict[str, Source]:
    """The files of a tree by their places in `code/`."""
    return {
        f"{copy}/{name}": Source(tree.top_dir / name, file.num_bytes, file.link)
        for name, file in tree.files.items()
    }


def list_package(package_dir: Path, copy: str) -> dict[str, Source]:
    """All files of a package but bytecode."""
    found = {}
    for folder, folders, names in os.walk(package_dir, followlinks=True):
        folders[:] = sorted(name for name in folders if name != BYTECODE)
        place = _join(copy, Path(folder).relative_to(package_dir.parent).as_posix())
        for name in sorted(names):
            path = Path(folder) / name
            found[f"{place}/{name}"] = Source(path, path.stat().st_size)
    return found


def _add_tree(plan: FurtherPlan, tree: CodeTree, copy: str) -> None:
    plan.sources |= list_tree(tree, copy)
    plan.records.append(Further(str(tree.top_dir), copy, tree.num_changes))
    plan.left_out += [LeftOut(str(tree.top_dir / x.path), x.why) for x in tree.left_out]


def _add_package(plan: FurtherPlan, place: CodeDir, problem: str) -> None:
    """The package that is needed of a directory, which is imported from where it is otherwise."""
    sources: Mapping[str, Source] = {}
    path = place.path if place.package is None else place.path / place.package
    copy = f"{PACKAGES}/{len(plan.records) + 1}"
    if place.package is not None:
        try:
            sources = _list_package(path, copy, plan.left_out)
        except OSError as error:
            problem = f"{path}: cannot be read ({error.strerror})"
    num_bytes = sum(source.num_bytes for source in sources.values())
    if not sources or len(sources) > MAX_FILES or num_bytes > MAX_BYTES:
        if sources:
            problem = f"{path} is too large to be copied ({spell_bytes(num_bytes)})"
        plan.roots[place] = None
        why = f"{problem}: an edit of it changes what waiting jobs train"
        plan.records.append(Further(str(path), None, problem=why))
        return
    plan.sources |= sources
    plan.roots[place] = copy
    plan.records.append(Further(str(path), copy))


def _list_package(path: Path, copy: str, left_out: list[LeftOut]) -> dict[str, Source]:
    """A package, or a module, without what no code would be."""
    if not path.is_dir():
        path = path.with_name(f"{path.name}.py")
        return {f"{copy}/{path.name}": Source(path, path.stat().st_size)} if path.exists() else {}
    kept = {}
    for place, source in list_package(path, copy).items():
        if may_be_secret(source.path):
            left_out.append(LeftOut(str(source.path), "may hold secrets"))
        elif source.num_bytes > MAX_FILE_BYTES:
            left_out.append(LeftOut(str(source.path), f"has {spell_bytes(source.num_bytes)}"))
        else:
            kept[place] = source
    return kept


def _join(first: str, rest: str) -> str:
    return (Path(first) / rest).as_posix()
