"""The cluster guide, typed on a real Slurm."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.snippets import PROJECT_DIR, make_place, read_snippets, run_snippet
from tests.slurm_cluster.cluster import SlurmCluster

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(300)]


def test_the_commands_of_the_cluster_guide_work(
    slurm_cluster: SlurmCluster, tmp_path: Path
) -> None:
    slurm_cluster.reset()
    place = make_place(tmp_path)
    snippets = read_snippets(PROJECT_DIR / "docs" / "cluster-guide.md")
    assert len(snippets) >= 8
    for snippet in snippets:
        run_snippet(snippet, directory=place, env=dict(slurm_cluster.env))
        if snippet.text.startswith("hpcexp launch") and "--dry-run" not in snippet.text:
            slurm_cluster.wait_until_idle(timeout_s=120)
    slurm_cluster.wait_until_idle(timeout_s=120)
