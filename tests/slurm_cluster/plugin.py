"""The cluster as a pytest fixture: pytest_plugins = ["tests.slurm_cluster.plugin"]."""

import os
from collections.abc import Generator, Iterator

import pytest

from tests.slurm_cluster.cluster import SlurmCluster
from tests.slurm_cluster.programs import find_missing_programs

MARKER = "slurm"


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker of the tests that need a cluster."""
    config.addinivalue_line("markers", f"{MARKER}: needs a real Slurm (make test-cluster)")


@pytest.fixture(scope="session")
def slurm_cluster() -> Iterator[SlurmCluster]:
    """A running cluster, one for the whole session.

    Skips where it cannot run; fails there in CI, where nobody would notice that it is skipped.
    """
    obstacle = find_obstacle()
    if obstacle is not None and os.environ.get("CI") == "true":
        pytest.fail(
            f"no Slurm cluster in CI: {obstacle}; run .ci/install-slurm --yes", pytrace=False
        )
    if obstacle is not None:
        pytest.skip(f"no Slurm cluster: {obstacle}")
    with SlurmCluster() as cluster:
        yield cluster


def find_obstacle() -> str | None:
    """Why no cluster can run here, or None."""
    missing = find_missing_programs()
    if missing:
        return f"missing programs: {', '.join(missing)}"
    if os.geteuid() != 0:
        return "not root"
    return None


# The outermost wrapper, so that this comes after pytest's own summary.
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter,
) -> Generator[None, object, object]:
    """Say at the end which part of the suite did not run, and how to run it."""
    result = yield
    skipped = [
        report
        for report in terminalreporter.getreports("skipped")
        if MARKER in getattr(report, "keywords", ())
    ]
    if skipped:
        terminalreporter.write_line(
            f"{len(skipped)} tests on a real Slurm (marker {MARKER}) were skipped; "
            "to run them on this machine: make test-cluster",
            yellow=True,
        )
    return result
