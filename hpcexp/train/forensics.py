"""Where a step went wrong: it is run once more from its state and its inputs, and watched.

A step is a pure function, and its state is held still when it diverges, so all this happens
after the fact and costs a training run nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from hpcexp.train.step import StepFunction, StepInputs, TrainState
from hpcexp.train.watch import Measure, Sight, Watched, measure, read_measures, watching

Kind = Literal["batch", "noise", "parameter", "input", "output", "sum", "gradient"]


@dataclass(frozen=True)
class First:
    """The first tensor, in the order of computation, that was not finite.

    Where all are finite (a gradient above its bound, or whose square overflowed) it is the
    largest gradient of a parameter. `module` is empty for the whole model. `tensor` is the name of
    a parameter or a sample; for a gradient also `input` or `output`, of the module. `call`
    counts the module's calls in the step, from 1; 0 where that means nothing. `gradient_norm`
    is that of the gradient which reached the module, where it is about a gradient.
    """

    kind: Kind
    module: str
    tensor: str
    call: int
    num_calls: int
    measure: Measure
    gradient_norm: float | None = None

    def describe(self) -> str:
        """In words, to follow a statement of what happened."""
        name = self.module or "the model"
        call = (
            f" (call {self.call} of {self.num_calls})" if self.num_calls > 1 and self.call else ""
        )
        match self.kind:
            case "batch" | "noise":
                return f"its {self.kind} was not finite: {self.tensor}"
            case "parameter":
                owner = f"{self.module}.{self.tensor}" if self.module else self.tensor
                return f"parameter {owner} was not finite before: the step before it overflowed"
            case "sum":
                return "first in the weighted sum, each term being finite"
            case "input":
                return f"first in the input of {name}{call}"
            case "output" if not self.module:
                return "first in the losses, the outputs of all modules being finite"
            case "output":
                return f"first in the output of {name}{call}"
            case "gradient":
                return self._describe_gradient(name, call)

    def _describe_gradient(self, name: str, call: str) -> str:
        received = "" if self.gradient_norm is None else f" (gradient {self.gradient_norm:.2g})"
        if self.tensor == "output":
            return f"first in the gradient that reaches {name}{call}"
        if self.tensor == "input":
            return f"first in the gradient that {name} passes back{call}{received}"
        where = f"{self.module}.{self.tensor}" if self.module else self.tensor
        if self.measure.is_finite:
            return f"largest in {where} (gradient {self.measure.norm:.2g})"
        return f"first in the gradient of {where}{received}"


@dataclass(frozen=True)
class ModuleNorms:
    """What passed through a module in the step, all its calls together; None for nothing.

    `parameters` and `gradient` are of the module's own parameters and their gradient.
    """

    name: str
    num_calls: int
    output: Measure | None
    output_gradient: Measure | None
    parameters: Measure | None
    gradient: Measure | None


@dataclass(frozen=True)
class Examination:
    """A step that was run once more.

    `record` is on the CPU: weighted total, terms, norm of the gradient. `modules` are in the
    order of computation.
    """

    record: Tensor
    diverged: bool
    first: First | None
    modules: tuple[ModuleNorms, ...]


def examine_step(function: StepFunction, state: TrainState, inputs: StepInputs) -> Examination:
    """Run one step, which changes nothing, and find out where it is not finite any more."""
    before = _measure_before(state, inputs)
    alive = state._replace(alive=torch.ones_like(state.alive))
    with watching(function.model) as watcher:
        after, record = function(alive, inputs)
    watched = watcher.finish()
    diverged = not bool(after.alive)
    return Examination(
        record=record.cpu(),
        diverged=diverged,
        first=_find_first(before, watched, record.cpu()) if diverged else None,
        modules=_sum_up(function.model, before, watched),
    )


Before = dict[tuple[Kind, str, str], Measure]


def _measure_before(state: TrainState, inputs: StepInputs) -> Before:
    """Samples, random numbers and parameters by kind, module and name."""
    found: dict[tuple[Kind, str, str], Tensor] = {}
    kinds: tuple[tuple[Kind, Iterable[tuple[str, Tensor]]], ...] = (
        ("batch", inputs.batch.items()),
        ("noise", inputs.noise.items()),
        ("parameter", state.parameters.items()),
    )
    for kind, tensors in kinds:
        for name, tensor in tensors:
            module, _, own = name.rpartition(".") if kind == "parameter" else ("", "", name)
            if tensor.is_floating_point():
                found[kind, module, own] = measure(tensor)
    return dict(zip(found, read_measures(list(found.values())), strict=True))


def _find_first(before: Before, watched: Watched, record: Tensor) -> First | None:
    for (kind, module, tensor), found in before.items():
        if not found.is_finite:
            return First(kind, module, tensor, 0, 0, found)
    for sight in watched.forward:
        if not sight.measure.is_finite:
            kind = "input" if sight.what == "input" else "output"
            num_calls = watched.count_calls(sight.module)
            return First(kind, sight.module, "", sight.call, num_calls, sight.measure)
    if not torch.isfinite(record[0]):
        return First("sum", "", "", 0, 0, Measure(1, int(record[0].isnan()), 1, 0.0))
    for place, sight in enumerate(watched.backward):
        if not sight.measure.is_finite:
            return _blame_gradient(sight, watched, before=watched.backward[:place])
    own = [sight for sight in watched.backward if sight.what == "gradient"]
    largest = max(own, key=lambda sight: sight.measure.norm, default=None)
    return None if largest is None else _blame_gradient(largest, watched, before=())


def _blame_gradient(sight: Sight, watched: Watched, *, before: tuple[Sight, ...]) -> First:
    """`before` is what was computed before it."""
    of = {"gradient of output": "output", "gradient of input": "input"}
    reached = [
        earlier.measure.norm
        for earlier in before
        if earlier.what == "gradient of output"
        and earlier.module == sight.module
        and sight.call in (0, earlier.call)
    ]
    return First(
        "gradient",
        sight.module,
        of.get(sight.what, sight.tensor),
        sight.call,
        watched.count_calls(sight.module),
        sight.measure,
        max(reached, default=None),
    )


def _sum_up(model: nn.Module, before: Before, watched: Watched) -> tuple[ModuleNorms, ...]:
    """The modules that were called or have parameters, in the order in which they were called."""
    called = dict.fromkeys(sight.module for sight in watched.forward)
    names = [name for name in called if name]
    names += [n for n, _ in model.named_modules() if n not in called]

    def pick(sights: Iterable[Sight], what: str, name: str) -> Measure | None:
        return _join([s.measure for s in sights if s.what == what and s.module == name])

    found = [
        ModuleNorms(
            name=name,
            num_calls=watched.count_calls(name),
            output=pick(watched.forward, "output", name),
            output_gradient=pick(watched.backward, "gradient of output", name),
            parameters=_join(
                [
                    m
                    for (kind, owner, _), m in before.items()
                    if (kind, owner) == ("parameter", name)
                ]
            ),
            gradient=pick(watched.backward, "gradient", name),
        )
        for name in names
    ]
    return tuple(norms for norms in found if norms.output or norms.parameters)


def _join(measures: list[Measure]) -> Measure | None:
    """The measure of several tensors as one; None of none."""
    if not measures:
        return None
    return Measure(
        sum(m.num_values for m in measures),
        sum(m.num_nan for m in measures),
        sum(m.num_infinite for m in measures),
        math.hypot(*(m.norm for m in measures)),
    )
