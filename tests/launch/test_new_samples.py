from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from hpcexp.errors import HpcexpError, TemplateError, UsageError
from hpcexp.launch.extend import Request, extend
from hpcexp.store.experiment import read_plan, read_run_config, write_plan
from hpcexp.store.layout import ExperimentDir
from hpcexp.template import load_template
from tests.launch.extending import make
from tests.worker.conftest import take_snapshot

AXES: dict[str, Any] = {
    "lr": {"log_uniform": [1e-5, 1e-2]},
    "rnn_width": {"integer": [4, 16]},
    "optimizer": {"choice": ["adam", "sgd"]},
    "weight_decay": {"uniform": [0.01, 0.1], "only_if": {"optimizer": "sgd"}},
}


def make_sampled(
    directory: Path, *, grid: dict[str, Any] | None = None, rand_inits: int = 1, **sample: Any
) -> ExperimentDir:
    described = {"count": 4, "axes": AXES, **sample}
    return make(directory, grid=grid or {}, rand_inits=rand_inits, sample=described)


def test_64_sobol_samples_become_128_and_the_first_64_are_unchanged(tmp_path: Path) -> None:
    experiment = make_sampled(tmp_path, count=64)
    before, plan = take_snapshot(experiment.runs_dir), read_plan(experiment)
    change = extend(experiment, Request(samples=128))
    assert change.new_groups == tuple(f"sample_{k:03d}" for k in range(64, 128))
    after, extended = take_snapshot(experiment.runs_dir), read_plan(experiment)
    assert {name: after[name] for name in before} == before
    assert extended.groups[:64] == plan.groups
    assert extended.sample == {**plan.sample, "count": 128}
    assert len(extended.runs) == 128


def test_the_new_samples_are_those_that_a_larger_launch_would_have_made(tmp_path: Path) -> None:
    small, large = make_sampled(tmp_path / "a"), make_sampled(tmp_path / "b", count=8)
    extend(small, Request(samples=8))
    assert read_plan(small).groups == read_plan(large).groups
    for run in read_plan(large).runs:
        one, other = read_run_config(small.run(run.name)), read_run_config(large.run(run.name))
        assert one == other


def test_new_samples_meet_the_grid_and_get_the_initialisations_of_the_others(
    tmp_path: Path,
) -> None:
    experiment = make_sampled(tmp_path, grid={"batch_size": [2, 4]}, rand_inits=2, count=2)
    change = extend(experiment, Request(samples=3))
    assert change.new_groups == ("batch_size=2,sample_002", "batch_size=4,sample_002")
    assert len(change.new_runs) == 4


def test_what_the_template_excluded_stays_excluded(tmp_path: Path) -> None:
    experiment = make(
        tmp_path,
        grid={"batch_size": [2, 4]},
        exclude=[{"batch_size": 4, "optimizer": "sgd"}],
        sample={"count": 4, "axes": AXES},
    )
    extend(experiment, Request(samples=16))
    values = [group.values for group in read_plan(experiment).groups]
    assert not any(v["batch_size"] == 4 and v["optimizer"] == "sgd" for v in values)
    assert 16 < len(values) < 32


def test_a_group_may_be_added_by_hand_beside_samples(tmp_path: Path) -> None:
    experiment = make_sampled(tmp_path)
    extend(experiment, Request(groups=["lr=0.1"]))
    assert extend(experiment, Request(samples=5)).new_groups == ("sample_004",)


def test_a_latin_hypercube_cannot_be_continued(tmp_path: Path) -> None:
    experiment = make_sampled(tmp_path, method="latin_hypercube")
    with pytest.raises(UsageError, match="of 4 samples is no part of one of 8: every axis is cut"):
        extend(experiment, Request(samples=8))


def test_samples_of_a_search_are_left_to_it(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"hpcexp search .* --samples 64 goes on"):
        extend(make_sampled(tmp_path, method="tpe"), Request(samples=64))


def test_their_number_is_that_in_all(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has 4 samples already: --samples is their number in all"):
        extend(make_sampled(tmp_path), Request(samples=4))


def test_without_sampled_axes_there_is_nothing_to_continue(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no sampled axes"):
        extend(make(tmp_path), Request(samples=4))


def test_a_plan_that_would_be_drawn_otherwise_today_is_left_alone(tmp_path: Path) -> None:
    experiment = make_sampled(tmp_path)
    plan = read_plan(experiment)
    write_plan(experiment, dataclasses.replace(plan, sample={**plan.sample, "seed": 1}))
    with pytest.raises(HpcexpError, match="draws another sample_000 than was launched"):
        extend(experiment, Request(samples=8))
    assert read_plan(experiment).groups == plan.groups


def test_a_new_sample_that_the_workload_refuses_changes_nothing(tmp_path: Path) -> None:
    """A normal has no ends: the first samples may all be allowed, and a later one not."""
    axes = {"lr": {"normal": [0.003, 0.0013]}}
    experiment = make_sampled(tmp_path, axes=axes)
    plan = read_plan(experiment)
    with pytest.raises(
        TemplateError, match=r"--samples, sample_\d+: lr: -[\d.e-]+ is out of range"
    ):
        extend(experiment, Request(samples=256))
    assert read_plan(experiment) == plan


def test_the_plan_keeps_the_template_s_sample(tmp_path: Path) -> None:
    experiment = make_sampled(tmp_path)
    assert read_plan(experiment).sample == load_template(tmp_path / "tiny.yaml").sample
