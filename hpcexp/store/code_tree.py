"""Which files the code of a directory consists of: those of its git tree, as they are now."""

from __future__ import annotations

import os
import shutil
import stat
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from hpcexp.errors import HpcexpError
from hpcexp.store.git import may_be_secret, run_git
from hpcexp.store.layout import REMOVED_PREFIX, UNFINISHED_PREFIX, ExperimentDir

MAX_FILE_BYTES = 10_000_000
BYTECODE = "__pycache__"
SUBMODULE_MARK = ".git"
_EXPERIMENT = (ExperimentDir(Path()).record_path.name, ExperimentDir(Path()).plan_path.name)
_MAKING = (UNFINISHED_PREFIX, REMOVED_PREFIX)
_ENVIRONMENTS = ("pyvenv.cfg", "conda-meta/history")


class NoTreeError(HpcexpError):
    """A directory is in no git tree, or git cannot tell what is in it."""


@dataclass(frozen=True)
class LeftOut:
    """A file, or a whole directory, that was not copied, and why."""

    path: str
    why: str


@dataclass(frozen=True)
class CodeFile:
    """A file of a tree; `link` is where it leads if it is to be a link again.

    A link within the tree is relative; one to a directory outside of it is absolute.
    """

    num_bytes: int
    link: str | None = None


@dataclass(frozen=True)
class CodeTree:
    """A git tree as it is now: `files` by their names in it, and what does not belong to it.

    `num_changes` counts files that differ from the commit, or that git does not know.
    """

    top_dir: Path
    files: Mapping[str, CodeFile]
    left_out: tuple[LeftOut, ...]
    num_changes: int

    @property
    def num_bytes(self) -> int:
        """Bytes of all files."""
        return sum(file.num_bytes for file in self.files.values())

    def list_largest(self, *, num: int) -> list[tuple[str, int]]:
        """What takes most of the room at the top of the tree, with its bytes."""
        sizes: Counter[str] = Counter()
        for name, file in self.files.items():
            first, slash, _ = name.partition("/")
            sizes[first + slash] += file.num_bytes
        return sizes.most_common(num)

    def find(self, path: Path) -> str | None:
        """The name in the tree of a directory with files of it; None for any other path."""
        resolved, top_dir = _resolve(path), _resolve(self.top_dir)
        if not resolved.is_relative_to(top_dir):
            return None
        name = resolved.relative_to(top_dir).as_posix()
        prefix = "" if name == "." else f"{name}/"
        return name if any(file.startswith(prefix) for file in self.files) else None


def read_code_tree(directory: Path, *, exclude: Sequence[Path] = ()) -> CodeTree:
    """The tree that a directory belongs to: what git knows and what it does not ignore.

    Left out are experiments (what lies below `exclude`, and wherever else there are any),
    bytecode, Python environments, files that may hold secrets and large files.
    Raises NoTreeError.
    """
    found = run_git(directory, "rev-parse", "--show-toplevel")
    if not found:
        if shutil.which("git") is None:
            raise NoTreeError(f"there is no git here to read {directory}")
        raise NoTreeError(f"{directory} is in no git tree")
    # One newline ends what git prints; a name may end in others.
    top_dir = Path(os.fsdecode(found.removesuffix(b"\n")))
    names = _list_names(top_dir)
    return _Selection(top_dir, names, exclude).make_tree()


@dataclass(frozen=True)
class _Names:
    """What git lists: names of files that it knows, that changed, and that it does not know."""

    tracked: frozenset[str]
    changed: frozenset[str]
    untracked: frozenset[str]


def _list_names(top_dir: Path) -> _Names:
    tracked = run_git(top_dir, "ls-files", "-z")
    status = run_git(
        top_dir, "status", "--porcelain", "-z", "--untracked-files=all", "--no-renames"
    )
    if tracked is None or status is None:
        raise NoTreeError(f"git failed in {top_dir}, or took too long")
    entries = [(entry[:2], entry[3:]) for entry in _split(status)]
    names = _Names(
        tracked=frozenset(_split(tracked)),
        changed=frozenset(name for kind, name in entries if kind != "??"),
        untracked=frozenset(name for kind, name in entries if kind == "??"),
    )
    for name in sorted(names.tracked):
        # Without a mark of its own git would list the tree around it.
        if (top_dir / name / SUBMODULE_MARK).exists():
            names = _join(names, _list_names(top_dir / name), below=name)
    return names


def _join(names: _Names, inner: _Names, *, below: str) -> _Names:
    """With those of a submodule."""

    def rename(inner_names: frozenset[str]) -> frozenset[str]:
        return frozenset(f"{below}/{name}" for name in inner_names)

    return _Names(
        names.tracked - {below} | rename(inner.tracked),
        names.changed - {below} | rename(inner.changed),
        names.untracked | rename(inner.untracked),
    )


def _split(listed: bytes) -> Iterator[str]:
    return (os.fsdecode(name) for name in listed.split(b"\0") if name)


class _Selection:
    """Chooses from the names that git lists."""

    def __init__(self, top_dir: Path, names: _Names, exclude: Sequence[Path]) -> None:
        self.top_dir, self.root, self.names = top_dir, top_dir.resolve(), names
        self.experiments = tuple(self._find_experiments(exclude))
        self.environments = tuple(_find_holders(names.untracked, *_ENVIRONMENTS))
        self.files: dict[str, CodeFile] = {}
        self.left_out: dict[str, str] = {}

    def make_tree(self) -> CodeTree:
        for name in sorted(self.names.tracked | self.names.untracked):
            if self._belongs(name):
                self._choose(name, self.top_dir / name)
        self._drop_dangling_links()
        return CodeTree(
            self.top_dir,
            self.files,
            tuple(
                LeftOut(name, why)
                for name, why in [
                    *((name, "a Python environment") for name in self.environments),
                    *self.left_out.items(),
                ]
            ),
            num_changes=sum(map(self._belongs, self.names.changed | self.names.untracked)),
        )

    def _find_experiments(self, exclude: Sequence[Path]) -> Iterator[str]:
        """Directories of experiments, as names in the tree that end in a slash."""
        for path in exclude:
            resolved = _resolve(path)
            # Where the tree itself lies below such a directory, nothing would be left.
            if resolved != self.root and resolved.is_relative_to(self.root):
                yield f"{resolved.relative_to(self.root).as_posix()}/"
        record, plan = (set(_find_holders(self.names.untracked, name)) for name in _EXPERIMENT)
        yield from record & plan

    def _belongs(self, name: str) -> bool:
        """Not so an experiment, also one that is being made, an environment, and bytecode."""
        if name.startswith((*self.experiments, *self.environments)):
            return False
        parts = PurePosixPath(name).parts
        return BYTECODE not in parts and not any(part.startswith(_MAKING) for part in parts)

    def _choose(self, name: str, path: Path) -> None:
        try:
            if may_be_secret(path) or may_be_secret(_resolve(path)):
                self.left_out[name] = "may hold secrets"
            elif path.is_symlink():
                self._choose_link(name, path)
            else:
                self._choose_file(name, path)
        except FileNotFoundError:
            return  # deleted, and not yet from git's index
        except OSError as error:
            self.left_out[name] = f"cannot be read ({error.strerror})"

    def _choose_link(self, name: str, path: Path) -> None:
        """One that leads to a file outside becomes a file, since it may be code."""
        target = _resolve(path)
        if not target.exists():
            self.left_out[name] = "a link that leads nowhere"
        elif target.is_relative_to(self.root):
            link = os.path.relpath(target, path.parent.resolve())
            self.files[name] = CodeFile(len(os.fsencode(link)), link)
        elif target.is_dir():
            self.files[name] = CodeFile(len(os.fsencode(target)), str(target))
            self.left_out[name] = "leads to a directory outside of the tree: a link to it is kept"
        else:
            self._choose_file(name, path)

    def _choose_file(self, name: str, path: Path) -> None:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            is_tree = (path / SUBMODULE_MARK).exists()
            self.left_out[name] = "a git tree of its own" if is_tree else "an empty submodule"
        elif not stat.S_ISREG(found.st_mode):
            self.left_out[name] = "neither a file nor a link"
        elif found.st_size > MAX_FILE_BYTES:
            limit = spell_bytes(MAX_FILE_BYTES)
            self.left_out[name] = f"{spell_bytes(found.st_size)}, of {limit} at most for a file"
        else:
            self.files[name] = CodeFile(found.st_size)

    def _drop_dangling_links(self) -> None:
        """Links to what git ignores, or to what was left out, would lead nowhere."""
        folders = {str(parent) for name in self.files for parent in PurePosixPath(name).parents}
        for name, file in list(self.files.items()):
            if file.link is None or Path(file.link).is_absolute():
                continue
            target = os.path.normpath(PurePosixPath(name).parent / file.link)
            if target not in self.files and target not in folders:
                del self.files[name]
                self.left_out[name] = f"leads to {target}, which is not copied"


def _find_holders(names: frozenset[str], *marks: str) -> list[str]:
    """Directories that hold a file of one of these names; they end in a slash."""
    return sorted(
        name.removesuffix(mark) for name in names for mark in marks if name.endswith(f"/{mark}")
    )


def _resolve(path: Path) -> Path:
    """Links followed; unlike `Path.resolve`, it takes a link that leads in a circle."""
    return Path(os.path.realpath(path))


def spell_bytes(number: int) -> str:
    """Such as `2.9 MB` or `340 MB`; 1 MB is 10^6 bytes."""
    megabytes = number / 1e6
    return f"{megabytes:.0f} MB" if megabytes >= 99.95 else f"{megabytes:.1f} MB"
