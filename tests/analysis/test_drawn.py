from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import matplotlib as mpl
import pytest

from hpcexp.analysis import drawn, load
from hpcexp.analysis.drawn import draw_figures
from hpcexp.analysis.figures.beside import render_drawings
from hpcexp.analysis.figures.drawing import Drawing
from hpcexp.analysis.figures.media import MEDIA, SCREEN, Medium
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.status import State
from tests.analysis.builder import Fate, build_experiment, write_run

FIGURE = "success_rate"


@pytest.fixture
def experiment(tmp_path: Path) -> ExperimentDir:
    return build_experiment(tmp_path, {"rnn_width": [16, 32]}, rand_inits=2)


def draw_and_count(
    experiment: ExperimentDir, monkeypatch: pytest.MonkeyPatch, *, medium: Medium = SCREEN
) -> int:
    """How many drawings were made."""
    saved = []

    def count(drawings: Iterable[tuple[str, Drawing]]) -> Iterator[tuple[str, dict[str, bytes]]]:
        for rendered in render_drawings(drawings):
            saved.append(rendered)
            yield rendered

    with monkeypatch.context() as patch:
        patch.setattr(drawn, "render_drawings", count)
        paths = draw_figures(load(experiment), [FIGURE], medium=medium)
    assert all(path.is_file() for path in paths)
    assert {path.suffix for path in paths} >= {".pdf", ".png", ".csv"}
    return len(saved)


def test_what_has_not_changed_is_not_drawn_again(
    experiment: ExperimentDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert draw_and_count(experiment, monkeypatch) == 1
    assert draw_and_count(experiment, monkeypatch) == 0


@pytest.mark.parametrize("change", ["gone", "edited", "run", "state", "record", "medium"])
def test_what_has_changed_is_drawn_again(
    experiment: ExperimentDir, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    draw_and_count(experiment, monkeypatch)
    run_dir = experiment.run("rnn_width=16_rand_0")
    path = experiment.plots_dir / f"{FIGURE}.pdf"
    medium = SCREEN
    if change == "gone":
        path.unlink()
    elif change == "edited":
        path.write_bytes(path.read_bytes() + b"\n")
    elif change == "run":
        metrics_path = next(run_dir.path.glob("metrics.*"))
        metrics_path.unlink()
        write_run(run_dir, Fate(mse=0.1), num_epochs=20)
    elif change == "state":
        metrics = {p: (p.read_bytes(), p.stat()) for p in run_dir.path.glob("metrics.*")}
        assert metrics
        status = run_dir.status_path.read_text().replace(State.COMPLETED, State.FAILED)
        run_dir.status_path.write_text(status)
    elif change == "record":
        experiment.drawn_path("").write_text('{"success_rate": 3}')
    else:
        medium = MEDIA["paper"]
    assert draw_and_count(experiment, monkeypatch, medium=medium) == 1
    assert draw_and_count(experiment, monkeypatch, medium=medium) == 0


def test_other_settings_of_matplotlib_are_other_figures(
    experiment: ExperimentDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw_and_count(experiment, monkeypatch)
    with mpl.rc_context({"axes.linewidth": 3}):
        assert draw_and_count(experiment, monkeypatch) == 1


def test_without_a_fingerprint_everything_is_drawn(
    experiment: ExperimentDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    next(experiment.run("rnn_width=16_rand_0").path.glob("metrics.*")).write_bytes(b"damaged")
    assert draw_and_count(experiment, monkeypatch) == 1
    assert draw_and_count(experiment, monkeypatch) == 1
