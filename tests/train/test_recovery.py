"""What a run does at a divergence: sequences worked out by hand, and interruptions at any time."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from hpcexp.train.config import TrainConfig
from hpcexp.train.fit import FitOptions, FitResult, fit
from hpcexp.train.seeding import RandomStreams
from hpcexp.train.sink import MemorySink
from hpcexp.train.workload import Workload
from tests.train.conftest import MakeWorkload
from tests.train.toy import ToyWorkload

STREAMS = RandomStreams(0, 0)
EAGER, LAZY = FitOptions(read_back_every_s=0.0), FitOptions(read_back_every_s=1e9)


def train(
    workload: Workload, sink: MemorySink | None = None, options: FitOptions = LAZY
) -> tuple[FitResult, MemorySink]:
    sink = sink or MemorySink()
    return fit(workload, streams=STREAMS, sink=sink, options=options), sink


def list_column(sink: MemorySink, name: str, split: str = "train") -> list[float]:
    return [row.values[name] for row in sink.rows if row.split == split]


def read_weight(sink: MemorySink) -> float:
    checkpoint = sink.load_checkpoint()
    assert checkpoint is not None
    weight: float = checkpoint["state"]["parameters"]["scale.w"].item()
    return weight


# ------------------------------------------------------------------------------------ stop


def test_by_default_a_run_stops_at_its_first_divergence() -> None:
    result, sink = train(ToyWorkload(bad=[5]))
    assert (result.outcome, result.step) == ("diverged", 5)
    assert result.reason.startswith("loss square became NaN at step 5 (epoch 2)")
    assert read_weight(sink) == 0.5**5
    assert "skipped_steps" not in sink.columns


def test_nothing_that_comes_after_a_divergence_is_kept(make_workload: MakeWorkload) -> None:
    """It is noticed late: until then evaluations see a state that trains no more."""
    looked: list[int] = []
    options = FitOptions(
        read_back_every_s=1e9, inspect=lambda _, epoch: looked.append(epoch), inspect_every=1
    )
    workload = ToyWorkload(bad=[6], keep_every=1, keep_best=["loss"], max_epoch=9)
    _, sink = train(workload, options=options)
    assert list(sink.kept) == looked == [1]
    assert [row.epoch for row in sink.rows if row.split == "validate"] == [0, 1]
    checkpoint = sink.load_checkpoint()
    assert checkpoint is not None
    assert checkpoint["best"]["loss"]["epoch"] == 1


# ------------------------------------------------------------------------------------ skip


def test_a_skipped_step_changes_nothing_and_the_next_one_follows() -> None:
    result, sink = train(ToyWorkload(bad=[1, 5, 6, 15], on_divergence="skip"))
    assert (result.outcome, result.step, result.reason) == ("completed", 16, "")
    assert read_weight(sink) == 0.5**12
    # Means over the steps that were taken: w² is 4^-k after k updates.
    powers = [[0, 1, 2], [3, 4], [5, 6, 7, 8], [9, 10, 11]]
    assert list_column(sink, "loss") == [sum(0.25**k for k in ks) / len(ks) for ks in powers]
    assert list_column(sink, "skipped_steps") == [1, 2, 0, 1]
    assert list_column(sink, "loss", "validate") == [0.25**k for k in (0, 3, 5, 9, 12)]
    assert [row.step for row in sink.rows if row.split == "validate"] == [0, 4, 8, 12, 16]
    assert sink.progress is not None
    assert sink.progress.skipped_steps == 4


def test_the_optimiser_s_memory_and_its_count_of_updates_stay_as_before() -> None:
    settings: dict[str, Any] = {"optimizer": "adam", "lr": 0.1, "on_divergence": "skip"}
    _, skipping = train(ToyWorkload(bad=[0, 3], max_step=8, **settings))
    _, without = train(ToyWorkload(max_step=6, **settings))
    first, second = skipping.load_checkpoint(), without.load_checkpoint()
    assert first is not None
    assert second is not None
    assert flatten(first["state"]) == flatten(second["state"])


def test_an_epoch_of_which_nothing_was_taken_has_no_mean() -> None:
    _, sink = train(ToyWorkload(bad=[4, 5, 6, 7], on_divergence="skip"))
    losses = list_column(sink, "loss")
    assert [math.isnan(loss) for loss in losses] == [False, True, False, False]
    assert list_column(sink, "skipped_steps") == [0, 4, 0, 0]


def test_after_so_many_skips_in_a_row_a_run_diverges() -> None:
    rule = {"kind": "skip", "max_skips": 3}
    result, _ = train(ToyWorkload(bad=[2, 3, 4], on_divergence=rule))
    assert result.outcome == "completed"
    result, sink = train(ToyWorkload(bad=[0, 2, 3, 4, 5, 6], on_divergence=rule))
    assert (result.outcome, result.step) == ("diverged", 5)
    assert result.reason.endswith("; the 3 steps before it had been left out")
    last = sink.rows[-1]
    assert (last.split, last.values["skipped_steps"]) == ("train", 1)
    assert math.isnan(last.values["loss"])


def test_a_log_of_many_skips_stays_short(caplog: pytest.LogCaptureFixture) -> None:
    rule = {"kind": "skip", "max_skips": 9}
    train(ToyWorkload(bad=range(5, 14), on_divergence=rule))
    said = [record.getMessage() for record in caplog.records]
    assert [text.rpartition(": ")[2] for text in said] == [
        f"the step is left out ({count} so far)" for count in (1, 2, 4, 8)
    ]
    assert said[3].startswith("loss square became NaN at step 12 ")


def test_the_step_of_the_best_parameters_counts_skipped_steps_too() -> None:
    _, sink = train(ToyWorkload(bad=[1], on_divergence="skip", keep_best=["loss"]))
    checkpoint = sink.load_checkpoint()
    assert checkpoint is not None
    best = checkpoint["best"]["loss"]
    assert (int(best["epoch"]), int(best["step"])) == (4, 16)


def test_an_exploding_gradient_is_skipped_as_well() -> None:
    # w doubles: the gradient 2 w is above 30 from step 4 on, which is taken three times.
    workload = ToyWorkload(
        lr=1.5, grad_explosion=30.0, on_divergence={"kind": "skip", "max_skips": 2}
    )
    result, sink = train(workload)
    assert (result.outcome, result.step) == ("diverged", 6)
    assert "the gradient's norm reached 32 at step 6" in result.reason
    assert read_weight(sink) == 16.0


# -------------------------------------------------------------------------------- rollback


def make_doubling(**changes: Any) -> ToyWorkload:
    """w doubles at every step, until step 6 (epoch 2) has a gradient of 128; then it halves."""
    rule = {"kind": "rollback", "every": 1, "decrease": 0.5}
    return ToyWorkload(lr=1.5, grad_explosion=100.0, on_divergence=rule, **changes)


def test_a_rollback_goes_back_to_the_kept_state_and_on_with_a_smaller_rate() -> None:
    result, sink = train(make_doubling())
    assert (result.outcome, result.step) == ("completed", 16)
    # After the first epoch w is 16; from there it is halved.
    assert read_weight(sink) == 16.0 * 0.5**12
    assert list_column(sink, "schedule.lr") == [1.5, 0.75, 0.75, 0.75]
    assert list_column(sink, "loss", "validate") == [1, 16.0**2, 1, 0.0625**2, (0.0625 / 16) ** 2]
    assert list_column(sink, "loss")[1] == (256 + 64 + 16 + 4) / 4
    assert sink.progress is not None
    assert sink.progress.rollbacks == 1


class Watching(MemorySink):
    """Notes the highest step or epoch of checkpoints, rows and kept parameters at a rollback."""

    def __init__(self) -> None:
        super().__init__()
        self.before: list[tuple[int, ...]] = []
        self.after: list[tuple[int, ...]] = []

    def rewind(self, *args: Any, **changes: Any) -> None:
        self.before.append(self._list_newest())
        super().rewind(*args, **changes)
        self.after.append(self._list_newest())

    def _list_newest(self) -> tuple[int, ...]:
        rows = [row.step for row in self.rows]
        return (max(self.checkpoints, default=-1), max(rows), max(self.kept, default=-1))


def test_rows_checkpoints_and_parameters_of_abandoned_steps_are_gone() -> None:
    options = FitOptions(read_back_every_s=0.0, checkpoint_every_s=0.0)
    rule = {"kind": "rollback", "every": 2}
    workload = ToyWorkload(bad=[13], on_divergence=rule, keep_every=1, max_epoch=5)
    sink = Watching()
    result, _ = train(workload, sink, options)
    assert result.outcome == "diverged"
    assert sink.before == [(13, 12, 3)] * 3
    assert sink.after == [(8, 8, 2)] * 3
    assert [row.step for row in sink.rows if row.split == "train"] == [4, 8, 12, 14]


def test_after_so_many_rollbacks_a_run_diverges() -> None:
    result, sink = train(ToyWorkload(bad=[6], on_divergence={"kind": "rollback", "every": 1}))
    assert (result.outcome, result.step) == ("diverged", 6)
    assert result.reason.endswith("after 3 rollbacks, with 0.125 times the learning rate")
    assert list_column(sink, "schedule.lr") == [0.25, 0.25 / 8]


def test_a_step_that_no_learning_rate_can_change_is_not_tried_again() -> None:
    """Step 4 is the first one of the second epoch, right after the state that is kept."""
    rule = {"kind": "rollback", "every": 1}
    result, sink = train(ToyWorkload(bad=[4], on_divergence=rule))
    assert (result.outcome, result.step) == ("diverged", 4)
    assert result.reason.endswith("; no state before its own was kept to go back to")
    assert sink.progress is not None
    assert sink.progress.rollbacks == 0


def test_a_divergence_in_the_first_epochs_goes_back_to_the_beginning() -> None:
    result, sink = train(ToyWorkload(lr=1.5, grad_explosion=100.0, on_divergence="rollback"))
    assert result.outcome == "completed"
    assert read_weight(sink) == 0.5**16
    assert list_column(sink, "loss", "validate")[0] == 1.0


def test_a_state_that_the_last_update_made_infinite_is_not_gone_back_to() -> None:
    """Its loss shows it a step later. A rate of 1e39 is infinite in float32."""
    rule = {"kind": "rollback", "every": 1, "max_rollbacks": 2}
    sink = Watching()
    result, _ = train(ToyWorkload(lr=1e39, on_divergence=rule, train_set_size=1), sink)
    assert (result.outcome, result.step) == ("diverged", 1)
    assert [newest[1] for newest in sink.after] == [0, 0]
    assert "parameter scale.w was not finite before: the step before it overflowed" in result.reason


def test_a_plateau_s_memory_goes_back_as_well() -> None:
    plateau = {"kind": "plateau", "patience": 1, "decrease": 0.5, "threshold": 0.99}
    workload = ToyWorkload(
        lr=0.001,
        bad=[10],
        lr_schedule=plateau,
        on_divergence={"kind": "rollback", "every": 2, "max_rollbacks": 1},
    )
    result, sink = train(workload)
    assert result.outcome == "diverged"
    _, undisturbed = train(ToyWorkload(lr=0.001, lr_schedule=plateau))
    # What the plateau did by epoch 2 stays done once, and is multiplied by the rollback's factor.
    assert list_column(sink, "schedule.lr")[:2] == list_column(undisturbed, "schedule.lr")[:2]
    assert list_column(sink, "schedule.lr")[2] == list_column(undisturbed, "schedule.lr")[2] / 2


def test_hours_of_training_count_what_was_abandoned() -> None:
    looks: list[float] = []

    def clock() -> float:
        looks.append(float(len(looks)))
        return looks[-1]

    stop = [{"kind": "wall_clock", "hours": 1}]
    options = FitOptions(checkpoint_every_s=1e9, clock=clock)
    _, sink = train(make_doubling(stop=stop), options=options)
    checkpoint = sink.load_checkpoint()
    assert checkpoint is not None
    assert checkpoint["controller"]["trained_s"] == pytest.approx(looks[-1], abs=5)


# ----------------------------------------------------------------- interruptions, read-backs


class InterruptAtLook(MemorySink):
    """Interrupts when it is asked for the n-th time."""

    def __init__(self, look: int) -> None:
        super().__init__()
        self.looks_left = look

    def interruption(self) -> str | None:
        self.looks_left -= 1
        return "asked to" if self.looks_left == 0 else None


TOYS: dict[str, dict[str, Any]] = {
    "stop": {"bad": [9], "on_divergence": "stop"},
    "skip": {"bad": [1, 5, 6, 7, 15], "on_divergence": "skip", "optimizer": "adam"},
    "skip, in the end": {
        "bad": [3, 8, 9, 10],
        "on_divergence": {"kind": "skip", "max_skips": 2},
    },
    "rollback": {
        "lr": 1.5,
        "grad_explosion": 100.0,
        "on_divergence": {"kind": "rollback", "every": 1},
    },
    "rollback, in the end": {"bad": [9], "on_divergence": {"kind": "rollback", "every": 2}},
}


@pytest.mark.parametrize("name", TOYS)
@pytest.mark.parametrize("options", [EAGER, LAZY], ids=["eager", "lazy"])
def test_interrupted_after_any_step_a_run_ends_as_an_undisturbed_one(
    name: str, options: FitOptions
) -> None:
    workload = ToyWorkload(keep_best=["loss"], keep_every=1, **TOYS[name])
    expected, whole = train(workload)
    for look in (1, 6, 10, 11, 16):
        first, sink = train(workload, InterruptAtLook(look), options)
        result = first if first.outcome != "interrupted" else train(workload, sink)[0]
        assert result == expected, look
        assert_same(sink, whole)


def test_interrupted_after_every_step_it_still_ends_alike() -> None:
    workload = ToyWorkload(**TOYS["rollback"])
    expected, whole = train(workload)
    sink = InterruptAtLook(2)
    result, _ = train(workload, sink)
    for _ in range(60):
        if result.outcome != "interrupted":
            break
        sink.looks_left = 2
        result, _ = train(workload, sink)
    assert result == expected
    assert_same(sink, whole)


@pytest.mark.parametrize("rule", ["stop", "skip", "rollback"])
@pytest.mark.parametrize("look", [4, 11, 23])
def test_so_does_a_run_of_a_real_workload(
    make_workload: MakeWorkload, rule: str, look: int
) -> None:
    """The bound is within what its gradients reach, so that some steps are above it."""
    settings = {
        "stop": "stop",
        "skip": {"kind": "skip", "max_skips": 30},
        "rollback": {"kind": "rollback", "every": 1, "max_rollbacks": 2},
    }
    _, plain = train(make_workload())
    bound = sorted(list_column(plain, "grad_norm"))[3]
    workload = make_workload(grad_explosion=bound, on_divergence=settings[rule])
    expected, whole = train(workload)
    assert whole.divergence is not None
    first, sink = train(workload, InterruptAtLook(look), EAGER)
    result = first if first.outcome != "interrupted" else train(workload, sink)[0]
    assert result == expected
    assert_same(sink, whole)


def assert_same(sink: MemorySink, expected: MemorySink) -> None:
    """Same rows, same last checkpoint, same kept parameters, bit for bit."""
    rows = [
        [(r.epoch, r.step, r.split, repr(dict(r.values))) for r in s.rows] for s in (sink, expected)
    ]
    assert rows[0] == rows[1]
    first, second = sink.load_checkpoint(), expected.load_checkpoint()
    assert first is not None
    assert second is not None
    assert flatten(first) == flatten(second)
    assert flatten(sink.kept) == flatten(expected.kept)


def flatten(tree: Any) -> Any:
    """Plain values, NaN included, that can be compared."""
    if isinstance(tree, dict):
        return {k: flatten(v) for k, v in tree.items()}
    return repr(tree.tolist()) if isinstance(tree, torch.Tensor) else tree


# ---------------------------------------------------------------------------------- config


@pytest.mark.parametrize("name", ["stop", "skip", "rollback"])
def test_a_name_is_short_for_a_section_with_its_defaults(name: str) -> None:
    short = TrainConfig.model_validate({"on_divergence": name})
    assert short == TrainConfig.model_validate({"on_divergence": {"kind": name}})
    assert TrainConfig.model_validate(short.model_dump(mode="json")) == short


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("restart", "'stop', 'skip', 'rollback'"),
        ({"kind": "skip", "max_skips": 0}, "greater than or equal to 1"),
        ({"kind": "rollback", "decrease": 1.0}, "less than 1"),
        ({"kind": "stop", "max_skips": 3}, "Extra inputs are not permitted"),
    ],
)
def test_other_rules_are_refused(given: object, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        TrainConfig.model_validate({"on_divergence": given})


# ------------------------------------------------------------------------------- the device


@pytest.mark.parametrize(("rule", "num_reads"), [("stop", 3), ("skip", 3), ("rollback", 6)])
def test_a_run_that_does_not_diverge_asks_the_device_now_and_then(
    rule: str, num_reads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In 160 steps, 64 to a block: after each block and at the end, and where a state is kept."""
    reads: list[str] = []
    for name in ("cpu", "item", "__bool__"):
        monkeypatch.setattr(torch.Tensor, name, make_counting(name, reads))
    result, _ = train(ToyWorkload(lr=1e-3, max_epoch=40, on_divergence=rule))
    assert result.outcome == "completed"
    assert reads.count("cpu") == num_reads
    assert set(reads) == ({"cpu"} if rule != "rollback" else {"cpu", "__bool__"})


def make_counting(name: str, reads: list[str]) -> Any:
    original = getattr(torch.Tensor, name)

    def count(self: torch.Tensor, *arguments: Any) -> Any:
        reads.append(name)
        return original(self, *arguments)

    return count
