"""Sampled experiments of which it is known which axes matter."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hpcexp.sampling import draw_described
from hpcexp.store.experiment import PlannedRun
from hpcexp.store.layout import ExperimentDir
from tests.analysis.builder import Fate, build_experiment

AXES: dict[str, Any] = {
    "lr": {"log_uniform": [1e-5, 1e-1]},
    "rnn_width": {"integer": [8, 64]},
    "optimizer": {"choice": ["adam", "sgd"]},
    "weight_decay": {"uniform": [0, 0.1], "only_if": {"optimizer": "sgd"}},
}
Score = Callable[[Mapping[str, Any]], float]


def score_by_lr(values: Mapping[str, Any]) -> float:
    """Best near 1e-3, worse towards both ends; the width helps a little, nothing else does."""
    distance = math.log10(values["lr"]) + 3
    return 0.15 + 0.1 * distance**2 - 0.002 * int(values["rnn_width"])


def build_sampled(
    directory: Path,
    *,
    count: int = 64,
    rand_inits: int = 1,
    score: Score = score_by_lr,
    noise: float = 0.03,
    fate: Callable[[PlannedRun, float], Fate] = lambda _, mse: Fate(mse=mse),
    axes: Mapping[str, Any] = AXES,
    **sample: Any,
) -> ExperimentDir:
    """Samples whose metric is their score and noise."""
    described = {"count": count, "axes": axes, **sample}
    points = draw_described(described)
    assert points is not None
    values = dict(points.complete({}))

    def meet(run: PlannedRun) -> Fate:
        number = 1000 * int(run.group.rpartition("_")[2]) + run.rand_init
        drawn = np.random.default_rng(number).normal(0, noise) if noise else 0.0
        return fate(run, max(0.01, score(values[run.group]) + float(drawn)))

    return build_experiment(
        directory,
        {},
        rand_inits=rand_inits,
        num_epochs=2,
        fate=meet,
        question="which learning rate and width?",
        sample=described,
    )
