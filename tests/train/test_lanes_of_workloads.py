"""Every workload's runs as lanes of one program, from their first step to their last."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch

from hpcexp.train.fit import Training
from hpcexp.train.lanes import fit_lanes
from hpcexp.train.seeding import RandomStreams
from hpcexp.train.workload import Workload
from hpcexp.workloads.multitask.workload import MultitaskWorkload
from hpcexp.workloads.unmix.config import Config as UnmixConfig
from hpcexp.workloads.unmix.workload import UnmixWorkload
from tests.train.test_lanes import (
    assert_equal_rows,
    assert_like_solo,
    make_sinks,
    train_alone,
)
from tests.workloads.classify.test_workload import build as make_classify
from tests.workloads.multitask.conftest import make_config as make_multitask
from tests.workloads.unmix.conftest import TINY as TINY_UNMIX

STRATEGIES: dict[str, dict[str, Any]] = {
    "curriculum, uncertainty, shared rows": {
        "order": "curriculum",
        "weighting": "uncertainty",
        "rows": "dds",
        "curriculum": {"probe": 0.4},
    },
    "stop and go, GradNorm, dropout": {  # a bias before batch norm would have round-off gradients
        "order": "dsg",
        "weighting": "gradnorm",
        "model": {"dropout": 0.2},
    },
}


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_multitask(strategy: str) -> None:
    """Rates, clipping, data and evaluations differ; one ends before the other."""
    settings = STRATEGIES[strategy]
    workloads = [
        MultitaskWorkload(make_multitask(**settings)),
        MultitaskWorkload(
            make_multitask(
                **settings,
                lr=1e-2,
                grad_clip=0.5,
                dataset={"seed": 7},
                affinity={"measure": True},
                weights={"easy": 0.3, "scaled": 2.0},
                max_step=14,
            )
        ),
    ]
    assert_one_program(workloads)


def test_unmix() -> None:
    encoder = {**TINY_UNMIX["encoder"], "norm": "batch"}
    changes: list[dict[str, Any]] = [
        {},
        {"lr": 1e-2, "temperature": 2.0, "frozen": True, "max_epoch": 2},
        {"dataset": {"resolution": 8, "seed": 3}, "train_set_size": 24},
    ]
    given = {**TINY_UNMIX, "encoder": encoder, "activation": "softmax"}
    assert_one_program([UnmixWorkload(UnmixConfig.model_validate({**given, **c})) for c in changes])


def test_classify() -> None:
    changes: list[dict[str, Any]] = [
        {},
        {"lr": 1e-2, "max_epoch": 3, "eval_every": 2},
        {"dataset": {"resolution": 8, "seed": 3}, "weight_decay": 0.5},
    ]
    assert_one_program([make_classify(**c) for c in changes])


def make_unmix(**changes: Any) -> UnmixWorkload:
    return UnmixWorkload(UnmixConfig.model_validate({**TINY_UNMIX, **changes}))


@pytest.mark.parametrize(
    "workloads",
    [
        [make_classify(), make_classify(lr=1e-2, eval_every=2)],
        [make_unmix(activation="softmax", temperature=t) for t in (1.0, 3.0)],
        [make_unmix(num_sources=2, lr=lr) for lr in (1e-3, 1e-2)],
    ],
    ids=["classify", "unmix", "unmix, all sources in all mixtures"],
)
def test_lanes_are_evaluated_in_one_call(
    workloads: Sequence[Workload], monkeypatch: pytest.MonkeyPatch
) -> None:
    """But before the first step, and where one lane is alone with its epoch."""
    lanes, solos = make_sinks(workloads), make_sinks(workloads)
    trainings = [
        Training(workload, streams=RandomStreams(0, i), sink=lanes[i], dtype=torch.float64)
        for i, workload in enumerate(workloads)
    ]
    evaluate, calls = type(workloads[0]).evaluate, list[Workload]()

    def count(workload: Workload, *arguments: Any) -> Any:
        calls.append(workload)
        return evaluate(workload, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(type(workloads[0]), "evaluate", count)
        assert len(list(fit_lanes(trainings, evaluates_together=True))) == 2
    assert calls.count(workloads[1]) == 1
    train_alone(workloads, solos)
    for lane, solo in zip(lanes, solos, strict=True):
        assert_equal_rows(lane, solo, tolerance=1e-9)


def assert_one_program(workloads: Sequence[Workload]) -> None:
    assert len({workload.config.lane_key for workload in workloads}) == 1
    assert_like_solo(workloads)
