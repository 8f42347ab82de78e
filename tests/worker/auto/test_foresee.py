"""What a dry run says of packing: from shapes, and without leaving anything behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hpcexp.cli.packing_view import PROBE, describe_auto
from hpcexp.launch.plan import make_plan
from hpcexp.template import Resources, load_template
from hpcexp.worker.auto.foresee import PROCESS_BYTES, foresee_memory
from tests.train.conftest import TINY


def describe(tmp_path: Path, text: str, **resources: Any) -> list[str]:
    path = tmp_path / "t.yaml"
    path.write_text(text)
    plan = make_plan(load_template(path))
    names = [run.name for run in plan.runs]
    return describe_auto(plan, [names], Resources(packing="auto", **resources))


def test_memory_is_that_of_the_process_the_data_and_each_lane(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HPCEXP_CACHE_DIR", str(tmp_path / "cache"))
    foreseen = foresee_memory("sps", TINY, num_runs=4, mem_gb=4, gpus=0)
    frames = 28 * 7  # sequences of both splits, frames of each
    data_bytes = frames * (3 * 8 * 8 + 4 * 3)
    assert foreseen.line.base_bytes == pytest.approx(PROCESS_BYTES + data_bytes, rel=1e-3)
    assert 1e5 < foreseen.line.lane_bytes < 1e6
    assert foreseen.num_fitting == 4
    assert not (tmp_path / "cache").exists()


def test_the_largest_job_is_described(tmp_path: Path) -> None:
    text = f"workload: sps\nparams: {TINY}\ngrid: {{lr: [0.1]}}\nrand_inits: 3\n"
    needed, probed = describe(tmp_path, text, mem_gb=1)
    assert needed.startswith("packing       auto: 3 lanes of lr=0.1 would need about 526 MB (52")
    assert probed.strip() == PROBE


def test_one_run_leaves_nothing_to_choose(tmp_path: Path) -> None:
    (line,) = describe(tmp_path, "workload: sps\ngrid: {lr: [0.1]}\n")
    assert line.endswith("no job has two runs, so there is nothing to choose")


def test_what_cannot_be_lanes_says_so(tmp_path: Path) -> None:
    text = "workload: multitask\nparams: {combine: pcgrad}\ngrid: {lr: [0.1]}\nrand_inits: 2\n"
    (line,) = describe(tmp_path, text)
    assert line == (
        "packing       auto: in processes (combine pcgrad cannot be mapped over lanes); "
        f"{PROBE} how many"
    )
