"""The copy of the code that an experiment keeps, so that later edits change nothing.

`code/tree/` holds the git tree that the launch was made in, as it was, uncommitted changes
included; `code/package/` holds hpcexp itself where that does not come from the tree.
`provenance/snapshot.json` says what was copied, what was not, and which directories of the
copy modules are imported from.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from hpcexp.store.code_tree import (
    BYTECODE,
    CodeTree,
    LeftOut,
    NoTreeError,
    read_code_tree,
    spell_bytes,
)
from hpcexp.store.files import build_record, read_record, write_json
from hpcexp.store.layout import ExperimentDir

MAX_FILES = 20_000
MAX_BYTES = 100_000_000
MAX_LEFT_OUT_NAMED = 1000
TREE, PACKAGE = "tree", "package"
OWN_PACKAGE_DIR = Path(__file__).parents[1]
"""hpcexp itself, as this process runs it."""
_NUM_THREADS = 8  # they wait for a shared file system, one file at a time each
_WITHOUT_TREE = (
    "only hpcexp itself is copied, and an edit of other code changes what waiting jobs train"
)


@dataclass(frozen=True)
class Root:
    """A directory that modules are imported from. `copy` is its place in `code/`; null if none."""

    path: str
    copy: str | None

    @property
    def is_whole(self) -> bool:
        """Whether all that could be imported from there was copied, and not only hpcexp."""
        return self.copy is not None and self.copy != PACKAGE


@dataclass(frozen=True)
class Snapshot:
    """What was copied.

    `tree` is the git tree that was copied, null if none was, and why not is the `problem`;
    `package` is where hpcexp was copied from if it is no part of the tree. `digest` is a
    BLAKE2 of all names and contents. `left_out` are the first of `num_left_out`.
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

    @property
    def label(self) -> str:
        """Short enough to be read: such as `snapshot 1f0e9d3b`."""
        return f"snapshot {self.digest[:8]}"


@dataclass(frozen=True)
class Source:
    """A file to be copied, or a link to be made."""

    path: Path
    num_bytes: int
    link: str | None = None


@dataclass(frozen=True)
class SnapshotPlan:
    """What a launch copies: files by their places in `code/`, and what is noted of them."""

    sources: Mapping[str, Source]
    tree: CodeTree | None
    package_dir: Path | None
    roots: tuple[Root, ...]
    problem: str = ""

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
) -> SnapshotPlan:
    """Look at the git tree of a directory and at hpcexp itself; nothing is copied yet.

    `python_path` are directories that modules are imported from: those in the tree will be
    imported from the copy. Experiments lie in the directories `exclude`. Where there is no
    tree, or it is too large, `problem` says so, and only hpcexp is copied.
    """
    tree, problem = _read_tree(directory, exclude)
    sources: dict[str, Source] = {}
    if tree is not None:
        sources = {
            f"{TREE}/{name}": Source(tree.top_dir / name, file.num_bytes, file.link)
            for name, file in tree.files.items()
        }
    home = None if tree is None else tree.find(package_dir)
    roots = [Root(str(package_dir.parent), _join(TREE, Path(home or ".").parent))]
    if home is None:
        sources |= _list_package(package_dir)
        roots = [Root(str(package_dir.parent), PACKAGE)]
    # hpcexp comes first: a directory of that name elsewhere must not be taken for it.
    for path in [directory, *python_path]:
        name = None if tree is None else tree.find(path)
        if name is not None:
            roots.append(Root(str(path), _join(TREE, Path(name))))
        elif path == directory:
            roots.append(Root(str(path), None))
    return SnapshotPlan(
        sources,
        tree,
        package_dir if home is None else None,
        roots=tuple(dict.fromkeys(roots)),
        problem=problem,
    )


def _read_tree(directory: Path, exclude: Sequence[Path]) -> tuple[CodeTree | None, str]:
    try:
        tree = read_code_tree(directory, exclude=exclude)
    except NoTreeError as error:
        return None, f"{error}: {_WITHOUT_TREE}"
    num_files, num_bytes = len(tree.files), tree.num_bytes
    if num_files <= MAX_FILES and num_bytes <= MAX_BYTES:
        return tree, ""
    largest = ", ".join(f"{name} {spell_bytes(size)}" for name, size in tree.list_largest(num=3))
    return None, (
        f"the git tree {tree.top_dir} is too large to be copied: {num_files} files, "
        f"{spell_bytes(num_bytes)}, of {MAX_FILES} and {spell_bytes(MAX_BYTES)} at most: "
        f"{_WITHOUT_TREE}; let git ignore what is no code ({largest})"
    )


def _list_package(package_dir: Path) -> dict[str, Source]:
    """All files of a package but bytecode."""
    found = {}
    for folder, folders, names in os.walk(package_dir, followlinks=True):
        folders[:] = sorted(name for name in folders if name != BYTECODE)
        place = _join(PACKAGE, Path(folder).relative_to(package_dir.parent))
        for name in sorted(names):
            path = Path(folder) / name
            found[f"{place}/{name}"] = Source(path, path.stat().st_size)
    return found


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
    left_out = [*(plan.tree.left_out if plan.tree is not None else ()), *missing]
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
