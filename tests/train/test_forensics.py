"""Where a step went wrong: models in which the answer is known."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hpcexp.train.forensics import Examination, First, examine_step
from hpcexp.train.forensics_record import FailedStep, make_record, make_summary
from hpcexp.train.inputs import make_block
from hpcexp.train.recorder import Divergence
from hpcexp.train.seeding import RandomStreams
from hpcexp.train.step import StepFunction, StepInputs, TrainState
from tests.train.conftest import MakeWorkload

CPU = torch.device("cpu")


class Apply(nn.Module):
    """w f(x), with w = 1."""

    def __init__(self, function: Callable[[Tensor], Tensor], w: float = 1.0) -> None:
        super().__init__()
        self.function, self.w = function, nn.Parameter(torch.tensor(w))

    def forward(self, x: Tensor) -> Tensor:
        return self.w * self.function(x)


class Chain(nn.Module):
    """first, then second, `times` times, then `between`, then third; the loss is the mean."""

    def __init__(
        self,
        *,
        first: Callable[[Tensor], Tensor] = torch.Tensor.clone,
        second: Callable[[Tensor], Tensor] = torch.Tensor.clone,
        between: Callable[[Tensor], Tensor] = torch.Tensor.clone,
        after: Callable[[Tensor], Tensor] = torch.Tensor.clone,
        times: int = 1,
        w: float = 1.0,
    ) -> None:
        super().__init__()
        self.first, self.third = Apply(first), Apply(torch.Tensor.clone)
        self.inner = nn.Sequential(Apply(second, w))
        self.between, self.after, self.times = between, after, times

    def forward(
        self, batch: Mapping[str, Tensor], noise: Mapping[str, Tensor], values: Mapping[str, Tensor]
    ) -> Tensor:
        x = self.first(batch["x"] + noise["n"])
        for _ in range(self.times):
            x = self.inner(x)
        return self.after(self.third(self.between(x)).mean()).reshape(1)


def make_inputs(x: float = 2.0, *, n: float = 0.0, **values: float) -> StepInputs:
    given = {"lr": 0.1, "weight_decay": 0.0, "grad_clip": math.inf, "grad_explosion": math.inf}
    return StepInputs(
        batch={"x": torch.tensor([x, x])},
        noise={"n": torch.tensor(n)},
        values={
            "loss_weights": torch.tensor([values.pop("weight", 1.0)]),
            **{k: torch.tensor(v) for k, v in {**given, **values}.items()},
        },
    )


def examine(model: nn.Module, inputs: StepInputs | None = None) -> Examination:
    function = StepFunction(model, "sgd")
    return examine_step(function, function.init_state(), inputs or make_inputs())


def find(model: nn.Module, inputs: StepInputs | None = None) -> First:
    first = examine(model, inputs).first
    assert first is not None
    return first


def where(first: First) -> tuple[str, str, str]:
    return first.kind, first.module, first.tensor


def log_of_negative(x: Tensor) -> Tensor:
    return torch.log(-x)


# -------------------------------------------------------------------------------- forwards


def test_the_module_whose_output_is_the_first_that_is_not_finite_is_named() -> None:
    first = find(Chain(second=log_of_negative))
    assert where(first) == ("output", "inner.0", "")
    assert (first.measure.num_values, first.measure.num_nan) == (2, 2)
    assert first.describe() == "first in the output of inner.0"


def test_of_a_module_that_is_called_again_and_again_the_call_is_named() -> None:
    # 2, 4, 16, 256, 65536, ~4e9, ~2e19, inf
    first = find(Chain(second=torch.square, times=9))
    assert (where(first), first.call, first.num_calls) == (("output", "inner.0", ""), 7, 9)
    assert first.measure.num_infinite == 2
    assert first.describe() == "first in the output of inner.0 (call 7 of 9)"


def test_what_arises_between_modules_is_found_where_it_goes_in() -> None:
    first = find(Chain(between=log_of_negative))
    assert where(first) == ("input", "third", "")
    assert first.describe() == "first in the input of third"


def test_what_arises_after_the_last_module_is_of_the_losses() -> None:
    first = find(Chain(after=log_of_negative))
    assert where(first) == ("output", "", "")
    assert first.describe() == "first in the losses, the outputs of all modules being finite"


def test_a_sum_may_overflow_though_its_terms_do_not() -> None:
    first = find(Chain(), make_inputs(3.0, weight=3e38))
    assert where(first) == ("sum", "", "")
    assert (first.measure.num_nan, first.measure.num_infinite) == (0, 1)


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        (make_inputs(math.nan), "its batch was not finite: x"),
        (make_inputs(n=math.inf), "its noise was not finite: n"),
    ],
)
def test_what_was_not_finite_before_the_model_is_not_blamed_on_it(
    inputs: StepInputs, said: str
) -> None:
    assert find(Chain(), inputs).describe() == said


def test_a_parameter_that_the_update_before_made_infinite_is_named() -> None:
    first = find(Chain(w=math.inf))
    assert where(first) == ("parameter", "inner.0", "w")
    assert first.describe() == (
        "parameter inner.0.w was not finite before: the step before it overflowed"
    )


# ------------------------------------------------------------------------------- backwards


def test_a_gradient_that_a_module_makes_infinite_is_its_own() -> None:
    """sqrt has an infinite slope at 0. The gradient of the mean of two is 1/2 each."""
    first = find(Chain(second=torch.sqrt), make_inputs(0.0))
    assert where(first) == ("gradient", "inner.0", "input")
    assert first.gradient_norm == pytest.approx(math.sqrt(0.5))
    assert first.describe() == ("first in the gradient that inner.0 passes back (gradient 0.71)")


def test_a_gradient_that_arises_between_modules_is_found_where_it_arrives() -> None:
    first = find(Chain(between=torch.sqrt), make_inputs(0.0))
    assert where(first) == ("gradient", "inner.0", "output")
    assert first.describe() == "first in the gradient that reaches inner.0"


def test_the_gradient_of_a_parameter_may_be_infinite_while_what_is_passed_back_is_not() -> None:
    """A slope of some 1e30 reaches w x: times x = 1e15 it is too large, times w = 1 it is not."""
    model = Chain(between=lambda x: torch.sin(1e20 * x))
    first = find(model, make_inputs(1e15, weight=1e10))
    assert where(first) == ("gradient", "inner.0", "w")
    assert first.gradient_norm is not None
    assert 1e28 < first.gradient_norm < 1e30
    assert first.describe().startswith("first in the gradient of inner.0.w (gradient ")


def test_a_norm_that_overflows_is_of_the_largest_gradient() -> None:
    """1e20 is finite, its square is not."""
    first = find(Chain(), make_inputs(1e20))
    assert first.kind == "gradient"
    assert first.measure.is_finite
    assert first.measure.norm == pytest.approx(1e20)
    assert first.describe().startswith("largest in ")
    assert first.describe().endswith(".w (gradient 1e+20)")


def test_an_exploding_gradient_is_of_the_module_with_the_largest() -> None:
    # The loss is w1 w2 w3 x with w2 = 5: its slope is 2 in w2, and 10 in the others.
    first = find(Chain(w=5.0), make_inputs(2.0, grad_explosion=4.0))
    assert (first.kind, first.tensor, first.measure.norm) == ("gradient", "w", 10.0)
    assert first.module in ("first", "third")


# ------------------------------------------------------------------------ the examination


def test_a_step_in_which_all_is_finite_has_no_first() -> None:
    examination = examine(Chain())
    assert not examination.diverged
    assert examination.first is None


def test_norms_of_modules_are_in_the_order_of_computation() -> None:
    examination = examine(Chain(w=3.0, times=2))
    assert [m.name for m in examination.modules] == ["first", "inner", "inner.0", "third"]
    inner = examination.modules[2]
    assert inner.num_calls == 2
    assert inner.output is not None
    assert inner.gradient is not None
    assert inner.parameters is not None
    # 2 becomes 6 and then 18, of two samples; the loss is 2 w², its slope 4 w.
    assert inner.output.norm == pytest.approx(math.sqrt(2 * 6**2 + 2 * 18**2))
    assert inner.gradient.norm == pytest.approx(12.0)
    assert inner.parameters.norm == 3.0


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"encoder_batch_norm": True, "rnn": "gru", "rnn_ensemble": 2},
        {"rnn_variance": "learned", "rnn_dropout": 0.2},
    ],
)
def test_watching_changes_no_number_and_leaves_nothing_behind(
    make_workload: MakeWorkload, changes: dict[str, Any]
) -> None:
    function, state, inputs = start(make_workload, **changes)
    after, record = function(state, inputs)
    before = [t.clone() for t in (*state.parameters.values(), *state.buffers.values())]
    examination = examine_step(function, state, inputs)
    assert torch.equal(examination.record, record)
    again, _ = function(state, inputs)
    for name, tensor in after.parameters.items():
        assert torch.equal(tensor, again.parameters[name])
    for module in function.model.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
    now = (*state.parameters.values(), *state.buffers.values())
    assert all(torch.equal(a, b) for a, b in zip(before, now, strict=True))


def test_a_real_model_s_modules_are_all_seen(make_workload: MakeWorkload) -> None:
    function, state, inputs = start(make_workload)
    examination = examine_step(function, state, inputs)
    seen = {norms.name: norms for norms in examination.modules}
    for name in state.parameters:
        norms = seen[name.rpartition(".")[0]]
        assert norms.gradient is not None, name
        assert norms.output is not None, name
    total = math.sqrt(sum(n.gradient.norm**2 for n in seen.values() if n.gradient))
    assert total == pytest.approx(examination.record[-1].item(), rel=1e-4)


def start(
    make_workload: MakeWorkload, **changes: Any
) -> tuple[StepFunction, TrainState, StepInputs]:
    workload, streams = make_workload(**changes), RandomStreams(0, 0)
    with streams.initialising():
        function = StepFunction(workload.build_model(), "adam")
    block = make_block(workload, streams, block=0, device=CPU, dtype=torch.float32)
    return function, function.init_state(), block.select(3, workload.load_data()["train"])


# ------------------------------------------------------------------------------ the record


def fail(inputs: StepInputs | None = None) -> tuple[FailedStep, Examination]:
    function = StepFunction(Chain(second=log_of_negative), "adam")
    state, inputs = function.init_state(), inputs or make_inputs()
    examination = examine_step(function, state, inputs)
    found = Divergence(6, 2, examination.record, ("mean",), "loss mean became NaN")
    return FailedStep(found, state, inputs, torch.tensor([3, 1]), ["mean"]), examination


def test_a_record_holds_the_state_and_all_that_the_step_read() -> None:
    step, _ = fail()
    record = make_record(step)
    assert (record["step"], record["dtype"], record["left_out"]) == (6, "float32", [])
    assert record["indices"].tolist() == [3, 1]
    assert record["batch"]["x"].tolist() == [2.0, 2.0]
    assert set(record["state"]) == set(TrainState._fields)


def test_a_record_does_not_drag_along_the_inputs_of_other_steps() -> None:
    inputs = make_inputs()._replace(noise={"n": torch.zeros(64, 100)[5]})
    step, _ = fail(make_inputs())
    step = FailedStep(step.found, step.state, inputs, step.indices, step.loss_names)
    kept = make_record(step)["noise"]["n"]
    assert kept.untyped_storage().nbytes() == 4 * 100


@pytest.mark.parametrize(
    ("max_bytes", "left_out"), [(10_000, []), (100, ["inputs"]), (60, ["state"])]
)
def test_a_record_that_would_be_too_large_leaves_out_parts_and_says_so(
    max_bytes: int, left_out: list[str]
) -> None:
    step, _ = fail()
    record = make_record(step, max_bytes=max_bytes)
    assert record["left_out"] == left_out
    assert ("batch" in record, "state" in record) == (
        "inputs" not in left_out,
        "state" not in left_out,
    )


def test_a_summary_spells_what_json_does_not_know() -> None:
    step, examination = fail()
    summary = make_summary(step, examination, make_record(step), action="skip")
    assert summary["losses"] == {"mean": "NaN"}
    assert summary["values"]["grad_clip"] == "Infinity"
    assert summary["action"] == "skipped"
    assert summary["first"]["module"] == "inner.0"
    assert summary["first_in_words"] == "first in the output of inner.0"
    assert summary["lr"] == pytest.approx(0.1)
