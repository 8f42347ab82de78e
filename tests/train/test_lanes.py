"""Runs trained as lanes of one program have what they have alone."""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hpcexp.train.fit import FitOptions, FitResult, Training, fit
from hpcexp.train.lanes import LaneEnd, fit_lanes
from hpcexp.train.seeding import RandomStreams
from hpcexp.train.sink import MemorySink
from hpcexp.train.workload import Workload
from tests.train.conftest import TINY, MakeWorkload
from tests.train.toy import ToyModel, ToyWorkload

EAGER = FitOptions(read_back_every_s=0.0)


def train_together(
    workloads: Sequence[Workload],
    sinks: Sequence[MemorySink],
    *,
    dtype: torch.dtype = torch.float64,
    options: FitOptions | None = None,
) -> dict[int, FitResult | Exception]:
    trainings = [
        Training(workload, streams=RandomStreams(0, i), sink=sinks[i], dtype=dtype, options=options)
        for i, workload in enumerate(workloads)
    ]
    return {end.position: end.result for end in fit_lanes(trainings)}


def train_alone(
    workloads: Sequence[Workload],
    sinks: Sequence[MemorySink],
    *,
    dtype: torch.dtype = torch.float64,
) -> dict[int, FitResult | Exception]:
    return {
        i: fit(workload, streams=RandomStreams(0, i), sink=sinks[i], dtype=dtype)
        for i, workload in enumerate(workloads)
    }


def make_sinks(workloads: Sequence[Workload]) -> list[MemorySink]:
    return [MemorySink() for _ in workloads]


def assert_like_solo(
    workloads: Sequence[Workload],
    *,
    dtype: torch.dtype = torch.float64,
    losses: float = 1e-10,
    parameters: float = 1e-8,
) -> tuple[list[MemorySink], dict[int, FitResult | Exception]]:
    """All rows, the last checkpoint and the results are those of the runs alone."""
    lanes, solos = make_sinks(workloads), make_sinks(workloads)
    results = train_together(workloads, lanes, dtype=dtype)
    assert results == train_alone(workloads, solos, dtype=dtype)
    for lane, solo in zip(lanes, solos, strict=True):
        assert_equal_rows(lane, solo, tolerance=losses)
        assert_equal_trees(
            last_checkpoint(lane)["state"], last_checkpoint(solo)["state"], tolerance=parameters
        )
    return lanes, results


def assert_equal_rows(one: MemorySink, other: MemorySink, *, tolerance: float) -> None:
    keys = [(r.epoch, r.step, r.split, tuple(r.values)) for r in one.rows]
    assert keys == [(r.epoch, r.step, r.split, tuple(r.values)) for r in other.rows]
    for row, same in zip(one.rows, other.rows, strict=True):
        torch.testing.assert_close(
            torch.tensor(list(row.values.values()), dtype=torch.float64),
            torch.tensor(list(same.values.values()), dtype=torch.float64),
            rtol=tolerance,
            atol=tolerance,
            equal_nan=True,
        )


def assert_equal_trees(one: Any, other: Any, *, tolerance: float) -> None:
    assert type(one) is type(other)
    if isinstance(one, Mapping):
        assert one.keys() == other.keys()
        for key in one:
            assert_equal_trees(one[key], other[key], tolerance=tolerance)
    elif isinstance(one, Tensor):
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance, equal_nan=True)


def last_checkpoint(sink: MemorySink) -> dict[str, Any]:
    checkpoint = sink.load_checkpoint()
    assert checkpoint is not None
    return checkpoint


ODD: dict[str, dict[str, Any]] = {
    "GRU, batch norm, dropout": {"rnn": "gru", "encoder_batch_norm": True, "rnn_dropout": 0.3},
    "K = 4, energy": {
        "symmetry": {"K": 4, "rules": [{"slices": ["0:2"], "sample": ["translate"]}]},
        "loss_weights": {"sequence_energy": {"real": 1e-3, "fake": 1e-3}},
    },
    "stop-gradient, best and some kept": {
        "stop_gradient": {"right": True},
        "keep_best": ["linear_projection_mse"],
        "keep_every": 2,
    },
}


def test_a_lane_has_the_records_and_parameters_of_its_solo_run(make_workload: MakeWorkload) -> None:
    """Four initialisations, 100 steps, in double precision."""
    workloads = [make_workload(max_step=100, eval_every=10) for _ in range(4)]
    lanes, results = assert_like_solo(workloads)
    assert all(isinstance(r, FitResult) and r.outcome == "completed" for r in results.values())
    assert len({repr(lane.rows[-1].values) for lane in lanes}) == 4


@pytest.mark.parametrize("odd", ODD)
def test_so_it_has_at_odd_settings(make_workload: MakeWorkload, odd: str) -> None:
    assert_like_solo([make_workload(max_step=20, **ODD[odd]) for _ in range(2)])


def test_single_precision_stays_close(make_workload: MakeWorkload) -> None:
    workloads = [
        make_workload(max_step=100, eval_every=10, encoder_batch_norm=True) for _ in range(2)
    ]
    lanes, solos = make_sinks(workloads), make_sinks(workloads)
    train_together(workloads, lanes, dtype=torch.float32)
    train_alone(workloads, solos, dtype=torch.float32)
    for lane, solo in zip(lanes, solos, strict=True):
        first, same = lane.rows[1], solo.rows[1]
        assert first.values["grad_norm"] == pytest.approx(same.values["grad_norm"], rel=1e-5)
        assert lane.rows[-1].values["loss"] == pytest.approx(solo.rows[-1].values["loss"], rel=1e-3)


DIFFERENT: list[dict[str, Any]] = [
    {"lr": 1e-3, "max_epoch": 3},
    {
        "lr": 1e-2,
        "grad_clip": 0.05,
        "loss_weights": {"self_recon": 3.0, "kld": 1e-3},
        "scheduled_sampling": {"duration": 0.2},
        "eval_every": 4,
    },
    {"weight_decay": 0.1, "train_set_size": 12, "dataset_seed": 5},
    {"lr_schedule": {"kind": "plateau", "metric": "loss", "patience": 1, "decrease": 0.5}},
    {"stop": [{"metric": "loss", "below": 1e9, "from_epoch": 2}]},
    {
        "symmetry": {
            "identity_probability": 0.5,
            "rules": [{"slices": ["0:3"], "compose": [{"kind": "translate", "std": 2.0}]}],
        },
        "dataset": {**TINY["dataset"], "kind": "xj_bounce", "background": [0, 0, 0]},
        "scheduled_sampling": {"kind": "constant", "forcing_probability": 0.3},
        "loss_weights": {"kld": {"kind": "oscillation", "high": 1e-3, "period": 0.5}},
        "max_epoch": 2,
    },
]


def test_lanes_may_differ_in_what_reaches_a_step_as_numbers(make_workload: MakeWorkload) -> None:
    """Budgets, rates, weights, data, stop rules: they end at different times."""
    changes = copy.deepcopy(DIFFERENT)
    seed = changes[2].pop("dataset_seed")
    workloads = [make_workload(**c) for c in changes]
    data = workloads[2].config.dataset.model_copy(update={"seed": seed})
    workloads[2].config = workloads[2].config.model_copy(update={"dataset": data})
    assert len({workload.config.lane_key for workload in workloads}) == 1
    _, results = assert_like_solo(workloads)
    outcomes = [results[i].outcome for i in range(6)]  # type: ignore[union-attr]
    assert outcomes == [*["completed"] * 4, "stopped", "completed"]
    steps = [results[i].step for i in range(6)]  # type: ignore[union-attr]
    assert steps == [15, 30, 18, 30, 10, 10]


OTHER_SHAPES: list[dict[str, Any]] = [
    {},
    {"rnn_width": 7},
    {"batch_size": 5},
    {"dataset": {**TINY["dataset"], "num_frames": 8}},
    {"dataset": {**TINY["dataset"], "kind": "one_dim"}},
    {"loss_weights": {"cycle": 0.0}},
    {"image_loss": {"start": "mse", "end": "l1", "duration": 0.5}},
    {"symmetry": {"K": 2}},
    {"symmetry": {"time": {"reverse_probability": 0.5}}},
    {"optimizer": "sgd"},
]


def test_runs_of_other_shapes_are_no_lanes_of_one_program(make_workload: MakeWorkload) -> None:
    keys = {make_workload(**changes).config.lane_key for changes in OTHER_SHAPES}
    assert len(keys) == len(OTHER_SHAPES)


def test_a_lane_that_diverges_ends_alone_and_the_others_have_their_numbers() -> None:
    workloads = [ToyWorkload(), ToyWorkload(bad=[6]), ToyWorkload(lr=0.1)]
    _, results = assert_like_solo(workloads)
    assert [results[i].outcome for i in range(3)] == [  # type: ignore[union-attr]
        "completed",
        "diverged",
        "completed",
    ]


@pytest.mark.parametrize("rule", ["skip", {"kind": "rollback", "every": 1, "max_rollbacks": 1}])
def test_a_lane_may_skip_a_step_or_go_back(rule: Any) -> None:
    workloads = [
        ToyWorkload(max_epoch=6),
        ToyWorkload(max_epoch=6, bad=[6, 7, 13], on_divergence=rule),
        ToyWorkload(max_epoch=6, bad=[2], on_divergence="skip"),
    ]
    assert_like_solo(workloads)


def test_interrupted_lanes_go_on_in_another_packing(make_workload: MakeWorkload) -> None:
    workloads = [make_workload(encoder_batch_norm=True) for _ in range(3)]
    mixed, solos = make_sinks(workloads), make_sinks(workloads)
    train_alone(workloads, solos)
    # Each is interrupted somewhere else, so that later they are at different steps.
    for sink, step in zip(mixed, (3, 11, 17), strict=True):
        sink.interrupt_at_step = step
    ended = train_together(workloads, mixed, options=EAGER)
    assert [ended[i].outcome for i in range(3)] == ["interrupted"] * 3  # type: ignore[union-attr]
    for sink in mixed:
        sink.interrupt_at_step = None
    fit(workloads[1], streams=RandomStreams(0, 1), sink=mixed[1], dtype=torch.float64)
    train_together(workloads, mixed)
    for lane, solo in zip(mixed, solos, strict=True):
        assert_equal_rows(lane, solo, tolerance=1e-10)


class FailingSink(MemorySink):
    """Its disk is full from the second checkpoint on."""

    def save_checkpoint(self, checkpoint: Any, *, step: int) -> None:
        raise OSError(28, "No space left on device")


def test_an_error_of_one_lane_ends_that_lane(make_workload: MakeWorkload) -> None:
    workloads = [make_workload(max_epoch=2) for _ in range(3)]
    sinks: list[MemorySink] = [MemorySink(), FailingSink(), MemorySink()]
    results = train_together(workloads, sinks)
    assert isinstance(results[1], OSError)
    assert all(isinstance(results[i], FitResult) for i in (0, 2))


class UnmappableModel(ToyModel):
    """Asks for a number in the middle of its step."""

    def forward(
        self, batch: Mapping[str, Tensor], noise: Mapping[str, Tensor], values: Mapping[str, Tensor]
    ) -> Tensor:
        loss = super().forward(batch, noise, values)
        return loss * 2 if loss.item() > 1e9 else loss


class UnmappableWorkload(ToyWorkload):
    def build_model(self) -> nn.Module:
        return UnmappableModel()


def test_a_model_that_cannot_be_mapped_is_trained_one_run_after_another(
    caplog: pytest.LogCaptureFixture,
) -> None:
    workloads = [UnmappableWorkload(lr=lr) for lr in (0.1, 0.2)]
    with caplog.at_level(logging.WARNING):
        assert_like_solo(workloads, losses=0.0, parameters=0.0)
    assert "cannot be trained as lanes of one program" in caplog.text


def test_or_it_is_given_back_to_be_trained_elsewhere() -> None:
    """Each with a checkpoint, from which it goes on as if nothing had been."""
    workloads = [UnmappableWorkload(lr=lr) for lr in (0.1, 0.2)]
    given, solos = make_sinks(workloads), make_sinks(workloads)
    trainings = [
        Training(workload, streams=RandomStreams(0, i), sink=given[i], dtype=torch.float64)
        for i, workload in enumerate(workloads)
    ]
    ends = list(fit_lanes(trainings, gives_back=True))
    assert [end.is_given_back for end in ends] == [True, True]
    for end in ends:
        assert isinstance(end.result, FitResult)
        assert (end.result.outcome, end.result.step) == ("interrupted", 0)
        assert "cannot be a lane of one program (RuntimeError: " in end.result.reason
    assert train_alone(workloads, given) == train_alone(workloads, solos)
    for sink, solo in zip(given, solos, strict=True):
        assert_equal_rows(sink, solo, tolerance=0.0)


class GreedyModel(ToyModel):
    """Has no memory for more than two lanes."""

    def forward(
        self, batch: Mapping[str, Tensor], noise: Mapping[str, Tensor], values: Mapping[str, Tensor]
    ) -> Tensor:
        level = torch._C._functorch.maybe_get_bdim  # the dimension of lanes, -1 without any
        tensor = noise["factor"]
        if level(tensor) >= 0:
            lanes = torch._C._functorch.get_unwrapped(tensor).shape[level(tensor)]
            if lanes > 2:
                raise torch.OutOfMemoryError(f"no memory for {lanes} lanes")
        return super().forward(batch, noise, values)


class GreedyWorkload(ToyWorkload):
    def build_model(self) -> nn.Module:
        return GreedyModel()


def test_where_memory_is_short_half_of_the_lanes_wait(caplog: pytest.LogCaptureFixture) -> None:
    workloads = [GreedyWorkload(lr=lr) for lr in (0.1, 0.2, 0.3, 0.4)]
    with caplog.at_level(logging.WARNING):
        _, results = assert_like_solo(workloads)
    assert "4 lanes need more memory than there is: 2 wait" in caplog.text
    assert len(results) == 4


def test_what_is_one_runs_is_called_in_its_context() -> None:
    """So that its log lines go to its log."""
    entered: list[int] = []

    class Note:
        def __init__(self, position: int) -> None:
            self.position = position

        def __enter__(self) -> None:
            entered.append(self.position)

        def __exit__(self, *_: object) -> None:
            pass

    trainings = [
        Training(ToyWorkload(max_epoch=1), streams=RandomStreams(0, i), sink=MemorySink())
        for i in range(2)
    ]
    ends: list[LaneEnd] = list(fit_lanes(trainings, within=Note))
    assert sorted(end.position for end in ends) == [0, 1]
    assert set(entered) == {0, 1}
