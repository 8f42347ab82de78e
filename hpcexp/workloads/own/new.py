"""Writing the skeleton of a laboratory's own workload: a package, and a template."""

from __future__ import annotations

import importlib.util
import keyword
import re
import shutil
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path
from string import Template

from hpcexp.errors import UsageError

_SKELETON_DIR = Path(__file__).parent / "skeleton"
_PACKAGE_FILES = ("__init__.py", "config.py", "workload.py", "test_workload.py")
MAX_NAME = 40


@dataclass(frozen=True)
class Skeleton:
    """What was written: a package and a template, in `directory`."""

    directory: Path
    package_dir: Path
    template_path: Path

    @property
    def files(self) -> list[Path]:
        """All files, those of the package first."""
        return [*(self.package_dir / name for name in _PACKAGE_FILES), self.template_path]


def write_skeleton(name: str, *, directory: Path) -> Skeleton:
    """Write a workload that trains as it stands, as `NAME/` and `templates/NAME.yaml`.

    Raises UsageError where the name is none of a package, is taken, or where one of them
    exists already or cannot be written: then nothing is.
    """
    check_name(name)
    skeleton = Skeleton(directory, directory / name, directory / "templates" / f"{name}.yaml")
    for path in (skeleton.package_dir, skeleton.template_path):
        if path.exists() or path.is_symlink():
            raise UsageError(
                f"{path} exists already and is left as it is; choose another name, or --to DIR"
            )
    try:
        _write(skeleton, {"name": name, "class_name": _spell_class(name)})
    except OSError as error:
        raise UsageError(
            f"{error.filename or directory}: cannot be written ({error.strerror}); say where else "
            "with --to DIR"
        ) from error
    return skeleton


def check_name(name: str) -> None:
    """Raise UsageError for what is no name of a package, or is one of another package."""
    if not re.fullmatch(r"[a-z_][a-z0-9_]*", name) or keyword.iskeyword(name):
        proposal = re.sub(r"[^a-z0-9_]+", "_", name.lower()).strip("_")
        hint = f"; did you mean {proposal}?" if proposal.isidentifier() else ""
        raise UsageError(
            f"{name!r} cannot name a Python package: write small letters, digits and _{hint}"
        )
    if len(name) > MAX_NAME:
        raise UsageError(f"{name} has {len(name)} letters; at most {MAX_NAME}")
    if name in sys.stdlib_module_names or _is_installed(name):
        raise UsageError(f"{name} is the name of another Python package here; choose another one")


def _is_installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def _spell_class(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_")) or "Workload"


def _write(skeleton: Skeleton, values: dict[str, str]) -> None:
    """The package is renamed into its place as a whole; without a template there is none."""
    skeleton.directory.mkdir(parents=True, exist_ok=True)
    aside = skeleton.directory / f".making-{uuid.uuid4().hex[:8]}"
    try:
        aside.mkdir()
        for name in _PACKAGE_FILES:
            (aside / name).write_text(_fill(f"{name}.txt", values), encoding="utf-8")
        skeleton.template_path.parent.mkdir(exist_ok=True)
        with skeleton.template_path.open("x", encoding="utf-8") as file:
            file.write(_fill("template.yaml.txt", values))
        try:
            aside.rename(skeleton.package_dir)
        except OSError:
            skeleton.template_path.unlink()
            raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _fill(name: str, values: dict[str, str]) -> str:
    return Template((_SKELETON_DIR / name).read_text(encoding="utf-8")).substitute(values)
