from __future__ import annotations

import errno
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hpcexp.analysis.figures import FIGURES
from hpcexp.analysis.figures.fonts import find_uncovered
from hpcexp.analysis.plot import plot_experiment
from hpcexp.errors import HpcexpError, UsageError
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.status import State
from tests.analysis.builder import MSE, Fate, build_experiment
from tests.analysis.conftest import meet_mixed_fate


@pytest.fixture
def experiment(tmp_path: Path) -> ExperimentDir:
    return build_experiment(
        tmp_path, {"rnn_width": [16, 256, 32]}, rand_inits=4, fate=meet_mixed_fate
    )


def test_every_figure_is_written_as_pdf_png_and_table(experiment: ExperimentDir) -> None:
    report = plot_experiment(experiment)
    stems = [MSE, "final_loss", "success_rate", f"{MSE}_curves", "loss_curves"]
    names = {path.name for path in report.written}
    assert {f"{stem}.{suffix}" for stem in stems for suffix in ("pdf", "png", "csv")} <= names
    tables = {path.name for path in report.tables}
    assert tables == {"statistics.json", "statistics_groups.csv", "statistics_pairs.csv"}
    found = {path.name for path in experiment.plots_dir.iterdir()}
    assert found == names | tables | {".cache"}  # nothing left aside
    assert len(report.written) == 27


def test_fonts_are_embedded_as_true_type(experiment: ExperimentDir) -> None:
    plot_experiment(experiment, figures=["success_rate"])
    content = (experiment.plots_dir / "success_rate.pdf").read_bytes()
    assert content.startswith(b"%PDF")
    assert b"/FontFile2" in content
    assert b"/Type3" not in content


def test_pictures_have_150_pixels_per_inch(experiment: ExperimentDir) -> None:
    plot_experiment(experiment, figures=["success_rate"])
    content = (experiment.plots_dir / "success_rate.png").read_bytes()
    place = content.index(b"pHYs") + 4
    assert round(int.from_bytes(content[place : place + 4], "big") * 0.0254) == 150  # per metre


def test_the_table_beside_the_boxes_holds_every_planned_run(experiment: ExperimentDir) -> None:
    plot_experiment(experiment, figures=["boxplots"])
    table = pd.read_csv(experiment.plots_dir / f"{MSE}.csv").set_index("run")
    assert len(table) == 12
    assert table.loc["rnn_width=16_rand_0", "value"] == pytest.approx(0.1)
    assert table.loc["rnn_width=16_rand_3", "value"] == np.inf
    assert table.loc["rnn_width=256_rand_2", "value"] == pytest.approx(0.7)
    assert table["is_final"].sum() == 6
    assert table["value"].isna()["rnn_width=256_rand_3"]
    assert (table["params.rnn_width"] == [16] * 4 + [256] * 4 + [32] * 4).all()


def test_the_table_beside_the_rates_is_the_summary(experiment: ExperimentDir) -> None:
    report = plot_experiment(experiment, figures=["success_rate"])
    table = pd.read_csv(experiment.plots_dir / "success_rate.csv")
    pd.testing.assert_frame_equal(table, report.summary.to_frame(), check_dtype=False)


def test_drawing_again_gives_the_same_bytes(experiment: ExperimentDir) -> None:
    first = {p: p.read_bytes() for p in plot_experiment(experiment, figures=["boxplots"]).written}
    shutil.rmtree(experiment.plots_dir)
    again = {p: p.read_bytes() for p in plot_experiment(experiment, figures=["boxplots"]).written}
    assert first == again


def test_an_experiment_without_records_is_an_error_that_says_where_to_look(tmp_path: Path) -> None:
    experiment = build_experiment(tmp_path, {}, fate=lambda _: Fate(state=State.PENDING))
    with pytest.raises(HpcexpError, match=r"nothing|anything yet \(3 pending\)") as caught:
        plot_experiment(experiment)
    assert f"hpcexp status {experiment.name}" in str(caught.value)
    assert caught.value.exit_code == 1
    assert not experiment.plots_dir.exists()


def test_what_has_no_data_is_not_drawn(tmp_path: Path) -> None:
    experiment = build_experiment(tmp_path, {}, fate=lambda _: Fate(state=State.RUNNING, epoch=0))
    names = {path.stem for path in plot_experiment(experiment).written}
    assert MSE in names
    assert "success_rate" not in names
    assert f"{MSE}_curves" not in names  # a point each is no line


def test_one_run_is_enough(tmp_path: Path) -> None:
    report = plot_experiment(build_experiment(tmp_path, {}, rand_inits=1))
    assert len(report.written) == 27
    assert report.summary.groups[0].final.n == 1


def test_an_unknown_figure_is_answered_with_those_there_are(experiment: ExperimentDir) -> None:
    with pytest.raises(UsageError, match=re.escape(f"there are: {', '.join(FIGURES)}")):
        plot_experiment(experiment, figures=["pie"])


def test_a_write_that_fails_leaves_the_old_figure(
    experiment: ExperimentDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    plot_experiment(experiment, figures=["success_rate"])
    path = experiment.plots_dir / "success_rate.pdf"
    old = path.read_bytes()
    shutil.rmtree(experiment.plots_cache_dir)  # so that it is drawn again

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "disk full")

    monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises(OSError, match="disk full"):
        plot_experiment(experiment, figures=["success_rate"])
    assert path.read_bytes() == old
    assert not [p for p in experiment.plots_dir.iterdir() if p.name.startswith(".")]


def test_drawing_touches_no_global_state_and_imports_neither_pyplot_nor_torch() -> None:
    program = (
        "import sys, hpcexp.analysis.plot;"
        "bad = {'matplotlib.pyplot', 'seaborn', 'torch', 'scipy'} & set(sys.modules);"
        "assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)


def test_a_question_in_another_script_is_drawn_without_a_warning(tmp_path: Path) -> None:
    question = "小さいバッチは良いか"
    experiment = build_experiment(tmp_path, {}, rand_inits=1, question=question)
    assert plot_experiment(experiment, figures=["success_rate"]).written
    fonts = (experiment.plots_dir / "success_rate.pdf").read_bytes().count(b"/FontFile2")
    if not find_uncovered(question):
        assert fonts >= 2  # no boxes: fonts of this system that have these letters
