"""Parameters that are kept: the best by a metric, those of some epochs, and warm starts."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from hpcexp.train.best import BestParameters
from hpcexp.train.fit import fit
from hpcexp.train.seeding import RandomStreams
from hpcexp.train.sink import MemorySink
from hpcexp.train.step import TrainState
from tests.train.conftest import MakeWorkload

STREAMS = RandomStreams(0, 0)


def make_state(number: float, *, num_updates: int) -> TrainState:
    return TrainState(
        parameters={"w": torch.tensor([number])},
        buffers={"seen": torch.tensor(number)},
        optimizer={},
        step=torch.tensor(num_updates),
        alive=torch.tensor(True),
    )


def follow(values: list[float]) -> dict[str, Any]:
    best = BestParameters(["loss"])
    for epoch, value in enumerate(values):
        state = make_state(float(epoch), num_updates=9 * epoch)
        best.update({"loss": torch.tensor(value)}, state, epoch=epoch, step=10 * epoch)
    return best.kept["loss"]


def test_the_least_value_wins_and_of_equal_ones_the_first() -> None:
    kept = follow([0.9, 0.3, 0.5, 0.3])
    assert (kept["epoch"], kept["step"], kept["parameters"]["w"]) == (1, 10, 1.0)
    assert kept["buffers"]["seen"] == 1.0


def test_what_is_not_a_number_never_wins() -> None:
    kept = follow([math.nan, 0.5, math.nan])
    assert (kept["epoch"], kept["value"]) == (1, 0.5)


def test_a_run_keeps_its_best_by_each_metric_it_was_asked_for(make_workload: MakeWorkload) -> None:
    sink = MemorySink()
    names = ["loss", "loss.kld", "linear_projection_mse.x"]
    fit(make_workload(keep_best=names, lr=0.02), streams=STREAMS, sink=sink)
    best = sink.checkpoints[max(sink.checkpoints)]["best"]
    assert list(best) == names
    validated = [row for row in sink.rows if row.split == "validate"]
    for name in names:
        winner = min(validated, key=lambda row: row.values[name])
        assert (best[name]["epoch"], best[name]["step"]) == (winner.epoch, winner.step)
    epochs = {int(kept["epoch"]) for kept in best.values()}
    assert len(epochs) > 1  # otherwise this shows little


def test_parameters_of_every_few_epochs_are_kept(make_workload: MakeWorkload) -> None:
    sink = MemorySink()
    fit(make_workload(keep_every=2), streams=STREAMS, sink=sink)
    assert list(sink.kept) == [2, 4, 6]
    last = sink.checkpoints[max(sink.checkpoints)]["state"]["parameters"]
    assert all(torch.equal(sink.kept[6]["parameters"][k], v) for k, v in last.items())
    assert sink.kept[4]["step"] == 20


def test_a_run_starts_from_the_parameters_that_it_is_given(make_workload: MakeWorkload) -> None:
    source = MemorySink()
    fit(make_workload(), streams=STREAMS, sink=source)
    state = source.checkpoints[max(source.checkpoints)]["state"]
    initial: dict[str, Tensor] = {**state["parameters"], **state["buffers"]}
    warm = MemorySink()
    fit(make_workload(), streams=STREAMS, sink=warm, initial=initial)
    end = [row for row in source.rows if row.split == "validate"][-1]
    start = warm.rows[0]
    assert start.epoch == 0
    assert dict(start.values) == dict(end.values)


def test_what_is_not_given_starts_as_ever(make_workload: MakeWorkload) -> None:
    zero = {"encoder.to_posterior.bias": torch.zeros(6)}
    workload = make_workload(max_step=1)
    cold, warm = MemorySink(), MemorySink()
    cold.interrupt_at_step = warm.interrupt_at_step = 0
    fit(workload, streams=STREAMS, sink=cold)
    fit(workload, streams=STREAMS, sink=warm, initial=zero)
    before, after = (s.checkpoints[max(s.checkpoints)]["state"]["parameters"] for s in (cold, warm))
    assert not torch.equal(before["encoder.to_posterior.bias"], after["encoder.to_posterior.bias"])
