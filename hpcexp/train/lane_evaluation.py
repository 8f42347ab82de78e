"""Evaluating several runs as one call, as their steps are.

Alone, each run's evaluation is a few hundred small kernels and some waiting for the device; of
many small lanes that would take longer than their steps. What one call cannot do, each run does
for itself: the numbers are the same but for the order of sums.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from hpcexp.train.fit import Training
from hpcexp.train.precision import computing_in
from hpcexp.train.workload import Batch, EvaluatesAsLanes

logger = logging.getLogger("hpcexp.worker")

MEMORY_PART = 4
"""A sample of an evaluation, which needs no gradient, counts as this part of one of a step."""


class _Evaluation(nn.Module):
    """An evaluation as the forward of a module, so that its parameters can be given."""

    def __init__(self, workload: EvaluatesAsLanes, model: nn.Module) -> None:
        super().__init__()
        self.workload, self.model = workload, model

    def forward(self, data: Batch, noise: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return dict(self.workload.evaluate_drawn(self.model, data, noise))


def evaluate_together(trainings: Sequence[Training]) -> bool:
    """Have those runs evaluated whose evaluation is next, where several can be at once.

    Runs with the same validation data, in memory, go together. Returns False where a call
    failed: it would again.
    """
    groups: dict[int, list[Training]] = {}
    for training in trainings:
        if training.is_evaluated_next and isinstance(training.workload, EvaluatesAsLanes):
            groups.setdefault(id(training.data), []).append(training)
    for group in groups.values():
        if len(group) < 2:
            continue
        try:
            found = _evaluate_group(group)
        except Exception as error:
            text = str(error).partition("\n")[0]
            logger.warning(
                "lanes are evaluated one after another: %s: %s", type(error).__name__, text
            )
            return False
        for training, metrics in zip(group, found, strict=True):
            training.metrics_ahead = metrics
    return True


def _evaluate_group(group: Sequence[Training]) -> list[dict[str, Tensor]]:
    first, data = group[0], group[0].data["validate"]
    assert isinstance(first.workload, EvaluatesAsLanes)
    evaluation = _Evaluation(first.workload, first.evaluated_model)
    states = [{**t.state.parameters, **t.state.buffers} for t in group]
    drawn = [_draw(training, data) for training in group]

    def evaluate(state: dict[str, Tensor], noise: dict[str, Tensor]) -> dict[str, Tensor]:
        named = {f"model.{name}": tensor for name, tensor in state.items()}
        values: dict[str, Tensor] = functional_call(evaluation, named, (data, noise))
        return values

    num_samples = len(next(iter(data.values())))
    at_once = MEMORY_PART * len(group) * first.config.batch_size // num_samples
    with torch.no_grad(), computing_in("fp32", first.options.device):
        values = vmap(evaluate, chunk_size=min(len(group), max(1, at_once)))(
            _stack(states), _stack(drawn)
        )
    return [{name: tensor[lane] for name, tensor in values.items()} for lane in range(len(group))]


def _draw(training: Training, data: Batch) -> dict[str, Tensor]:
    assert isinstance(training.workload, EvaluatesAsLanes)
    return dict(training.workload.draw_evaluation(data, training.streams))


def _stack(trees: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.stack([tree[name] for tree in trees]) for name in trees[0]}
