"""Lanes that are evaluated in one call have the metrics of their own evaluations."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hpcexp.train.fit import Training
from hpcexp.train.lanes import fit_lanes
from hpcexp.train.seeding import RandomStreams
from hpcexp.train.sink import MemorySink
from hpcexp.workloads.sps.config import Config
from hpcexp.workloads.sps.workload import SpsWorkload
from tests.train.conftest import TINY
from tests.train.test_lanes import assert_equal_rows, make_sinks, train_alone


class CountingWorkload(SpsWorkload):
    """Notes how often it is asked to evaluate by itself, the first time before any step."""

    def __init__(self, **changes: Any) -> None:
        super().__init__(Config(**{**TINY, "encoder_batch_norm": True, **changes}))
        self.num_evaluations = 0

    def evaluate(self, *arguments: Any) -> Mapping[str, Tensor]:
        self.num_evaluations += 1
        return super().evaluate(*arguments)


class BranchingWorkload(CountingWorkload):
    """Cannot be evaluated as lanes."""

    def evaluate_drawn(
        self, model: nn.Module, data: Mapping[str, Tensor], noise: Mapping[str, Tensor]
    ) -> Mapping[str, Tensor]:
        found = super().evaluate_drawn(model, data, noise)
        assert found["self_recon"].item() >= 0
        return found


def train_lanes(workloads: Sequence[SpsWorkload]) -> list[MemorySink]:
    sinks = make_sinks(workloads)
    trainings = [
        Training(workload, streams=RandomStreams(0, i), sink=sinks[i], dtype=torch.float64)
        for i, workload in enumerate(workloads)
    ]
    assert len(list(fit_lanes(trainings, evaluates_together=True))) == len(workloads)
    return sinks


BLEND = {"start": "mse", "end": "l1", "duration": 0.5}
SETTINGS: list[dict[str, Any]] = [
    {"max_epoch": 3},
    {"max_epoch": 3, "lr": 1e-2, "image_loss": {**BLEND, "duration": 2.0}},
    {"max_epoch": 2, "eval_every": 2, "keep_best": []},
    {"max_epoch": 2, "dataset": {**TINY["dataset"], "seed": 5}},
]


def test_metrics_are_those_of_each_lanes_own_evaluation() -> None:
    """They end at different epochs, are evaluated at some, and one has data of its own."""
    common = {"image_loss": BLEND, "loss_weights": {"symmetry_consistency": 0.1}}
    workloads = [CountingWorkload(**{**common, **changes}) for changes in SETTINGS]
    sinks = train_lanes(workloads)
    # By themselves: the untrained; whoever is alone with its data, or with its epoch.
    assert [workload.num_evaluations for workload in workloads] == [1, 1, 1, 3]
    solos = make_sinks(workloads)
    train_alone(workloads, solos)
    for lane, solo in zip(sinks, solos, strict=True):
        assert_equal_rows(lane, solo, tolerance=1e-10)


def test_what_cannot_be_one_call_is_evaluated_by_each(caplog: pytest.LogCaptureFixture) -> None:
    workloads = [BranchingWorkload(max_epoch=2) for _ in range(2)]
    with caplog.at_level(logging.WARNING):
        sinks = train_lanes(workloads)
    assert caplog.text.count("lanes are evaluated one after another: RuntimeError") == 1
    assert [workload.num_evaluations for workload in workloads] == [3, 3]
    solos = make_sinks(workloads)
    train_alone(workloads, solos)
    for lane, solo in zip(sinks, solos, strict=True):
        assert_equal_rows(lane, solo, tolerance=1e-10)
