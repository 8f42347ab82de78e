"""The page of a sampled experiment: what samples say is along their axes."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from hpcexp.analysis.findings import find_out
from hpcexp.analysis.frames import load
from hpcexp.analysis.report.circumstances import Circumstances
from hpcexp.analysis.report.content import collect_report
from hpcexp.analysis.report.render import render_report
from hpcexp.analysis.report.samples import collect_samples
from tests.analysis.builder import build_experiment
from tests.analysis.sampling import build_sampled


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    experiment = build_sampled(tmp_path_factory.mktemp("page"), count=8)
    return render_report(collect_report(experiment, Circumstances(statuses={})))


def test_figures_stand_on_the_page_as_pictures_with_words(page: str) -> None:
    assert page.count('<img class="paper" src="data:image/svg+xml;base64,') == 2
    assert 'alt="Each axis against the metric"' in page
    assert "Circles: the best five" in page


def test_no_box_and_no_pair_is_shown_of_single_samples(page: str) -> None:
    assert 'id="boxplot"' not in page
    assert 'id="pairs"' not in page
    assert "No two groups have results" not in page


def test_axes_are_told_by_their_distributions(page: str) -> None:
    for words in (
        "1e-05 to 0.1 (log_uniform)",
        "8 to 64 (integer)",
        "adam, sgd",
        "0 to 0.1 (uniform), if optimizer is sgd",
    ):
        assert f'<span class="value">{words}</span>' in page


def test_the_best_are_a_table_with_their_values(page: str) -> None:
    table = page.split("The best samples, better than they would be again")[1].split("</table>")[0]
    assert table.count("<tr>") == 1 + 5
    assert "best of 8" in table


def test_the_same_results_give_the_same_pictures(tmp_path: Path) -> None:
    results = load(build_sampled(tmp_path, count=8))
    one, other = (collect_samples(results, find_out(results)) for _ in range(2))
    assert one is not None
    assert one == other
    svg = base64.b64decode(one.figures[0].address.partition(",")[2]).decode()
    assert "<svg" in svg
    assert "<dc:date>" not in svg


def test_a_grid_has_no_such_section(tmp_path: Path) -> None:
    results = load(build_experiment(tmp_path, {"rnn_width": [4, 6]}, num_epochs=1))
    assert collect_samples(results, find_out(results)) is None
