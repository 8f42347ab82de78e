"""The copy of the code that an experiment keeps, so that later edits change nothing.

`code/tree/` holds the git tree that the launch was made in, as it was, uncommitted changes
included; `code/package/` holds hpcexp itself where that does not come from the tree;
`code/trees/` and `code/packages/` hold what a workload needs besides.
`provenance/snapshot.json` says what was copied, what was not, and which directories of the
copy modules are imported from.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

from hpcexp.store.code_tree import BYTECODE, CodeTree, LeftOut
from hpcexp.store.files import build_record, read_record, write_json
from hpcexp.store.further_code import (
    TREES,
    Further,
    FurtherPlan,
    Source,
    list_package,
    list_tree,
    plan_further,
    read_tree,
)
from hpcexp.store.layout import ExperimentDir
from hpcexp.workloads.own.places import CodeDir

MAX_LEFT_OUT_NAMED = 1000
TREE, PACKAGE = "tree", "package"
OWN_PACKAGE_DIR = Path(__file__).parents[1]
"""hpcexp itself, as this process runs it."""
_NUM_THREADS = 8  # they wait for a shared file system, one file at a time each


@dataclass(frozen=True)
class Root:
    """A directory that modules are imported from. `copy` is its place in `code/`; null if none."""

    path: str
    copy: str | None

    @property
    def is_whole(self) -> bool:
        """Whether all that could be imported from there was copied, and not only a package."""
        return self.copy is not None and self.copy.partition("/")[0] in (TREE, TREES)


@dataclass(frozen=True)
class Snapshot:
    """What was copied.

    `tree` is the git tree that was copied, null if none was, and why not is the `problem`;
    `package` is where hpcexp was copied from if it is no part of the tree. `digest` is a
    BLAKE2 of all names and contents. `left_out` are the first of `num_left_out`. `further` is
    what was copied besides.
    """

    digest: str
    num_files: int
    num_bytes: int
    tree: str | None
    num_changes: int
    package: str | None
    roots: tuple[Root, ...]
    left_out: tuple[LeftOut, ...]
    num_left_out: int
    problem: str = ""
    further: tuple[Further, ...] = ()

    @property
    def label(self) -> str:
        """Short enough to be read: such as `snapshot 1f0e9d3b`."""
        return f"snapshot {self.digest[:8]}"


@dataclass(frozen=True)
class SnapshotPlan:
    """What a launch copies: files by their places in `code/`, and what is noted of them."""

    sources: Mapping[str, Source]
    tree: CodeTree | None
    package_dir: Path | None
    roots: tuple[Root, ...]
    problem: str = ""
    further: FurtherPlan = field(default_factory=FurtherPlan)

    @property
    def num_bytes(self) -> int:
        """Bytes of all files."""
        return sum(source.num_bytes for source in self.sources.values())


def plan_snapshot(
    directory: Path,
    *,
    package_dir: Path,
    python_path: Sequence[Path] = (),
    exclude: Sequence[Path] = (),
    further: Sequence[CodeDir] = (),
) -> SnapshotPlan:
    """Look at the git tree of a directory and at hpcexp itself; nothing is copied yet.

    `python_path` are directories that modules are imported from: those in the tree will be
    imported from the copy. Experiments lie in the directories `exclude`. Where there is no
    tree, or it is too large, `problem` says so, and it is not copied. The code of `further`
    directories is copied besides.
    """
    tree, problem = read_tree(directory, exclude=exclude)
    besides = plan_further(further, launched_in=tree, exclude=exclude)
    sources = {} if tree is None else list_tree(tree, TREE)
    sources |= besides.sources
    home = None if tree is None else tree.find(package_dir)
    roots = [Root(str(package_dir.parent), _join(TREE, Path(home or ".").parent))]
    if home is None:
        sources |= list_package(package_dir, PACKAGE)
        roots = [Root(str(package_dir.parent), PACKAGE)]
    # hpcexp comes first: a directory of that name elsewhere must not be taken for it.
    roots += [Root(str(p.path), copy) for p, copy in besides.roots.items() if p.package]
    for path in [directory, *python_path]:
        name = None if tree is None else tree.find(path)
        if name is not None:
            roots.append(Root(str(path), _join(TREE, Path(name))))
        elif path == directory:
            roots.append(Root(str(path), None))
    roots += [Root(str(p.path), copy) for p, copy in besides.roots.items() if not p.package]
    return SnapshotPlan(
        sources,
        tree,
        package_dir if home is None else None,
        roots=tuple(dict.fromkeys(roots)),
        problem=f"{problem}: {_describe_rest(besides.packages)}" if problem else "",
        further=besides,
    )


def _describe_rest(packages: Sequence[str]) -> str:
    """What is copied where the tree of the launch is not."""
    copied = " and ".join(dict.fromkeys(["hpcexp itself", *packages]))
    verb = "is" if not packages else "are"
    return f"only {copied} {verb} copied, and an edit of other code changes what waiting jobs train"


def _join(first: str, rest: Path) -> str:
    return (Path(first) / rest).as_posix()


def write_snapshot(experiment: ExperimentDir, plan: SnapshotPlan) -> Snapshot:
    """Copy the code into an experiment that is being made, and write the record of it.

    A file that has gone or cannot be read by now is left out. Raises OSError where the copy
    cannot be written.
    """
    for folder in {(experiment.code_dir / place).parent for place in plan.sources}:
        folder.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(_NUM_THREADS) as pool:
        copied = pool.map(partial(_copy, code_dir=experiment.code_dir), plan.sources.items())
        results = dict(zip(plan.sources, copied, strict=True))
    missing = [
        LeftOut(place.partition("/")[2], result)
        for place, result in results.items()
        if isinstance(result, str)
    ]
    prints = {place: r for place, r in results.items() if not isinstance(r, str)}
    tree_left_out = plan.tree.left_out if plan.tree is not None else ()
    left_out = [*tree_left_out, *plan.further.left_out, *missing]
    snapshot = Snapshot(
        digest=_join_prints(prints),
        num_files=len(prints),
        num_bytes=sum(p.num_bytes for p in prints.values()),
        tree=None if plan.tree is None else str(plan.tree.top_dir),
        num_changes=0 if plan.tree is None else plan.tree.num_changes,
        package=None if plan.package_dir is None else str(plan.package_dir),
        roots=plan.roots,
        left_out=tuple(left_out[:MAX_LEFT_OUT_NAMED]),
        num_left_out=len(left_out),
        problem=plan.problem,
        further=tuple(plan.further.records),
    )
    write_json(experiment.snapshot_path, asdict(snapshot))
    return snapshot


@dataclass(frozen=True)
class _Print:
    """What tells one file from another."""

    num_bytes: int
    hash: bytes


def _copy(item: tuple[str, Source], *, code_dir: Path) -> _Print | str:
    """Copy a file, no more readable to others than it was; or why it cannot be read."""
    place, source = item
    target = code_dir / place
    if source.link is not None:
        target.symlink_to(source.link)
        return _print(source.link)
    try:
        content, mode = source.path.read_bytes(), source.path.stat().st_mode & 0o777
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    with open(target, "xb", opener=partial(os.open, mode=mode | 0o600)) as file:
        file.write(content)
    return _print(content)


def _print(content: bytes | str) -> _Print:
    """A link is what it says, told apart from a file that says the same."""
    if isinstance(content, str):
        encoded = os.fsencode(content)
        return _Print(
            len(encoded), hashlib.blake2b(encoded, digest_size=16, person=b"link").digest()
        )
    return _Print(len(content), hashlib.blake2b(content, digest_size=16).digest())


def _join_prints(prints: Mapping[str, _Print]) -> str:
    """One digest of all names and contents, in the order of the names."""
    whole = hashlib.blake2b(digest_size=16)
    for place in sorted(prints):
        name = os.fsencode(place)
        whole.update(b"%d %s %s" % (len(name), name, prints[place].hash))
    return whole.hexdigest()


def read_snapshot(experiment: ExperimentDir) -> Snapshot | None:
    """The record of an experiment's code; None where it has none, as those of older versions.

    Raises HpcexpError where the record is damaged.
    """
    path = experiment.snapshot_path
    if not path.exists():
        return None
    snapshot = read_record(path, Snapshot)
    return Snapshot(
        **{
            **vars(snapshot),
            "roots": tuple(build_record(root, Root, path=path) for root in snapshot.roots),
            "left_out": tuple(build_record(x, LeftOut, path=path) for x in snapshot.left_out),
            "further": tuple(build_record(x, Further, path=path) for x in snapshot.further),
        }
    )


def is_unchanged(experiment: ExperimentDir, snapshot: Snapshot) -> bool:
    """Whether the copy is still what was copied. Bytecode beside it does not count.

    Raises OSError where a file cannot be read.
    """
    return _join_prints(dict(_read_prints(experiment.code_dir))) == snapshot.digest


def _read_prints(code_dir: Path) -> Iterator[tuple[str, _Print]]:
    for folder, folders, names in os.walk(code_dir, onerror=_raise):
        links = [name for name in folders if (Path(folder) / name).is_symlink()]
        folders[:] = [name for name in folders if name != BYTECODE and name not in links]
        for name in [*names, *links]:
            path = Path(folder) / name
            content = str(path.readlink()) if path.is_symlink() else path.read_bytes()
            yield path.relative_to(code_dir).as_posix(), _print(content)


def _raise(error: OSError) -> None:
    raise error
