"""Pictures that a run makes of itself while it trains."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from hpcexp.store.layout import RunDir
from hpcexp.store.metrics import read_metrics
from hpcexp.store.ownership import acquire
from hpcexp.store.status import State
from hpcexp.worker.inspection import training
from hpcexp.worker.inspection.parameters import load_run_workload
from hpcexp.worker.inspection.training import make_training_inspector
from hpcexp.worker.inspection.write import render_findings
from tests.worker.conftest import assert_equal_runs, make_run, supersede, train_here

pytestmark = pytest.mark.usefixtures("quick_animations")

DECODER: dict[str, Any] = {"every": 1, "kinds": ["decoder"]}


def list_epochs(run_dir: RunDir, kind: str = "decoder") -> list[int]:
    return list(run_dir.list_inspections(kind))


def test_a_run_shows_itself_every_so_many_epochs(tmp_path: Path) -> None:
    run_dir = make_run(tmp_path, inspect={**DECODER, "every": 2})
    assert train_here(run_dir).state == State.COMPLETED
    assert list_epochs(run_dir) == [2, 4, 6]
    assert [path.name for path in run_dir.list_inspections("decoder")[4]] == [
        "decoder_epoch_000004_animation.gif",
        "decoder_epoch_000004_grid.png",
        "decoder_epoch_000004_latents.csv",
    ]


def test_the_first_and_the_newest_are_kept(tmp_path: Path) -> None:
    run_dir = make_run(tmp_path, inspect={**DECODER, "keep": 2})
    train_here(run_dir)
    assert list_epochs(run_dir) == [1, 5, 6]


def test_without_a_wish_nothing_is_made(tmp_path: Path) -> None:
    run_dir = make_run(tmp_path)
    train_here(run_dir)
    assert not run_dir.inspection_dir.exists()


def test_looking_changes_no_number(tmp_path: Path) -> None:
    kinds = ["encoder", "decoder", "trajectory", "prediction"]
    looked = make_run(tmp_path / "a", inspect={"every": 3, "kinds": kinds})
    plain = make_run(tmp_path / "b")
    train_here(looked)
    train_here(plain)
    assert_equal_runs(looked, plain)
    assert all(list_epochs(looked, kind) == [3, 6] for kind in kinds)


def test_the_numbers_of_the_encoder_are_written_beside_its_table(tmp_path: Path) -> None:
    run_dir = make_run(tmp_path, inspect={"every": 6, "kinds": ["encoder"]})
    train_here(run_dir)
    path = run_dir.inspection_path("encoder", epoch=6, part="numbers", suffix="csv")
    header, values = path.read_text().splitlines()
    numbers = dict(zip(header.split(","), values.split(","), strict=True))
    assert numbers["num_sequences"] == "64"
    assert 0 <= float(numbers["linear_projection_mse"]) <= 1


def test_a_failure_is_logged_and_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(training, "write_bytes", fail)
    run_dir = make_run(tmp_path, inspect=DECODER)
    with caplog.at_level(logging.ERROR):
        assert train_here(run_dir).state == State.COMPLETED
    assert "looking into the model at epoch 1 failed" in caplog.text
    assert "No space left on device" in caplog.text
    assert read_metrics(run_dir.path).epoch.max() == 6


def test_a_superseded_attempt_writes_nothing_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_dir = make_run(tmp_path, inspect=DECODER)

    def render_and_lose(*arguments: Any, **options: Any) -> dict[Path, bytes]:
        contents = render_findings(*arguments, **options)
        supersede(run_dir)
        return contents

    monkeypatch.setattr(training, "render_findings", render_and_lose)
    train_here(run_dir)
    assert not run_dir.inspection_dir.exists()


def test_an_inspector_is_made_only_where_it_is_wanted(tmp_path: Path) -> None:
    plain, wanted = make_run(tmp_path / "a"), make_run(tmp_path / "b", inspect=DECODER)
    assert make_training_inspector(load_run_workload(plain), acquire(plain)) is None
    assert make_training_inspector(load_run_workload(wanted), acquire(wanted)) is not None
