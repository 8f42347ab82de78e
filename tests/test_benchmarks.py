"""Benchmarks are kept alive at a tiny size; no time is asserted."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

# Chaos needs a cluster, and has a short run of its own in tests/chaos.
NEEDS_A_CLUSTER = ("chaos",)
BENCHMARKS = sorted(
    path
    for path in (Path(__file__).parents[1] / "benchmarks").glob("*.py")
    if path.stem not in NEEDS_A_CLUSTER
)


@pytest.mark.parametrize("script", BENCHMARKS, ids=lambda path: path.stem)
def test_a_benchmark_runs_and_prints_a_table(script: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(script), "--smoke"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(done.stdout.strip().splitlines()) >= 3
    assert list(tmp_path.iterdir()) == []
