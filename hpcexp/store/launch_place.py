"""Where an experiment was launched, and where its code of that moment is now."""

from __future__ import annotations

from pathlib import Path

from hpcexp.store.files import read_json
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.snapshot import read_snapshot


def read_launch_dir(experiment: ExperimentDir) -> Path:
    """The directory where `launch` was typed.

    Raises HpcexpError where nobody noted it.
    """
    provenance = read_json(experiment.provenance_dir / "provenance.json")
    return Path(str(provenance["working_dir"]))


def find_launch_copy(experiment: ExperimentDir) -> Path:
    """That directory in the copy of the code, if it is there; else itself."""
    launch_dir = read_launch_dir(experiment)
    snapshot = read_snapshot(experiment)
    for root in snapshot.roots if snapshot is not None else ():
        if root.copy is not None and Path(root.path) == launch_dir:
            return (experiment.code_dir / root.copy).absolute()
    return launch_dir
