from __future__ import annotations

from pathlib import Path

import pytest

from hpcexp.analysis.frames import load
from hpcexp.analysis.sampled import SampleTable, make_sample_table
from hpcexp.analysis.sampled.importance import measure_importance
from tests.analysis.sampling import build_sampled


@pytest.fixture(autouse=True)
def few_forests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hpcexp.analysis.sampled.importance.NUM_RESAMPLES", 12)


def test_the_axis_that_matters_is_first_and_stands_out(table: SampleTable) -> None:
    found = measure_importance(table, seed=0)
    assert found is not None
    assert found.axes[0].axis == "lr"
    assert found.axes[0].low > max(axis.high for axis in found.axes[1:])
    assert found.problem == ""
    assert found.explained[1] > 0


def test_the_same_seed_repeats_and_another_differs(table: SampleTable) -> None:
    assert measure_importance(table, seed=0) == measure_importance(table, seed=0)
    assert measure_importance(table, seed=0) != measure_importance(table, seed=1)


def test_noise_supports_no_ranking(tmp_path: Path) -> None:
    noise = make_sample_table(
        load(build_sampled(tmp_path, count=32, score=lambda _: 0.3, noise=0.1))
    )
    found = measure_importance(noise, seed=0)
    assert found is not None
    assert found.problem.startswith("no ranking is supported")


def test_few_samples_are_not_asked(tmp_path: Path) -> None:
    assert (
        measure_importance(make_sample_table(load(build_sampled(tmp_path, count=8))), seed=0)
        is None
    )
