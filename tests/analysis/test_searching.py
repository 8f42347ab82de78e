"""What Optuna is told, and what it asks for."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from hpcexp.analysis.searching import suggest_samples
from hpcexp.errors import UsageError
from hpcexp.store.experiment import PlannedGroup, PlannedRun, read_plan, write_plan
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.status import State
from tests.analysis.builder import Fate, write_run
from tests.analysis.sampling import AXES, build_sampled, score_by_lr

pytest.importorskip("optuna")


def add(experiment: ExperimentDir, samples: list[dict[str, Any]]) -> list[float]:
    """Make samples of these values, and let them come to their scores."""
    plan = read_plan(experiment)
    scores = [max(0.01, score_by_lr(values)) for values in samples]
    groups = [PlannedGroup(f"sample_{len(plan.groups) + k:03d}", v) for k, v in enumerate(samples)]
    runs = [PlannedRun(f"{group.name}_rand_0", group.name, 0) for group in groups]
    write_plan(
        experiment,
        dataclasses.replace(plan, groups=(*plan.groups, *groups), runs=(*plan.runs, *runs)),
    )
    for group, run, score in zip(groups, runs, scores, strict=True):
        experiment.run(run.name).path.mkdir()
        config = {
            "workload": "sps", "group": group.name, "rand_init": 0, "seed": 0,
            "params": group.values,
        }  # fmt: skip
        experiment.run(run.name).config_path.write_text(json.dumps(config))
        write_run(experiment.run(run.name), Fate(mse=score), num_epochs=1)
    return scores


def build(directory: Path, **others: Any) -> ExperimentDir:
    described = {"method": "tpe", "start": 8, "noise": 0.0, **others}
    return build_sampled(directory, count=64, **described)


def test_the_same_results_give_the_same_samples(tmp_path: Path) -> None:
    one, other = build(tmp_path / "a"), build(tmp_path / "b")
    assert suggest_samples(one, 4) == suggest_samples(other, 4) == suggest_samples(one, 4)


def test_samples_are_new_within_the_space_and_keep_its_conditions(tmp_path: Path) -> None:
    experiment = build(tmp_path)
    samples = suggest_samples(experiment, 12)
    known = [dict(group.values) for group in read_plan(experiment).groups]
    assert len(samples) == 12
    for place, sample in enumerate(samples):
        assert sample not in [*known, *samples[:place]]
        assert 1e-5 <= sample["lr"] <= 1e-1
        assert 8 <= sample["rnn_width"] <= 64
        assert ("weight_decay" in sample) == (sample["optimizer"] == "sgd")
        assert list(sample) == [axis for axis in AXES if axis in sample]


def test_it_learns_where_good_values_are(tmp_path: Path) -> None:
    experiment = build(tmp_path)
    for _ in range(6):
        add(experiment, suggest_samples(experiment, 4))
    values = [group.values for group in read_plan(experiment).groups]
    first, last = [score_by_lr(v) for v in values[:8]], [score_by_lr(v) for v in values[-8:]]
    assert sorted(last)[4] < sorted(first)[4]


def test_diverged_samples_are_avoided(tmp_path: Path) -> None:
    """Where large learning rates diverge, most of what is asked for next is smaller."""

    def fate(run: PlannedRun, mse: float) -> Fate:
        return Fate(mse=0.3, state=State.DIVERGED if mse > 0.5 else State.COMPLETED)

    axes = {"lr": {"uniform": [0.1, 1]}}
    experiment = build(tmp_path, axes=axes, start=16, score=lambda v: float(v["lr"]), fate=fate)
    samples = suggest_samples(experiment, 8)
    assert sum(sample["lr"] < 0.5 for sample in samples) >= 6


def test_samples_without_a_result_teach_nothing(tmp_path: Path) -> None:
    def fate(run: PlannedRun, mse: float) -> Fate:
        return Fate(mse=mse, state=State.FAILED if run.group < "sample_006" else State.COMPLETED)

    assert len(suggest_samples(build(tmp_path, fate=fate), 3)) == 3


def test_few_combinations_are_all_that_there_are(tmp_path: Path) -> None:
    axes = {"rnn_width": {"integer": [4, 9]}, "batch_size": {"choice": [2, 4]}}
    experiment = build_sampled(
        tmp_path, count=64, method="tpe", start=8, axes=axes, score=lambda _: 0.3
    )
    samples = suggest_samples(experiment, 8)
    assert 1 <= len(samples) <= 4


def test_without_optuna_the_command_that_installs_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(UsageError, match=r"pip install 'hpcexp\[optuna\]'"):
        suggest_samples(build(tmp_path), 1)


def test_a_sample_with_a_flaw_is_asked_for_again(tmp_path: Path) -> None:
    experiment = build(tmp_path)
    refused: list[float] = []

    def refuse_fast(values: Mapping[str, Any]) -> str:
        if values["lr"] > 1e-3:
            refused.append(values["lr"])
        return "too fast" if values["lr"] > 1e-3 else ""

    samples = suggest_samples(experiment, 8, refuse_fast)
    assert len(samples) == 8
    assert all(sample["lr"] <= 1e-3 for sample in samples)
    assert refused
