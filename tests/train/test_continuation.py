"""A run whose budget is raised afterwards equals one that had the longer budget from the start."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from hpcexp.train.fit import FitOptions, FitResult, fit
from hpcexp.train.inputs import STEPS_PER_BLOCK
from hpcexp.train.seeding import RandomStreams
from hpcexp.train.sink import MemorySink
from tests.train.conftest import MakeWorkload
from tests.train.test_fit import values_of

STREAMS = RandomStreams(0, 0)
# Every default but the schedule, which reads the length of the whole run.
STEADY: dict[str, Any] = {"scheduled_sampling": {"unit": "epochs", "duration": 3.0}}

# Five steps make an epoch. A budget may end with an epoch that is evaluated, with one that is
# evaluated only because it is the last, or within one.
ENDS: list[dict[str, Any]] = [
    {"max_epoch": 4},
    {"max_epoch": 3, "eval_every": 2},
    {"max_step": 13},
    {"max_step": 13, "eval_every": 2},
    {"max_step": 15, "eval_every": 4},
    {"max_step": 11, "keep_every": 1},
]
LONGER = {"max_step": STEPS_PER_BLOCK + 4}


def train(make_workload: MakeWorkload, sink: MemorySink, **changes: Any) -> FitResult:
    workload = make_workload(**{**STEADY, **changes})
    return fit(workload, streams=STREAMS, sink=sink, options=FitOptions(read_back_every_s=1e9))


def assert_same(one: MemorySink, other: MemorySink) -> None:
    """Rows, checkpoints and kept parameters, bit for bit."""
    assert values_of(one.rows) == values_of(other.rows)
    assert one.kept.keys() == other.kept.keys()
    for epoch in one.kept:
        assert_same_tree(one.kept[epoch], other.kept[epoch])
    last = one.load_checkpoint(), other.load_checkpoint()
    assert last[0] is not None
    assert_same_tree(last[0], last[1])


def assert_same_tree(one: Any, other: Any) -> None:
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same_tree(one[key], other[key])
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one.nan_to_num(), other.nan_to_num())
        assert torch.equal(one.isnan(), other.isnan())
    else:
        assert one == other


@pytest.mark.parametrize("end", ENDS, ids=str)
def test_a_run_that_goes_on_equals_one_that_was_that_long_from_the_start(
    make_workload: MakeWorkload, end: dict[str, Any]
) -> None:
    others = {name: value for name, value in end.items() if name not in ("max_epoch", "max_step")}
    others["keep_best"] = ("linear_projection_mse", "loss")
    whole, continued = MemorySink(), MemorySink()
    train(make_workload, whole, **others, **LONGER)
    train(make_workload, continued, **{**end, **others})
    assert train(make_workload, continued, **others, **LONGER).outcome == "completed"
    assert_same(whole, continued)


def test_it_may_go_on_again_and_again(make_workload: MakeWorkload) -> None:
    whole, continued = MemorySink(), MemorySink()
    train(make_workload, whole, eval_every=3, max_step=41)
    for max_step in (7, 8, 10, 24, 41):
        train(make_workload, continued, eval_every=3, max_step=max_step)
    assert_same(whole, continued)


def test_what_is_best_by_chance_of_the_end_is_not_best_of_the_longer_run(
    make_workload: MakeWorkload,
) -> None:
    """The case above can fail: here the evaluation at the end is the best of the short run."""
    short = MemorySink()
    train(make_workload, short, eval_every=50, max_step=13, keep_best=("loss",))
    checkpoint = short.load_checkpoint()
    assert checkpoint is not None
    assert checkpoint["best"]["loss"]["step"] == 13
    assert checkpoint["before_end"]["best"]["loss"]["step"] == 0
    assert len(checkpoint["before_end"]["epoch_records"]) == 3
    assert len(checkpoint["epoch_records"]) == 0


@pytest.mark.parametrize("max_step", [10, 20])
def test_a_budget_that_ends_where_a_longer_run_evaluates_has_nothing_to_undo(
    make_workload: MakeWorkload, max_step: int
) -> None:
    sink = MemorySink()
    train(make_workload, sink, eval_every=2, max_step=max_step)
    assert "before_end" not in (sink.load_checkpoint() or {})


RULES: list[dict[str, Any]] = [
    {"lr_schedule": {"kind": "plateau", "patience": 1, "threshold": 0.5}},
    {"stop": [{"kind": "plateau", "metric": "loss", "split": "train", "patience": 500}]},
    {"stop": [{"metric": "loss", "split": "validate", "below": 1.0, "from_epoch": 6}]},
    {"stop": [{"metric": "loss", "split": "train", "below": 1e9, "from_epoch": 6}]},
]


@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize("max_step", [13, 15])
def test_rules_remember_nothing_of_an_end_that_was_undone(
    make_workload: MakeWorkload, rule: dict[str, Any], max_step: int
) -> None:
    whole, continued = MemorySink(), MemorySink()
    changes = {**rule, "eval_every": 2}
    expected = train(make_workload, whole, **changes, max_step=42)
    train(make_workload, continued, **changes, max_step=max_step)
    assert train(make_workload, continued, **changes, max_step=42) == expected
    assert_same(whole, continued)


def test_a_run_that_was_stopped_by_its_last_row_alone_goes_on(make_workload: MakeWorkload) -> None:
    rule = {"stop": [{"metric": "loss", "split": "validate", "below": 1e9, "from_epoch": 3}]}
    whole, continued = MemorySink(), MemorySink()
    expected = train(make_workload, whole, **rule, eval_every=4, max_step=42)
    assert (expected.outcome, expected.step) == ("stopped", 20)
    short = train(make_workload, continued, **rule, eval_every=4, max_step=13)
    assert (short.outcome, short.step) == ("stopped", 13)
    assert train(make_workload, continued, **rule, eval_every=4, max_step=42) == expected
    assert_same(whole, continued)


def weigh_reconstruction(**schedule: Any) -> dict[str, Any]:
    return {"loss_weights": {"self_recon": {"unit": "steps", **schedule}}, "optimizer": "sgd"}


def test_steps_that_were_left_out_are_left_out_of_the_longer_run_too(
    make_workload: MakeWorkload,
) -> None:
    """One in seven has a large gradient, among them the last of the shortest budget."""
    weights = weigh_reconstruction(kind="oscillation", low=0.1, high=9.0, period=7.0)
    changes = {**weights, "on_divergence": "skip", "grad_explosion": 0.3, "lr": 0.03}
    whole, continued = MemorySink(), MemorySink()
    train(make_workload, whole, **changes, eval_every=2, max_step=44)
    for max_step in (11, 15, 44):
        train(make_workload, continued, **changes, eval_every=2, max_step=max_step)
    assert_same(whole, continued)
    assert whole.progress is not None
    assert whole.progress.skipped_steps > 5


def test_a_rollback_to_an_end_that_was_undone_is_a_rollback_to_what_a_longer_run_had_there(
    make_workload: MakeWorkload,
) -> None:
    """The gradient explodes after step 15, where the short budget ends and a state is kept."""
    weights = weigh_reconstruction(start=1.0, end=500.0, begin=13, duration=4)
    policy = {"kind": "rollback", "every": 3, "decrease": 0.3}
    changes = {**weights, "on_divergence": policy, "grad_explosion": 12.0, "lr": 0.3}
    changes |= {"eval_every": 2, "keep_best": ("loss.predict.z", "loss.kld", "loss.predict.image")}
    whole, continued = MemorySink(), MemorySink()
    train(make_workload, whole, **changes, max_step=24)
    for max_step in (15, 24):
        train(make_workload, continued, **changes, max_step=max_step)
    assert_same(whole, continued)
    assert whole.progress is not None
    assert whole.progress.rollbacks == 1


def test_a_run_that_was_killed_after_its_last_checkpoint_can_still_go_on(
    make_workload: MakeWorkload,
) -> None:
    whole, continued = MemorySink(), MemorySink()
    train(make_workload, whole, max_step=31)
    train(make_workload, continued, max_step=13)
    before = copy.deepcopy(continued.checkpoints)
    assert train(make_workload, continued, max_step=13).outcome == "completed"
    assert_same_tree(before, continued.checkpoints)  # it ends once more, and nothing is lost
    train(make_workload, continued, max_step=31)
    assert_same(whole, continued)


def test_a_run_that_is_interrupted_where_it_goes_on_loses_nothing(
    make_workload: MakeWorkload,
) -> None:
    whole, continued = MemorySink(), MemorySink()
    train(make_workload, whole, eval_every=2, max_step=31)
    train(make_workload, continued, eval_every=2, max_step=13)
    continued.interrupt_at_step = 0
    assert train(make_workload, continued, eval_every=2, max_step=31).outcome == "interrupted"
    continued.interrupt_at_step = None
    train(make_workload, continued, eval_every=2, max_step=31)
    assert_same(whole, continued)
