"""Watching every module while a step is run: its inputs, its outputs, and their gradients.

It is the step itself that runs, with hooks, so it gives the numbers that it gave in training. It
takes several times as long: nothing of this is on while a run trains.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

What = Literal["input", "output", "gradient of output", "gradient of input", "gradient"]


@dataclass(frozen=True)
class Measure:
    """What is in a tensor; `norm` is the Euclidean norm of the values that are finite."""

    num_values: int
    num_nan: int
    num_infinite: int
    norm: float

    @property
    def is_finite(self) -> bool:
        """Whether all values are."""
        return not self.num_nan and not self.num_infinite


@dataclass(frozen=True)
class Sight:
    """One tensor as it passed: of a call of a module, or the `gradient` of a parameter.

    `module` is its name, empty for the whole model; `tensor` names a parameter; `call` counts
    the calls of the module in this step, from 1.
    """

    what: What
    module: str
    tensor: str
    call: int
    measure: Measure


@dataclass(frozen=True)
class Watched:
    """What was seen, forwards and backwards, each in the order of computation."""

    forward: tuple[Sight, ...]
    backward: tuple[Sight, ...]

    def count_calls(self, module: str) -> int:
        """How often a module was called."""
        seen = (*self.forward, *self.backward)
        return max((sight.call for sight in seen if sight.module == module), default=0)


class Watcher:
    """Collects what passes. Measures stay on the device until `finish`."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.calls: Counter[str] = Counter()
        self.forward: list[tuple[What, str, str, int, Tensor]] = []
        self.backward: list[tuple[What, str, str, int, Tensor]] = []

    def finish(self) -> Watched:
        """What was seen."""
        return Watched(_read(self.forward), _read(self.backward))

    def attach(self) -> list[RemovableHandle]:
        """Hook every module."""
        handles: list[RemovableHandle] = []
        for name, module in self.model.named_modules():
            handles += [
                module.register_forward_pre_hook(self._make_pre_hook(name), with_kwargs=True),
                module.register_forward_hook(self._make_hook(name)),
            ]
        return handles

    def _make_pre_hook(self, name: str) -> Any:
        def look(module: nn.Module, args: Any, kwargs: Any) -> tuple[Any, Any]:
            self.calls[name] += 1
            call = self.calls[name]
            if module is self.model:
                # What the model reads, schedules among it that may be infinite, is no module's.
                self._watch_parameters()
                return args, kwargs

            def pass_on(value: Any) -> Any:
                if not isinstance(value, Tensor) or not _is_real(value):
                    return value
                self.forward.append(("input", name, "", call, measure(value)))
                if value.requires_grad:
                    # An alias: its gradient is what this module passes back, not the sum
                    # of what all do that read the tensor.
                    value = value.view_as(value)
                    self._watch_gradient(value, "gradient of input", name, "", call)
                return value

            return tuple(map(pass_on, args)), {k: pass_on(v) for k, v in kwargs.items()}

        return look

    def _make_hook(self, name: str) -> Any:
        def look(_module: nn.Module, _args: Any, outputs: Any) -> None:
            call = self.calls[name]
            for tensor in _iter_tensors(outputs):
                self.forward.append(("output", name, "", call, measure(tensor)))
                if tensor.requires_grad:
                    self._watch_gradient(tensor, "gradient of output", name, "", call)

        return look

    def _watch_parameters(self) -> None:
        """To be called while the tensors of the step stand in for the parameters."""
        for name, parameter in self.model.named_parameters():
            module, _, tensor = name.rpartition(".")
            if parameter.requires_grad:
                self._watch_gradient(parameter, "gradient", module, tensor, 0)

    def _watch_gradient(
        self, watched: Tensor, what: What, module: str, tensor: str, call: int
    ) -> None:
        def look(gradient: Tensor) -> None:
            self.backward.append((what, module, tensor, call, measure(gradient)))

        watched.register_hook(look)  # type: ignore[no-untyped-call]


@contextmanager
def watching(model: nn.Module) -> Iterator[Watcher]:
    """Within, everything that passes through the model's modules is seen."""
    watcher = Watcher(model)
    handles = watcher.attach()
    try:
        yield watcher
    finally:
        for handle in handles:
            handle.remove()


def measure(tensor: Tensor) -> Tensor:
    """Number of values, of NaN, of infinite ones, and the norm of the others, on the device."""
    exact = tensor.detach().to(torch.float64)
    is_finite = torch.isfinite(exact)
    counts = (torch.ones_like(exact), exact.isnan(), exact.isinf())
    # The largest is taken out: a square of 1e200 overflows even here.
    finite = torch.where(is_finite, exact, 0.0)
    largest = finite.abs().max() if tensor.numel() else exact.sum()
    scale = torch.where(largest > 0, largest, 1.0)
    norm = largest * (finite / scale).square().sum().sqrt()
    return torch.stack([*(count.sum().to(torch.float64) for count in counts), norm])


def read_measures(measures: Sequence[Tensor]) -> list[Measure]:
    """What `measure` gave, read from the device at once."""
    rows = torch.stack(list(measures)).tolist() if measures else []
    return [Measure(int(row[0]), int(row[1]), int(row[2]), row[3]) for row in rows]


def _read(seen: list[tuple[What, str, str, int, Tensor]]) -> tuple[Sight, ...]:
    measures = read_measures([values for *_, values in seen])
    return tuple(
        Sight(what, module, tensor, call, found)
        for (what, module, tensor, call, _), found in zip(seen, measures, strict=True)
    )


def _is_real(tensor: Tensor) -> bool:
    return tensor.is_floating_point()


def _iter_tensors(value: Any) -> Iterator[Tensor]:
    """The floating-point tensors in what a module returned, however it is nested."""
    if isinstance(value, Tensor):
        if _is_real(value):
            yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _iter_tensors(part)
    elif isinstance(value, tuple | list):
        for part in value:
            yield from _iter_tensors(part)
