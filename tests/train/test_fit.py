from __future__ import annotations

import math

import pytest
import torch

from hpcexp.errors import HpcexpError
from hpcexp.train.fit import FitOptions, fit
from hpcexp.train.inputs import STEPS_PER_BLOCK
from hpcexp.train.seeding import RandomStreams
from hpcexp.train.sink import MemorySink, Progress, Row
from tests.train.conftest import MakeWorkload

STREAMS = RandomStreams(0, 0)
EAGER = FitOptions(read_back_every_s=0.0)


def values_of(rows: list[Row]) -> list[tuple[object, ...]]:
    """Rows as comparable tuples; NaN equals NaN."""
    return [(r.epoch, r.step, r.split, *(repr(v) for v in r.values.values())) for r in rows]


def test_every_epoch_gets_a_train_row_and_evaluations_follow_their_schedule(
    make_workload: MakeWorkload,
) -> None:
    sink = MemorySink()
    result = fit(make_workload(eval_every=4), streams=STREAMS, sink=sink)
    assert result.outcome == "completed"
    assert [r.epoch for r in sink.rows if r.split == "train"] == [1, 2, 3, 4, 5, 6]
    # Before training, every fourth, and the last.
    assert [r.epoch for r in sink.rows if r.split == "validate"] == [0, 4, 6]
    assert sink.rows[-1].step == result.step == 30


def test_a_budget_in_steps_may_end_within_an_epoch(make_workload: MakeWorkload) -> None:
    sink = MemorySink()
    result = fit(make_workload(max_step=7), streams=STREAMS, sink=sink)
    assert (result.step, result.epoch) == (7, 2)
    assert [(r.epoch, r.step) for r in sink.rows if r.split == "train"] == [(1, 5), (2, 7)]
    assert [r.step for r in sink.rows if r.split == "validate"] == [0, 5, 7]


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("stop_at", [1, 13, 15, STEPS_PER_BLOCK])
def test_n_steps_then_a_resume_equals_an_undisturbed_run_bit_for_bit(
    make_workload: MakeWorkload, stop_at: int, batch_norm: bool
) -> None:
    workload = make_workload(max_epoch=16, encoder_batch_norm=batch_norm)
    undisturbed, resumed = MemorySink(), MemorySink(interrupt_at_step=stop_at)
    fit(workload, streams=STREAMS, sink=undisturbed)
    interrupted = fit(workload, streams=STREAMS, sink=resumed, options=EAGER)
    assert interrupted.outcome == "interrupted"
    assert interrupted.step == stop_at
    resumed.interrupt_at_step = None
    fit(workload, streams=STREAMS, sink=resumed)
    assert values_of(resumed.rows) == values_of(undisturbed.rows)
    last = undisturbed.load_checkpoint(), resumed.load_checkpoint()
    for key, parameter in last[0]["state"]["parameters"].items():  # type: ignore[index]
        assert torch.equal(parameter, last[1]["state"]["parameters"][key])  # type: ignore[index]


def test_how_often_records_are_read_back_changes_no_number(make_workload: MakeWorkload) -> None:
    lazy, eager = MemorySink(), MemorySink()
    fit(make_workload(), streams=STREAMS, sink=lazy, options=FitOptions(read_back_every_s=1e9))
    fit(make_workload(), streams=STREAMS, sink=eager, options=EAGER)
    assert values_of(lazy.rows) == values_of(eager.rows)


def test_checkpoints_are_made_by_the_clock(make_workload: MakeWorkload) -> None:
    ticks = iter(range(10_000))
    sink = MemorySink()
    options = FitOptions(checkpoint_every_s=20.0, clock=lambda: float(next(ticks)))
    fit(make_workload(), streams=STREAMS, sink=sink, options=options)
    steps = sorted(sink.checkpoints)
    assert len(steps) > 2
    assert steps[-1] == 30


def test_a_run_that_diverges_ends_there_and_says_where_and_in_what(
    make_workload: MakeWorkload,
) -> None:
    sink = MemorySink()
    workload = make_workload(lr=1e30, optimizer="sgd", max_epoch=50)
    result = fit(workload, streams=STREAMS, sink=sink)
    assert result.outcome == "diverged"
    assert f"at step {result.step}" in result.reason
    assert "loss" in result.reason or "gradient" in result.reason
    last = sink.rows[-1]
    assert last.split == "train"
    assert any(math.isnan(v) or math.isinf(v) for v in last.values.values())
    assert last.step == result.step + 1
    checkpoint = sink.load_checkpoint()
    assert checkpoint is not None
    assert checkpoint["step"] == result.step
    assert all(torch.isfinite(p).all() for p in checkpoint["state"]["parameters"].values())


def test_the_same_initialisation_starts_alike_in_groups_that_differ_in_values(
    make_workload: MakeWorkload,
) -> None:
    first, second = MemorySink(), MemorySink()
    fit(make_workload(lr=1e-3), streams=STREAMS, sink=first)
    fit(make_workload(lr=1e-2), streams=STREAMS, sink=second)
    assert first.rows[0] == second.rows[0]
    assert first.rows[-1] != second.rows[-1]


def test_another_initialisation_gives_other_numbers(make_workload: MakeWorkload) -> None:
    sinks = [MemorySink(), MemorySink()]
    for rand_init, sink in enumerate(sinks):
        fit(make_workload(), streams=RandomStreams(0, rand_init), sink=sink)
    assert sinks[0].rows[0] != sinks[1].rows[0]


def test_the_schedule_in_force_is_recorded(make_workload: MakeWorkload) -> None:
    sink = MemorySink()
    workload = make_workload(scheduled_sampling={"duration": 3.0, "unit": "epochs"})
    fit(workload, streams=STREAMS, sink=sink)
    forced = [r.values["schedule.teacher_forcing"] for r in sink.rows if r.split == "train"]
    # The value at the last of each epoch's 5 steps; 0 after 3 epochs.
    assert forced == pytest.approx([1 - 4 / 15, 1 - 9 / 15, 1 - 14 / 15, 0, 0, 0])


def test_the_total_is_the_weighted_sum_of_the_terms(make_workload: MakeWorkload) -> None:
    sink = MemorySink()
    workload = make_workload(loss_weights={"self_recon": 2.0, "kld": 0.5})
    fit(workload, streams=STREAMS, sink=sink)
    for row in sink.rows:
        terms = [row.values[f"loss.{name}"] for name in workload.loss_names]
        weights = workload.schedule(0)["loss_weights"]
        assert isinstance(weights, list)
        total = sum(w * v for w, v in zip(weights, terms, strict=True))
        assert row.values["loss"] == pytest.approx(total, rel=1e-5)


def test_a_run_interrupted_before_its_first_step_is_evaluated_untrained_only_once(
    make_workload: MakeWorkload,
) -> None:
    sink = MemorySink(interrupt_at_step=0)
    sink.progress = Progress(0, 6, 0, 30)
    assert fit(make_workload(), streams=STREAMS, sink=sink).step == 0
    sink.interrupt_at_step = None
    fit(make_workload(), streams=STREAMS, sink=sink)
    assert [r.epoch for r in sink.rows if r.split == "validate"] == [0, 1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("name", ["seed", "rand_init", "steps_per_block"])
def test_a_checkpoint_that_drew_other_random_numbers_is_refused(
    make_workload: MakeWorkload, name: str
) -> None:
    sink = MemorySink(interrupt_at_step=5)
    fit(make_workload(), streams=STREAMS, sink=sink, options=EAGER)
    sink.checkpoints[5][name] += 1
    with pytest.raises(HpcexpError, match=f"of another run: its {name} is"):
        fit(make_workload(), streams=STREAMS, sink=sink)
