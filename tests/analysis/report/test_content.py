"""What a report says, as data: from an experiment in many states."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from hpcexp.analysis.frames import Results, load
from hpcexp.analysis.report.box_data import collect_boxes, collect_runs
from hpcexp.analysis.report.circumstances import Accounted, Circumstances, TroubledRun
from hpcexp.analysis.report.content import collect_report
from hpcexp.analysis.report.curve_data import collect_curves
from hpcexp.analysis.report.numbers import shorten
from hpcexp.analysis.report.render import encode_data, render_report
from hpcexp.analysis.report.tables import MAX_RUNS, spell_runs_needed
from hpcexp.analysis.report.usage import measure_usage
from hpcexp.analysis.statistics.power import SampleSizes
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.status import RunStatus, State
from tests.analysis.builder import MSE, Fate, build_experiment

NOTHING = Circumstances(statuses={})


def test_numbers_are_short_and_json() -> None:
    assert [shorten(v) for v in (0.123456, 2.0, 123456.7, -0.0001234567)] == [
        0.1235, 2, 123500, -0.0001235,
    ]  # fmt: skip
    assert [shorten(v) for v in (float("nan"), float("inf"), -float("inf"))] == [
        None, "inf", "-inf",
    ]  # fmt: skip


def test_no_text_can_end_the_element_that_holds_the_data() -> None:
    text = encode_data({"name": "</script><script>alert(1)</script>\u2028"})
    assert "<" not in text
    assert json.loads(text)["name"].startswith("</script>")


def test_boxes_are_of_finished_runs_and_points_of_all(mixed_results: Results) -> None:
    (first, *others) = collect_boxes(mixed_results)
    assert (first["name"], first["cap"], first["threshold"]) == (MSE, 1.0, 0.2)
    assert [box["n"] for box in first["boxes"]] == [4, 0, 2]  # 16, 32, 256
    assert first["boxes"][0]["quantiles"][2:] == [0.225, "inf", "inf"]
    runs = collect_runs(mixed_results)
    values = dict(zip(runs["name"], first["values"], strict=True))
    assert values["rnn_width=16_rand_3"] == "inf"
    assert values["rnn_width=256_rand_2"] == pytest.approx(0.7, abs=0.1)
    assert values["rnn_width=32_rand_0"] is None
    assert sum(first["final"]) == 6
    assert others[0]["name"] == "loss"


def test_curves_have_medians_of_groups_and_single_runs(mixed_results: Results) -> None:
    curves = collect_curves(mixed_results)
    assert curves[0]["title"] == "linear projection MSE (validation)"
    assert curves[1]["title"] == "loss, weighted sum of its terms (validation)"
    assert len(curves[0]["groups"]) == 3
    assert len(curves[0]["runs"]) == 8
    assert sum(run["diverged"] for run in curves[0]["runs"]) == 1
    assert len(curves[0]["epoch"]) == len(curves[0]["groups"][0]["median"]) == 21


def test_quartiles_of_curves_are_those_of_numpy(mixed_results: Results) -> None:
    from hpcexp.analysis.curves import average_curves
    from hpcexp.analysis.report.curve_data import _take_quartiles

    curves = average_curves(mixed_results, metric=MSE, split="validate", window=1)
    group = curves.select("rnn_width=16")
    low, high = _take_quartiles(group)
    expected = np.nanquantile(group.values, (0.25, 0.75), axis=0)
    np.testing.assert_allclose([low, high], expected)


def test_many_runs_keep_fewer_points_and_then_only_medians(
    mixed_results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hpcexp.analysis.report.curve_data.MIN_POINTS", 5)
    monkeypatch.setattr("hpcexp.analysis.report.curve_data.MAX_NUMBERS", 3 * 90)
    first, *_ = collect_curves(mixed_results)
    assert (first["step"], len(first["runs"][0]["values"])) == (2, 11)
    monkeypatch.setattr("hpcexp.analysis.report.curve_data.MAX_NUMBERS", 60)
    first, *_ = collect_curves(mixed_results)
    assert first["runs"] == []
    assert len(first["groups"][0]["median"]) == 21


def test_the_words_of_people_are_never_markup(tmp_path: Path) -> None:
    evil = "</style><img src=x onerror=alert(1)>"
    experiment = build_experiment(tmp_path, {"name": [evil, "b"]}, rand_inits=2, question=evil)
    troubled = TroubledRun("r", evil, evil, advice=evil, evidence=(evil,), command=evil)
    around = Circumstances(statuses={}, troubled=(troubled,), num_troubled=1)
    page = render_report(collect_report(experiment, around))
    assert "<img src=x" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page


def test_a_page_names_no_other_address(mixed_experiment: ExperimentDir) -> None:
    page = render_report(collect_report(mixed_experiment, NOTHING))
    assert "http://www.w3.org/2000/svg" in page  # a name, not an address
    assert page.count("http") == page.count("http://www.w3.org/2000/svg") + page.count("http-equiv")
    assert "default-src &#39;none&#39;" in page or "default-src 'none'" in page


def test_an_experiment_without_records_has_a_page_too(tmp_path: Path) -> None:
    experiment = build_experiment(
        tmp_path, {"lr": [1, 2]}, fate=lambda _: Fate(state=State.PENDING)
    )
    report = collect_report(experiment, NOTHING)
    assert report.data["boxes"] == report.data["curves"] == []
    assert "No run has a value of" in render_report(report)


def test_one_group_and_one_run_are_enough(tmp_path: Path) -> None:
    report = collect_report(build_experiment(tmp_path, {}, rand_inits=1), NOTHING)
    assert "There is one group" in render_report(report)


def test_what_differs_without_being_declared_is_said(tmp_path: Path) -> None:
    experiment = build_experiment(tmp_path, {"lr": [0.1, 0.2]}, rand_inits=1)
    for i, group in enumerate((0.1, 0.2)):
        path = experiment.run(f"lr={group}_rand_0").config_path
        config = json.loads(path.read_text())
        config["params"]["batch_size"] = i
        path.write_text(json.dumps(config))
    varied = collect_report(experiment, NOTHING).varied
    assert [(v.name, v.values, v.is_declared) for v in varied] == [
        ("lr", ("0.1", "0.2"), True), ("batch_size", ("0", "1"), False),
    ]  # fmt: skip


def test_too_many_runs_for_a_table_are_left_to_export(
    mixed_experiment: ExperimentDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MAX_RUNS >= 1000
    monkeypatch.setattr("hpcexp.analysis.report.tables.MAX_RUNS", 11)
    page = render_report(collect_report(mixed_experiment, NOTHING))
    assert f"hpcexp export {mixed_experiment.name}" in page
    assert "All 12 runs" not in page


def test_hours_and_energy_are_summed_up(mixed_experiment: ExperimentDir) -> None:
    plan = dataclasses.replace(load(mixed_experiment).plan, resources={"gpus": 2, "cpus": 4})
    begun = RunStatus(state=State.COMPLETED, trained_s=1800, host="gpu-1", machine={"device": "A"})
    statuses = {run.name: RunStatus() for run in plan.runs}
    statuses |= {"rnn_width=16_rand_0": begun, "rnn_width=16_rand_1": begun}
    labels = {"rnn_width=16": "16", "rnn_width=32": "32"}
    used = measure_usage(plan, statuses, labels, accounted=Accounted(2, 7200, 4.0, 8.0, 7.2e6))
    assert (used.hours, used.gpu_hours, used.core_hours, used.energy_kwh) == (1, 2, 4, 2)
    assert (used.hosts, used.devices) == ("gpu-1 (2 runs)", "A (2 runs)")
    assert [(g.num_begun, g.median_hours) for g in used.groups] == [(2, 0.5), (0, None)]
    assert measure_usage(plan, statuses, labels, accounted=None).energy_kwh is None


def test_the_number_of_runs_that_is_needed_says_where_it_ends() -> None:
    ranges = [(6, 6), (4, 17), (4, None), (None, None)]
    spelled = [spell_runs_needed(SampleSizes(low, None, high)) for low, high in ranges]
    assert spelled == ["6", "4 to 17", "4 to over 1000", "over 1000"]
    assert spell_runs_needed(None) == ""
