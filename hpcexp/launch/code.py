"""Which code the jobs of an experiment run: the copy that was made at launch."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from importlib import metadata, util
from pathlib import Path

from hpcexp.errors import HpcexpError
from hpcexp.launch.executor import spell_count
from hpcexp.site import find_experiments_dir
from hpcexp.store.code_tree import spell_bytes
from hpcexp.store.further_code import TREES
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.snapshot import (
    OWN_PACKAGE_DIR,
    PACKAGE,
    Root,
    SnapshotPlan,
    plan_snapshot,
    read_snapshot,
)
from hpcexp.workloads.own.places import is_installed, list_needed

MAX_LEFT_OUT_SHOWN = 3


def plan_code(experiments_dir: Path) -> SnapshotPlan:
    """What a launch in this directory, with this Python, would copy; nothing is copied yet.

    Besides the tree of this directory, that of a laboratory's workload which was loaded, and
    what its template names.
    """
    return plan_snapshot(
        Path.cwd(),
        package_dir=OWN_PACKAGE_DIR,
        python_path=list(_list_python_path()),
        exclude=[experiments_dir, find_experiments_dir()],
        further=list_needed(),
    )


def list_further_trees() -> list[Path]:
    """Directories whose git trees belong to a launch besides that of the working directory."""
    own = [] if is_installed(OWN_PACKAGE_DIR) else [OWN_PACKAGE_DIR]
    return [*own, *(place.path for place in list_needed())]


def _list_python_path() -> Iterator[Path]:
    """Where this process finds modules, without `python -m`'s working directory."""
    for entry in sys.path:
        if entry:
            yield Path(entry)
    for distribution in metadata.distributions():
        if _is_editable(distribution):
            yield from _find_editable(distribution)


def _is_editable(distribution: metadata.Distribution) -> bool:
    """Whether an installation only points to its source, as `pip install -e` leaves it."""
    text = distribution.read_text("direct_url.json")
    return bool(text and json.loads(text).get("dir_info", {}).get("editable"))


def _find_editable(distribution: metadata.Distribution) -> Iterator[Path]:
    """Directories of modules that are found by a hook, and by no entry of `sys.path`."""
    for name in (distribution.read_text("top_level.txt") or "").split():
        spec = util.find_spec(name)
        if spec is not None and spec.origin is not None:
            is_package = spec.submodule_search_locations is not None
            yield Path(spec.origin).parents[1 if is_package else 0]


def describe_plan(plan: SnapshotPlan) -> str:
    """What would be copied, in a line for people."""
    size = f"{spell_count(len(plan.sources), 'file')}, {spell_bytes(plan.num_bytes)}"
    places = [str(plan.tree.top_dir)] if plan.tree is not None else []
    places += [further.path for further in plan.further.records if further.copy is not None]
    if plan.package_dir is not None:
        places.append(str(plan.package_dir) if places else "hpcexp itself")
    changes = [plan.tree.num_changes] if plan.tree is not None else []
    changes += [x.num_changes for x in plan.further.records if (x.copy or "").startswith(TREES)]
    counted = f", {spell_count(sum(changes), 'uncommitted change')}" if changes else ""
    return f"{size} of {' and of '.join(places)}{counted}"


def list_warnings(experiment: ExperimentDir) -> list[str]:
    """What a user should know of the code that the jobs will run."""
    snapshot = read_snapshot(experiment)
    if snapshot is None:
        return []
    problems = [snapshot.problem, *(further.problem for further in snapshot.further)]
    warnings = [problem for problem in problems if problem]
    if not _can_be_imported(experiment):
        warnings.append(
            f"the path of the experiment holds a {os.pathsep!r}, which Python cannot import from: "
            "jobs run the code as it is when they begin"
        )
    named = [f"{x.path} ({x.why})" for x in snapshot.left_out[:MAX_LEFT_OUT_SHOWN]]
    if named:
        rest = snapshot.num_left_out - len(named)
        more = f" and {rest} more, see {experiment.snapshot_path}" if rest else ""
        warnings.append(f"not copied for the jobs: {', '.join(named)}{more}")
    return warnings


def make_python_command(
    experiment: ExperimentDir,
    module: str,
    *arguments: str,
    python: Sequence[str] = (sys.executable,),
) -> list[str]:
    """A command that runs a module of hpcexp with the experiment's code.

    It needs `worker_environment`. Without a copy, the code is what it is when the job begins.
    """
    # -P: the working directory, which may hold today's code, does not come first.
    # -B: no bytecode is written into the copy.
    flags = ["-P", "-B"] if _find_roots(experiment) else []
    return [*python, *flags, "-u", "-m", module, *arguments]


def worker_environment(experiment: ExperimentDir) -> dict[str, str]:
    """Variables with which a process imports modules from the experiment's copy of the code.

    They come on top of this process's own; none where there is no copy.
    """
    roots = _find_roots(experiment)
    if not roots:
        return {}
    replaced = {os.path.realpath(root.path) for root in roots if root.is_whole}
    given = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    kept = [entry for entry in given if os.path.realpath(entry) not in replaced]
    path = [*_list_copies(experiment, roots), *kept, *_list_live(roots)]
    return {"PYTHONPATH": os.pathsep.join(dict.fromkeys(path))}


def make_shell_lines(experiment: ExperimentDir) -> list[str]:
    """`worker_environment` for a batch script, whose own PYTHONPATH may come from a module.

    For an experiment that is not made yet: what launch would write now.
    """
    roots = _find_roots(experiment)
    if not roots:
        return []
    # A colon cannot be quoted in PYTHONPATH; `_find_roots` saw to it that there is none.
    before = os.pathsep.join(_list_copies(experiment, roots))
    after = "".join(f"{os.pathsep}{path}" for path in _list_live(roots))
    given = f"${{PYTHONPATH:+{os.pathsep}$PYTHONPATH}}"
    return [
        f'export PYTHONPATH={shlex.quote(before)}"{given}"{shlex.quote(after) if after else ""}'
    ]


def list_code_dirs(experiment: ExperimentDir) -> list[Path]:
    """Where the jobs of an experiment import modules from, but for hpcexp itself.

    None where its code is somebody else's: it would be run by who only looks at the experiment.
    """
    if not _is_trusted(experiment.code_dir):
        return []
    try:
        snapshot = read_snapshot(experiment)
    except HpcexpError:  # the record is damaged: only what is elsewhere can be found
        snapshot = None
    roots = [r for r in (snapshot.roots if snapshot else ()) if r.copy != PACKAGE]
    places = [
        Path(root.path) if root.copy is None else experiment.code_dir.absolute() / root.copy
        for root in roots
    ]
    return [place for place in dict.fromkeys(places) if place.is_dir()]


def _is_trusted(directory: Path) -> bool:
    try:
        return directory.stat().st_uid in (os.getuid(), 0)
    except OSError:
        return False


def _find_roots(experiment: ExperimentDir) -> tuple[Root, ...]:
    """Where modules come from; none where the experiment has no copy of the code."""
    if not _can_be_imported(experiment):
        return ()
    if not experiment.path.exists():
        return plan_code(experiment.path.parent).roots
    snapshot = read_snapshot(experiment)
    return () if snapshot is None else snapshot.roots


def _can_be_imported(experiment: ExperimentDir) -> bool:
    return os.pathsep not in str(experiment.path.absolute())


def _list_copies(experiment: ExperimentDir, roots: tuple[Root, ...]) -> list[str]:
    # Not resolved through symlinks: compute nodes may mount a file system elsewhere.
    code_dir = os.path.abspath(experiment.code_dir)  # noqa: PTH100
    places = dict.fromkeys(root.copy for root in roots if root.copy is not None)
    return [os.path.normpath(f"{code_dir}/{place}") for place in places]


def list_live_dirs(experiment: ExperimentDir) -> list[str]:
    """Directories whose modules the jobs import from where they are."""
    return _list_live(_find_roots(experiment))


def _list_live(roots: tuple[Root, ...]) -> list[str]:
    """Directories that are imported from though they could not be copied."""
    return [root.path for root in roots if root.copy is None and os.pathsep not in root.path]
