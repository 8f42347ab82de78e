"""Runs that a rule stopped: what it saved, how wrong it was, and how they are shown."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from hpcexp.analysis import Results, load
from hpcexp.analysis.figures.boxplot import draw_boxplots
from hpcexp.analysis.findings import find_out
from hpcexp.analysis.findings_files import findings_to_json, make_group_table
from hpcexp.analysis.foretelling.stopped import assess_stopping, describe_stopping
from hpcexp.analysis.verdict_lines import describe_verdicts
from hpcexp.store.experiment import PlannedRun, read_plan, write_plan
from hpcexp.store.status import State
from tests.analysis.builder import Fate, build_experiment

HOUR = 3600.0


def foretell(*, is_audited: bool) -> dict[str, object]:
    return {"epoch": 5, "value": 0.9, "is_audited": is_audited}


def meet(run: PlannedRun) -> Fate:
    """Of six, two are stopped at 5 of 20 epochs after an hour; two are audited, one succeeds."""
    stopped = Fate(
        mse=0.7,
        state=State.STOPPED,
        epoch=5,
        foretold=foretell(is_audited=False),
        trained_s=HOUR,
    )
    fates = {
        0: Fate(mse=0.1, trained_s=4 * HOUR),
        1: stopped,
        2: stopped,
        3: Fate(mse=0.6, foretold=foretell(is_audited=True), trained_s=4 * HOUR),
        4: Fate(mse=0.15, foretold=foretell(is_audited=True), trained_s=4 * HOUR),
        5: Fate(mse=0.12, trained_s=4 * HOUR),
    }
    return fates[run.rand_init]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    directory = tmp_path_factory.mktemp("experiments")
    experiment = build_experiment(directory, {"lr": [0.1]}, rand_inits=6, fate=meet)
    plan = read_plan(experiment)
    write_plan(experiment, dataclasses.replace(plan, resources={"gpus": 2, "cpus": 8}))
    return load(experiment)


def test_hours_are_those_that_stopped_runs_would_have_taken_on(results: Results) -> None:
    record = assess_stopping(results)
    assert record is not None
    assert (record.num_foretold, record.num_stopped, record.num_audited) == (4, 2, 2)
    assert record.unit == "GPU"
    assert record.hours_saved == pytest.approx(2 * 2 * 3)  # 2 GPUs, 2 runs, 15 of 20 epochs
    assert record.hours_used == pytest.approx(2 * (4 * 4 + 2 * 1))
    assert record.hours_audited == pytest.approx(2 * 2 * 3)


def test_audits_say_how_often_the_rule_is_wrong(results: Results) -> None:
    record = assess_stopping(results)
    assert record is not None
    assert (record.num_audits_ended, record.num_wrong) == (2, 1)
    assert record.wrong is not None
    assert record.wrong.low < 0.5 < record.wrong.high
    lines = describe_stopping(record)
    assert lines[0].startswith("4 of 6 runs were foretold to fail: 2 stopped, which saved 12 GPU")
    assert "1 of 2 that ended succeeded after all" in lines[1]


def test_without_a_rule_there_is_nothing_to_say(tmp_path: Path) -> None:
    results = load(build_experiment(tmp_path, {"lr": [0.1]}))
    assert assess_stopping(results) is None
    assert describe_stopping(None) == []
    assert not results.runs["is_censored"].any()
    assert results.runs["foretold_epoch"].isna().all()


def test_the_frame_says_which_runs_are_censored_and_which_audited(results: Results) -> None:
    runs = results.runs
    assert runs["is_censored"].tolist() == [False, True, True, False, False, False]
    assert runs["is_audited"].tolist() == [False, False, False, True, True, False]
    assert runs["foretold_epoch"].dropna().tolist() == [5] * 4
    assert runs["success"].tolist() == [True, False, False, False, True, True]


def test_plot_and_its_files_say_it(results: Results) -> None:
    findings = find_out(results)
    said = [line for line in describe_verdicts(findings) if line.startswith("foretold")]
    assert len(said) == 3
    assert "censored" in said[2]
    assert make_group_table(findings)["num_censored"].tolist() == [2]
    assert findings_to_json(findings)["stopping"]["num_wrong"] == 1


def test_a_boxplot_marks_censored_runs(results: Results) -> None:
    drawing = next(iter(draw_boxplots(results)))
    (ax,) = drawing.figure.axes
    (marks,) = [c for c in ax.collections if c.get_gid() == "censored"]
    heights = np.asarray(marks.get_offsets())[:, 1]
    assert heights.tolist() == pytest.approx([0.7, 0.7])
    (label,) = [t.get_text() for t in ax.get_xticklabels()]
    assert "2 foretold" in label
    texts = " ".join(text.get_text() for text in drawing.figure.texts)
    assert "stopped as a foretold failure" in texts.replace("\n", " ")
