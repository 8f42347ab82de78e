"""Which code this process runs."""

from __future__ import annotations

from hpcexp.errors import HpcexpError
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.snapshot import OWN_PACKAGE_DIR, read_snapshot


def describe_code(experiment: ExperimentDir) -> str:
    """The experiment's copy of the code, such as `snapshot 1f0e9d3b`, or where else it lies."""
    package_dir = OWN_PACKAGE_DIR.resolve()
    try:
        snapshot = read_snapshot(experiment)
    except HpcexpError:  # the record is damaged; what runs is what it is
        snapshot = None
    if snapshot is not None and package_dir.is_relative_to(experiment.code_dir.resolve()):
        return snapshot.label
    return f"{package_dir} (no snapshot)"
