from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpcexp.analysis.describe import describe
from hpcexp.analysis.findings import Findings, find_out
from hpcexp.analysis.findings_files import findings_to_json
from hpcexp.analysis.frames import Results, load
from hpcexp.analysis.looks import LookOptions, make_deciding_plan
from hpcexp.analysis.sampled import SampleTable, find_best, make_sample_table
from hpcexp.analysis.summary import summarise
from hpcexp.analysis.verdict_lines import describe_verdicts
from hpcexp.errors import UsageError
from hpcexp.store.experiment import PlannedRun, read_plan, write_plan
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.status import State
from tests.analysis.builder import Fate, write_run
from tests.analysis.sampling import build_sampled


def add_fresh(experiment: ExperimentDir, group: str, *, mse: float) -> None:
    """Two more initialisations of one group."""
    plan = read_plan(experiment)
    runs = [PlannedRun(f"{group}_rand_{n}", group, n) for n in (1, 2)]
    write_plan(experiment, dataclasses.replace(plan, runs=(*plan.runs, *runs)))
    for run in runs:
        path = experiment.run(run.name).path
        path.mkdir()
        config = (experiment.run(f"{group}_rand_0").config_path).read_text()
        (path / "config.json").write_text(config)
        write_run(experiment.run(run.name), Fate(mse=mse), num_epochs=2)


def list_words(findings: Findings) -> list[str]:
    return list(dict.fromkeys(line.split()[0] for line in describe_verdicts(findings)))


def test_the_best_come_first(table: SampleTable) -> None:
    best = find_best(table)
    values = [one.value for one in best]
    assert values == sorted(values)
    assert values[0] == table.first.min()
    assert all(math.isnan(one.fresh) for one in best)


def test_no_pairs_of_samples_are_compared(sampled: Results) -> None:
    findings = find_out(sampled)
    assert findings.pairs == ()
    assert findings.kruskal_wallis_p is None
    assert list_words(findings) == ["supported", "inconclusive", "best", "warning"]


def test_the_winner_s_curse_is_told_with_the_command_that_lifts_it(sampled: Results) -> None:
    findings = find_out(sampled)
    assert findings.sampled is not None
    [line] = [text for text in describe_verdicts(findings) if "luck" in text]
    names = ",".join(one.group for one in findings.sampled.best)
    assert f"hpcexp extend {sampled.experiment.name} --rand-inits 5 --only {names}" in line


def test_looks_have_no_pairs_of_samples_to_decide(sampled: Results) -> None:
    with pytest.raises(
        UsageError, match="which are not compared in pairs; hpcexp extend --samples"
    ):
        make_deciding_plan(
            sampled.experiment, sampled.plan, LookOptions(), command="hpcexp extend", user="someone"
        )


def test_an_axis_that_is_not_there_has_no_value_though_a_group_by_hand_told_it(
    sampled: Results,
) -> None:
    groups = tuple(
        dataclasses.replace(group, values={"weight_decay": 0.0, **group.values})
        for group in sampled.plan.groups
    )
    told = dataclasses.replace(sampled, plan=dataclasses.replace(sampled.plan, groups=groups))
    rows, _ = make_sample_table(told).pick("weight_decay")
    assert len(rows) == 32


def test_values_are_told_beside_the_best(sampled: Results) -> None:
    text = describe(sampled, summarise(sampled), find_out(sampled))
    header = next(line for line in text.splitlines() if "best of 64" in line)
    assert header.split()[-4:] == ["lr", "rnn_width", "optimizer", "weight_decay"]
    assert text.split("\n\nsupported")[0].count("sample_0") == 5


def test_initialisations_that_were_added_say_what_a_sample_is_worth(tmp_path: Path) -> None:
    experiment = build_sampled(tmp_path, count=8)
    chosen = find_out(load(experiment)).sampled
    assert chosen is not None
    winner = chosen.best[0]
    add_fresh(experiment, winner.group, mse=0.5)
    findings = find_out(load(experiment))
    assert findings.sampled is not None
    again = findings.sampled.best[0]
    assert (again.group, again.value) == (winner.group, winner.value), "chosen as before"
    assert (again.fresh, again.num_fresh) == (0.5, 2)
    [line] = [text for text in describe_verdicts(findings) if text.startswith("anew")]
    assert "-> 0.50 (median of 2 runs)" in line


def test_an_experiment_that_trains_says_what_it_has(tmp_path: Path) -> None:
    def fate(run: PlannedRun, mse: float) -> Fate:
        return Fate(mse=mse, state=State.COMPLETED if "00" in run.group else State.PENDING)

    findings = find_out(load(build_sampled(tmp_path, count=32, fate=fate)))
    assert findings.sampled is not None
    assert (findings.sampled.num_samples, findings.sampled.num_planned) == (10, 32)


def test_the_findings_are_json(sampled: Results) -> None:
    found: Any = findings_to_json(find_out(sampled))["sampled"]
    assert found["trends"][0]["axis"] == "lr"
    assert found["trends"][0]["verdict"] == "supported"
    assert found["best"][0]["fresh"] is None
    assert np.isfinite(found["best"][0]["value"])
