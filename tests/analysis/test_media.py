"""Figures for a screen, a paper and slides: sizes, and words that never overlap."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from hpcexp.analysis import Results, load
from hpcexp.analysis.figures import FIGURES
from hpcexp.analysis.figures.drawing import Drawing, collect_text
from hpcexp.analysis.figures.fonts import using_fonts_for
from hpcexp.analysis.figures.media import MEDIA, PAPER, SCREEN, SLIDES, Medium
from hpcexp.analysis.figures.page import PNG_DPI
from hpcexp.analysis.figures.units import name_axis
from hpcexp.analysis.plot import plot_experiment
from hpcexp.store.experiment import PlannedRun
from hpcexp.store.status import State
from tests.analysis.builder import MSE, Fate, build_experiment

GRIDS: dict[int, dict[str, list[Any]]] = {
    2: {"encoder_batch_norm": [True, False]},
    6: {"lr": [1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3]},
    30: {"batch_size": [2**i for i in range(6)], "symmetry.kind": ["translation_and_rotation",
         "translation", "rotation", "in_turn", "none"]},
}  # fmt: skip
QUESTION = "does the learning rate matter, or does the size of the batches? 小さいバッチは良いか"


def meet_fate(run: PlannedRun) -> Fate:
    seed = sum(map(ord, run.name))
    if seed % 11 == 0:
        return Fate(state=State.DIVERGED, epoch=5, reason="loss is NaN")
    return Fate(mse=0.05 + seed % 13 / 10, loss=0.001 * 3.0 ** (seed % 7))


@pytest.fixture(scope="module", params=GRIDS)
def results(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Results:
    directory = tmp_path_factory.mktemp("experiments")
    grid = GRIDS[request.param]
    return load(build_experiment(directory, grid, rand_inits=3, fate=meet_fate, question=QUESTION))


def draw_all(results: Results, medium: Medium) -> Iterator[Drawing]:
    """Of each kind up to three figures: boxplots of more losses are alike."""
    with using_fonts_for(collect_text(results.plan, results.group_axis)):
        for draw in FIGURES.values():
            yield from itertools.islice(draw(results, medium=medium), 3)


def list_texts(figure: Figure) -> list[Text]:
    """All that is written; of ticks only those within the axes."""
    figure.draw(RendererAgg(1, 1, PNG_DPI))  # type: ignore[no-untyped-call]
    texts = [t for t in figure.findobj(Text) if isinstance(t, Text) and t.get_text().strip()]
    hidden = {id(t) for ax in figure.axes for t in _list_hidden_ticks(ax)}
    return [t for t in texts if t.get_visible() and id(t) not in hidden]


def _list_hidden_ticks(ax: Axes) -> Iterator[Text]:
    for axis in (ax.xaxis, ax.yaxis):
        low, high = sorted(axis.get_view_interval())
        span = 1e-9 * (high - low)
        for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
            if not low - span <= tick.get_loc() <= high + span:
                yield from (tick.label1, tick.label2)


def check_size(figure: Figure, medium: Medium) -> None:
    """Columns of a page, 16 to 9, or as it comes."""
    width, height = figure.get_size_inches()
    if medium is PAPER:
        assert width in (3.5, 7.16)
        assert height < 6
    elif medium is SLIDES:
        assert height / width == pytest.approx(9 / 16)


@pytest.mark.parametrize("medium", MEDIA.values(), ids=MEDIA)
def test_sizes_are_kept_and_no_word_overlaps_another_or_leaves_the_figure(
    results: Results, medium: Medium
) -> None:
    renderer = RendererAgg(1, 1, PNG_DPI)  # type: ignore[no-untyped-call]
    for drawing in draw_all(results, medium):
        check_size(drawing.figure, medium)
        page = drawing.figure.bbox
        boxes = [(t.get_text(), t.get_window_extent(renderer)) for t in list_texts(drawing.figure)]
        for text, box in boxes:
            assert box.x0 >= page.x0 - 1, (drawing.stem, text)
            assert box.y0 >= page.y0 - 1, (drawing.stem, text)
            assert box.x1 <= page.x1 + 1, (drawing.stem, text)
            assert box.y1 <= page.y1 + 1, (drawing.stem, text)
        for (a, first), (b, second) in itertools.combinations(boxes, 2):
            shared_x = min(first.x1, second.x1) - max(first.x0, second.x0)
            shared_y = min(first.y1, second.y1) - max(first.y0, second.y0)
            assert min(shared_x, shared_y) <= 2.5, (drawing.stem, a, b)  # pixels


def test_a_figure_of_a_paper_has_its_words_beside_it(results: Results) -> None:
    screen, paper = (next(draw_all(results, medium)) for medium in (SCREEN, PAPER))
    assert paper.caption.startswith(QUESTION)
    assert "quartiles and median" in paper.caption
    assert screen.caption == ""
    assert not any("whiskers" in t.get_text() for t in list_texts(paper.figure))


def test_files_for_a_paper_lie_in_a_folder_of_their_own(tmp_path: Path) -> None:
    experiment = build_experiment(tmp_path, {}, rand_inits=2)
    report = plot_experiment(experiment, figures=["success_rate"], medium=PAPER)
    assert report.directory == experiment.plots_dir / "paper"
    assert sorted(path.name for path in report.directory.iterdir()) == [
        "success_rate.csv", "success_rate.pdf", "success_rate.png", "success_rate.txt",
    ]  # fmt: skip


def test_axes_name_units_where_there_are_any() -> None:
    named = name_axis("linear projection MSE (validation)", MSE).replace("\xa0", " ")
    assert named == "linear projection MSE [share of variance]"
    assert name_axis("x", f"{MSE}.x").endswith("variance]")
    assert name_axis("loss", "loss") == "loss"


def test_without_a_question_the_headline_says_what_was_varied(tmp_path: Path) -> None:
    experiment = build_experiment(tmp_path, {"lr": [1, 2]}, rand_inits=2, question="")
    drawing = next(draw_all(load(experiment), SCREEN))
    assert any(t.get_text() == "xj_test: lr" for t in list_texts(drawing.figure))
