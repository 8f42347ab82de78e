"""What evaluations decide: the plateau of the rate, and rules that end a run."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from hpcexp.errors import UsageError
from hpcexp.train.config import TrainConfig
from hpcexp.train.control import Controller
from hpcexp.train.fit import FitOptions, FitResult, fit
from hpcexp.train.seeding import RandomStreams
from hpcexp.train.sink import Foretold, MemorySink, Row
from hpcexp.workloads.sps.config import Config
from tests.train.conftest import TINY, MakeWorkload

STREAMS = RandomStreams(0, 0)


class Clock:
    """A clock that is set by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def make(**settings: Any) -> Controller:
    return Controller(TrainConfig.model_validate(settings), clock=Clock())


def show(controller: Controller, values: list[float], *, metric: str = "loss") -> list[str]:
    """The reason to stop after each epoch's value, from epoch 1 on."""
    reasons = []
    for epoch, value in enumerate(values, start=1):
        controller.observe([Row(epoch, epoch, "validate", {metric: value})])
        reasons.append(controller.stop_reason)
    return reasons


# Rules


def test_a_run_stops_below_a_threshold_from_an_epoch_on() -> None:
    controller = make(stop=[{"metric": "loss", "below": 0.5, "from_epoch": 3}])
    reasons = show(controller, [0.1, 0.9, 0.6, 0.4])
    assert reasons == ["", "", "", "loss (validate) is 0.4, below 0.5, at epoch 4"]


def test_a_run_stops_above_a_threshold() -> None:
    controller = make(stop=[{"metric": "loss", "above": 0.5}])
    assert show(controller, [0.5, 0.51])[-1] == "loss (validate) is 0.51, above 0.5, at epoch 2"


def test_what_is_not_a_number_is_neither_above_nor_below() -> None:
    controller = make(stop=[{"metric": "loss", "above": 0.5}, {"metric": "loss", "below": 0.1}])
    assert show(controller, [math.nan]) == [""]


def test_an_untrained_model_never_stops_a_run() -> None:
    controller = make(stop=[{"metric": "loss", "above": 0.5}])
    controller.observe([Row(0, 0, "validate", {"loss": 9.0})])
    assert controller.stop_reason == ""


def test_a_rule_looks_at_its_own_split() -> None:
    controller = make(stop=[{"metric": "loss", "above": 0.5, "split": "train"}])
    controller.observe([Row(1, 1, "validate", {"loss": 9.0})])
    assert controller.stop_reason == ""
    controller.observe([Row(1, 1, "train", {"loss": 9.0})])
    assert controller.stop_reason == "loss (train) is 9, above 0.5, at epoch 1"


def test_a_run_stops_when_a_metric_has_not_fallen_for_its_patience() -> None:
    rule = {"kind": "plateau", "metric": "loss", "patience": 2, "min_improvement": 0.1}
    reasons = show(make(stop=[rule]), [1.0, 0.95, 0.8, 0.75, 0.71])
    assert reasons[:4] == ["", "", "", ""]
    assert reasons[4] == ("loss (validate) has not fallen below 0.8 for 2 epochs, at epoch 5")


def test_a_plateau_stops_no_run_before_its_epoch() -> None:
    rule = {"kind": "plateau", "metric": "loss", "patience": 1, "from_epoch": 4}
    reasons = show(make(stop=[rule]), [1.0, 1.0, 1.0, 1.0])
    assert reasons == [
        "",
        "",
        "",
        "loss (validate) has not fallen below 1 for 3 epochs, at epoch 4",
    ]


def test_a_run_stops_after_its_hours_over_all_attempts() -> None:
    clock = Clock()
    config = TrainConfig.model_validate({"stop": [{"kind": "wall_clock", "hours": 2}]})
    first = Controller(config, clock=clock)
    clock.now = 5000.0
    assert show(first, [1.0]) == [""]
    packed = first.pack()
    clock.now = 90_000.0  # it waited for a node
    second = Controller(config, clock=clock)
    second.unpack(packed)
    clock.now += 2100.0
    assert show(second, [1.0]) == [""]
    clock.now += 100.0
    assert show(second, [1.0]) == ["it has trained for 2 hours"]


def test_the_first_rule_that_holds_is_the_reason() -> None:
    controller = make(stop=[{"metric": "loss", "above": 5.0}, {"metric": "loss", "above": 1.0}])
    assert show(controller, [2.0, 9.0])[-1].startswith("loss (validate) is 2, above 1")


# Runs that are foretold to fail

DOOMED = {"kind": "foretold", "metric": "loss", "above": 0.5, "epoch": 3}


def foretell(audit: float, drawn: float) -> Controller:
    config = TrainConfig.model_validate({"stop": [{**DOOMED, "audit": audit}]})
    return Controller(config, clock=Clock(), draw=lambda _: drawn)


def test_a_doomed_run_is_stopped_at_the_epoch_of_the_rule_and_not_before() -> None:
    controller = foretell(audit=0.0, drawn=0.0)
    reasons = show(controller, [0.9, 0.9, 0.7])
    assert reasons[:2] == ["", ""]
    assert reasons[2] == "foretold to fail: loss (validate) is 0.7, above 0.5, at epoch 3"
    assert controller.foretold == Foretold(3, 0.7, is_audited=False)


def test_the_rule_looks_once_what_comes_later_is_not_its_business() -> None:
    controller = foretell(audit=0.0, drawn=0.0)
    assert show(controller, [0.9, 0.9, 0.4, 0.9, 0.9])[-1] == ""
    assert controller.foretold is None


def test_where_that_epoch_is_not_evaluated_the_next_one_that_is_counts() -> None:
    controller = foretell(audit=0.0, drawn=0.0)
    controller.observe([Row(2, 2, "validate", {"loss": 0.9})])
    controller.observe([Row(4, 4, "validate", {"loss": 0.8})])
    assert controller.foretold == Foretold(4, 0.8, is_audited=False)


def test_a_share_of_the_doomed_runs_is_trained_on_and_known() -> None:
    controller = foretell(audit=0.1, drawn=0.05)
    assert show(controller, [0.9] * 6)[-1] == ""
    assert controller.foretold == Foretold(3, 0.9, is_audited=True)
    assert foretell(audit=0.1, drawn=0.1).rules == controller.rules
    assert show(foretell(audit=0.1, drawn=0.1), [0.9] * 3)[-1].startswith("foretold to fail")


def test_who_is_audited_is_drawn_by_the_seed_and_the_initialisation() -> None:
    draws = [RandomStreams(0, init).draw_share("audit", 0) for init in range(2000)]
    assert draws[:50] == [RandomStreams(0, init).draw_share("audit", 0) for init in range(50)]
    assert draws[:50] != [RandomStreams(1, init).draw_share("audit", 0) for init in range(50)]
    assert 0.08 < sum(draw < 0.1 for draw in draws) / 2000 < 0.12
    assert 0 <= min(draws) < max(draws) < 1


def test_a_resumed_run_remembers_what_was_foretold() -> None:
    first = foretell(audit=1.0, drawn=0.0)
    show(first, [0.9, 0.9, 0.9])
    second = foretell(audit=1.0, drawn=0.0)
    second.unpack(first.pack())
    controller_of_an_older_version = {k: v for k, v in first.pack().items() if k != "foretold"}
    assert second.foretold == first.foretold
    second.unpack(controller_of_an_older_version)
    assert second.foretold is None


@pytest.mark.parametrize(
    "change", [{"below": 0.1}, {"above": None}, {"audit": 1.5}, {"epoch": 0}, {"patience": 3}]
)
def test_a_rule_that_foretells_nothing_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        make(stop=[{**DOOMED, **change}])


# The plateau of the rate


@pytest.mark.parametrize("patience", [1, 3])
def test_the_rate_falls_as_torch_s_plateau_scheduler_would_have_it(patience: int) -> None:
    values = [1.0, 0.9, 0.9, 0.91, 0.89995, 0.9, 0.8, 0.85, 0.85, 0.85, 0.85, 0.2, 0.3, 0.3, 0.3]
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, factor=0.5, patience=patience, threshold=1e-4
    )
    ours = make(lr_schedule={"kind": "plateau", "patience": patience, "decrease": 0.5})
    for epoch, value in enumerate(values, start=1):
        theirs.step(value)
        ours.observe([Row(epoch, epoch, "validate", {"loss": value})])
        assert ours.lr_factor == optimizer.param_groups[0]["lr"]
    assert ours.lr_factor < 1


def test_the_rate_never_falls_below_its_floor() -> None:
    controller = make(lr_schedule={"kind": "plateau", "patience": 1, "floor": 0.3})
    show(controller, [1.0] * 20)
    assert controller.lr_factor == 0.3


# In a run


def train(make_workload: MakeWorkload, sink: MemorySink, **changes: Any) -> FitResult:
    return fit(make_workload(**changes), streams=STREAMS, sink=sink)


def test_a_run_that_is_stopped_says_why_and_keeps_what_it_has(make_workload: MakeWorkload) -> None:
    sink = MemorySink()
    result = train(make_workload, sink, stop=[{"metric": "loss", "below": 99.0, "from_epoch": 3}])
    assert (result.outcome, result.epoch) == ("stopped", 3)
    assert result.reason.endswith("below 99, at epoch 3")
    assert max(row.epoch for row in sink.rows) == 3
    assert max(sink.checkpoints) == 15


def test_a_run_that_was_stopped_and_killed_before_it_could_say_so_trains_no_further(
    make_workload: MakeWorkload,
) -> None:
    sink, changes = MemorySink(), {"stop": [{"metric": "loss", "below": 99.0, "from_epoch": 3}]}
    before = train(make_workload, sink, **changes)
    again = MemorySink(rows=sink.rows, checkpoints=sink.checkpoints)
    assert train(make_workload, again, **changes) == before


def test_a_doomed_run_ends_and_an_audited_one_goes_to_its_end(make_workload: MakeWorkload) -> None:
    rule = {"kind": "foretold", "metric": "loss", "above": 0.0, "epoch": 2}
    stopped, audited = MemorySink(), MemorySink()
    result = train(make_workload, stopped, stop=[{**rule, "audit": 0.0}])
    assert (result.outcome, result.epoch) == ("stopped", 2)
    assert stopped.progress is not None
    assert stopped.progress.foretold is not None
    assert not stopped.progress.foretold.is_audited
    result = train(make_workload, audited, stop=[{**rule, "audit": 1.0}])
    assert result.outcome == "completed"
    assert audited.progress is not None
    assert audited.progress.foretold is not None
    assert audited.progress.foretold.is_audited


def list_lr(sink: MemorySink) -> list[float]:
    return [row.values["schedule.lr"] for row in sink.rows if row.split == "train"]


def test_the_rate_of_each_epoch_is_in_the_log(make_workload: MakeWorkload) -> None:
    sink = MemorySink()
    schedule = {"kind": "exponential", "half_life": 1, "unit": "epochs"}
    train(make_workload, sink, lr=0.01, lr_schedule=schedule)
    # At the last of each epoch's five steps.
    expected = [0.01 * 0.5 ** (epoch + 0.8) for epoch in range(6)]
    assert list_lr(sink) == pytest.approx(expected)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize(
    "schedule",
    [
        {"kind": "exponential", "half_life": 1, "unit": "epochs"},
        {"kind": "cosine", "warm_up": 0.2, "final": 0.01},
        {"kind": "plateau", "patience": 1, "threshold": 0.99, "decrease": 0.1},
    ],
    ids=lambda s: s["kind"],
)
def test_the_rate_acts_on_the_parameters_and_not_only_on_the_log(
    make_workload: MakeWorkload, optimizer: str, schedule: dict[str, Any]
) -> None:
    """A step with the scheduled rate moves the parameters by what that rate makes of it."""
    moved = {}
    for name, changes in (("scheduled", {"lr_schedule": schedule}), ("constant", {})):
        distances = []
        previous: torch.Tensor | None = None
        for steps in (24, 25):
            sink = MemorySink()
            sink.interrupt_at_step = steps
            changed = {"optimizer": optimizer, "lr": 1e-3, **changes}
            fit(
                make_workload(max_epoch=6, eval_every=1, **changed),
                streams=STREAMS,
                sink=Interrupt(sink, steps),
            )
            state = sink.checkpoints[steps]["state"]["parameters"]
            flat = torch.cat([p.flatten() for p in state.values()])
            if previous is not None:
                distances.append((flat - previous).norm().item())
            previous = flat
        moved[name] = distances[0]
    assert moved["scheduled"] < 0.75 * moved["constant"]


class Interrupt(MemorySink):
    """A memory sink that interrupts its run at exactly one step."""

    def __init__(self, inner: MemorySink, step: int) -> None:
        super().__init__(checkpoints=inner.checkpoints)
        self.rows, self.asked, self.step = inner.rows, -1, step

    def interruption(self) -> str | None:
        self.asked += 1
        return "asked to" if self.asked == self.step else None


@pytest.mark.parametrize("interrupt_at", [7, 10, 15, 23])
def test_a_resumed_run_decides_as_an_undisturbed_one(
    make_workload: MakeWorkload, interrupt_at: int
) -> None:
    changes = {
        "lr_schedule": {"kind": "plateau", "patience": 1, "threshold": 0.5, "decrease": 0.1},
        "stop": [{"kind": "plateau", "patience": 4, "min_improvement": 0.5}],
        "keep_best": ["loss", "linear_projection_mse"],
        "max_epoch": 20,
    }
    whole = MemorySink()
    expected = fit(make_workload(**changes), streams=STREAMS, sink=whole)
    assert expected.outcome == "stopped"
    paused = Interrupt(MemorySink(), interrupt_at)
    first = fit(make_workload(**changes), streams=STREAMS, sink=paused)
    assert first.outcome == "interrupted"
    last = MemorySink(rows=paused.rows, checkpoints=paused.checkpoints)
    result = fit(make_workload(**changes), streams=STREAMS, sink=last)
    assert result == expected
    assert list_lr(last) == list_lr(whole)
    final, again = (s.checkpoints[max(s.checkpoints)] for s in (whole, last))
    assert flatten(final) == flatten(again)


def flatten(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {k: flatten(v) for k, v in tree.items()}
    return tree.tolist() if isinstance(tree, torch.Tensor) else tree


def test_without_rules_the_loop_looks_at_no_row(make_workload: MakeWorkload) -> None:
    assert not Controller(make_workload().config, clock=Clock()).is_active


# Faults


def test_a_rule_about_an_unknown_column_is_refused_before_anything_runs() -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"stop": [{"metric": "mse", "below": 1.0}]}, "stop: validate has no metric mse; it has"),
        ({"keep_best": ["mse"]}, "keep_best: validate has no metric mse"),
        (
            {"lr_schedule": {"kind": "plateau", "metric": "grad_norm"}},
            "lr_schedule: validate has no metric grad_norm",
        ),
    ]
    for changes, told in cases:
        with pytest.raises(ValidationError, match=told):
            Config.model_validate(TINY | changes)


def test_where_columns_are_unknown_the_start_of_the_run_refuses_it() -> None:
    controller = make(stop=[{"metric": "mse", "below": 1.0}])
    with pytest.raises(UsageError, match="stop: no such metric: mse; there are: loss"):
        controller.check_columns(["loss"])


def test_a_threshold_has_one_bound() -> None:
    for bounds in ({}, {"above": 1.0, "below": 0.0}):
        with pytest.raises(ValidationError, match="give either above or below"):
            TrainConfig.model_validate({"stop": [{"metric": "loss", **bounds}]})


# Explosion


def test_a_gradient_above_the_limit_ends_the_run_and_holds_its_parameters(
    make_workload: MakeWorkload,
) -> None:
    free = MemorySink()
    train(make_workload, free)
    norms = [row.values["grad_norm"] for row in free.rows if row.split == "train"]
    limit = min(norms) / 3
    sink = MemorySink()
    result = train(make_workload, sink, grad_explosion=limit)
    assert result.outcome == "diverged"
    assert f"at step 0 (epoch 1), above grad_explosion ({limit:g})" in result.reason
    assert sink.checkpoints[0]["state"]["step"] == 0
    unharmed = MemorySink()
    assert train(make_workload, unharmed, grad_explosion=1e6).outcome == "completed"
    assert unharmed.rows == free.rows


# What is looked into while it trains


def test_a_look_into_the_model_sees_its_parameters_and_disturbs_nothing(
    make_workload: MakeWorkload, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[tuple[int, bool]] = []

    def look(model: torch.nn.Module, epoch: int) -> None:
        seen.append((epoch, model.training))
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.zero_()
        raise RuntimeError("no space left")

    plain, watched = MemorySink(), MemorySink()
    fit(make_workload(), streams=STREAMS, sink=plain)
    options = FitOptions(inspect=look, inspect_every=2)
    result = fit(make_workload(), streams=STREAMS, sink=watched, options=options)
    assert result.outcome == "completed"
    assert seen == [(2, False), (4, False), (6, False)]
    assert watched.rows == plain.rows
    assert "looking into the model at epoch 4 failed" in caplog.text
