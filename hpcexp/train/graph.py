"""The step of lanes as a graph that a GPU replays: hundreds of kernels are launched by one call.

A graph reads and writes the memory in which it was captured. So the state and what a step reads
are copied to places that stay, and a graph serves as long as all shapes are the same. Before it is
used its first step is held against that of the plain function; where it cannot be captured, or
gives something else, steps are taken plainly as before.

PyTorch says what can be captured: https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from hpcexp.train.step import StepInputs, TrainState

logger = logging.getLogger("hpcexp.worker")

NUM_WARM_UP = 3
"""Plain steps before a capture: libraries choose their algorithms and make room for them."""

MAX_CAPTURES = 8
"""Steps whose shapes go on changing are not worth a capture each."""

RELATIVE_TOLERANCE, ABSOLUTE_TOLERANCE = 1e-3, 1e-6
"""By what a replay may differ from a plain step: by more than sums in another order do."""

Step = Callable[[TrainState, StepInputs], tuple[TrainState, Tensor]]
Capture = Callable[[Callable[[], None]], Callable[[], object]]


@dataclass(frozen=True)
class _Graph:
    """What was captured, and the places from which it reads and to which it writes."""

    state: TrainState
    inputs: StepInputs
    record: Tensor
    replay: Callable[[], object]


class CapturedStep:
    """A step function that is captured at its first call, and again where shapes change.

    The state that a call returns is overwritten by the next one: `keep` it before it is given to
    anybody else. `capture` makes something that can be replayed of a function.
    """

    def __init__(self, step: Step, *, capture: Capture | None = None) -> None:
        self._plain, self._capture = step, capture or capture_on_gpu
        self._graph: _Graph | None = None
        self._shapes: Any = None
        self._num_left = MAX_CAPTURES

    def __call__(self, state: TrainState, inputs: StepInputs) -> tuple[TrainState, Tensor]:
        """What the step function returns, but for the order of sums."""
        shapes = _describe((state, inputs))
        if shapes != self._shapes:
            state = self.keep(state)
            self._graph, self._shapes = self._try_to_capture(state, inputs), shapes
        graph = self._graph
        if graph is None:
            return self._plain(state, inputs)
        _copy(state, graph.state)
        _copy(inputs, graph.inputs)
        graph.replay()
        return graph.state, graph.record.clone()

    def keep(self, state: TrainState) -> TrainState:
        """A state that no later call changes."""
        return state if self._graph is None else _clone(state)

    def _try_to_capture(self, state: TrainState, inputs: StepInputs) -> _Graph | None:
        if not self._num_left:
            return None
        self._num_left -= 1
        try:
            return self._make_graph(state, inputs)
        except Exception as error:
            self._num_left = 0
            why = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
            logger.warning("steps are not captured as a CUDA graph, but taken as usual: %s", why)
            return None

    def _make_graph(self, state: TrainState, inputs: StepInputs) -> _Graph:
        expected = self._plain(state, inputs)
        places = _clone(state), _clone(inputs), torch.zeros_like(expected[1])

        def take() -> None:
            new, record = self._plain(places[0], places[1])
            _copy((new, record), (places[0], places[2]))

        graph = _Graph(*places, self._capture(take))
        _copy(state, graph.state)
        graph.replay()
        _check_alike((graph.state, graph.record), expected)
        return graph


def capture_on_gpu(function: Callable[[], None]) -> Callable[[], object]:
    """Capture a function that reads and writes the same tensors on a GPU at every call.

    Raises RuntimeError where it does what a graph cannot, such as asking the GPU for a number.
    """
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(NUM_WARM_UP):
            function()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        function()
    return graph.replay


def _check_alike(found: Any, expected: Any) -> None:
    """Raises RuntimeError where tensors are not the same within the tolerance."""
    pairs = zip(pytree.tree_leaves(found), pytree.tree_leaves(expected), strict=True)
    for pair in pairs:
        one, other = (torch.nan_to_num(tensor.double()) for tensor in pair)
        # As a whole: Adam makes whole steps of gradients that are nothing but round-off.
        if (one - other).norm() > RELATIVE_TOLERANCE * other.norm() + ABSOLUTE_TOLERANCE:
            raise RuntimeError("a replay differs from a plain step")


def _describe(tree: Any) -> Any:
    """The shapes of all tensors, where they stand, and of what they are."""
    leaves, structure = pytree.tree_flatten(tree)
    return structure, [(tuple(leaf.shape), leaf.dtype, leaf.device) for leaf in leaves]


def _clone(tree: Any) -> Any:
    return pytree.tree_map(lambda leaf: leaf.detach().clone(), tree)


def _copy(source: Any, target: Any) -> None:
    given, structure = pytree.tree_flatten(source)
    places, wanted = pytree.tree_flatten(target)
    if structure != wanted:  # leaves go by their order
        raise RuntimeError("a step returns another state than it was given")
    with torch.no_grad():
        for tensor, place in zip(given, places, strict=True):
            if tensor is not place:
                place.copy_(tensor)
