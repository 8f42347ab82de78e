"""Several runs as one program: each is a lane of the same stacked tensors.

A small model leaves most of a device idle. Here the steps of up to a few dozen runs are one
call: their parameters are stacked, and `torch.func.vmap` maps the step over them, and on a GPU the
evaluation (`lane_evaluation`). Everything else between steps (checkpoints, divergence, the end) is
each run's own, in the code that it has alone. A lane's numbers are its solo run's but for the
order of floating-point sums. What one lane does never reaches another: one that diverges, ends or
goes back leaves the others as they are.

Shapes: L lanes, S steps, B samples of a batch, C columns of a record.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from hpcexp.errors import is_out_of_memory
from hpcexp.train.fit import FitResult, Training
from hpcexp.train.graph import CapturedStep, Step
from hpcexp.train.inputs import STEPS_PER_BLOCK, InputBlock, take_rows
from hpcexp.train.lane_evaluation import evaluate_together
from hpcexp.train.step import StepInputs, TrainState
from hpcexp.train.strategy import Strategy, Tensors

logger = logging.getLogger("hpcexp.worker")

SEGMENT_S = 0.25
"""Steps that take longer than this in all are not taken without looking around."""

Within = Callable[[int], AbstractContextManager[object]]


@dataclass
class Ways:
    """How lanes are trained that fail as such, and whether they are evaluated in one call."""

    gives_back: bool
    evaluates_together: bool


@dataclass(frozen=True)
class LaneEnd:
    """How the run at a position ended: its result, or what went wrong.

    A run that is given back was asked to end, for the reason in its result: it is to be trained
    without the others.
    """

    position: int
    result: FitResult | Exception
    is_given_back: bool = False


class Lane:
    """A run as one of several. `num_free` steps may follow before it wants to look around."""

    def __init__(self, position: int, training: Training, within: Within) -> None:
        self.position, self.training, self.within = position, training, within
        self.steps: Generator[int, int, FitResult] = training.run()
        self.num_free = 0

    def begin(self) -> LaneEnd | None:
        """Up to the first step."""
        return self._advance(lambda: next(self.steps))

    def look_around(self, num_taken: int) -> LaneEnd | None:
        """What is due after these steps; says how the run ended if it did."""
        return self._advance(lambda: self.steps.send(num_taken))

    def take_step_alone(self) -> LaneEnd | None:
        """One step without the others."""
        return self._advance(self._take_step)

    def give_back(self, why: str) -> LaneEnd:
        """Have the run end here, with a checkpoint from which it can go on elsewhere."""
        self.training.asked_to_end = f"cannot be a lane of one program ({why})"
        end = self.look_around(0)
        assert end is not None, "a run that is asked to end does"
        is_given_back = isinstance(end.result, FitResult) and end.result.outcome == "interrupted"
        return LaneEnd(end.position, end.result, is_given_back)

    def _take_step(self) -> int:
        self.training.take_step()
        return self.steps.send(1)

    def _advance(self, go: Callable[[], int]) -> LaneEnd | None:
        with self.within(self.position):
            try:
                self.num_free = go()
            except StopIteration as end:
                return LaneEnd(self.position, end.value)
            except Exception as error:
                return LaneEnd(self.position, error)
        return None


def fit_lanes(
    trainings: Sequence[Training],
    *,
    within: Within | None = None,
    gives_back: bool = False,
    evaluates_together: bool | None = None,
) -> Iterator[LaneEnd]:
    """Train runs of equal shape together; gives the end of each as it comes.

    They may be at different steps. Code that is one run's is called in its `within` context,
    which is given the run's position. An error of one run ends that run. Where there is not
    enough memory for all, half of them wait for the others; where the model cannot be mapped
    over lanes, the runs are given back, or else trained one after another. Evaluations are one
    call on a GPU, and each run's own on a CPU, where that needs less memory and no more time.
    """
    _share_data(trainings)
    if evaluates_together is None:
        evaluates_together = any(t.options.device.type == "cuda" for t in trainings)
    ways = Ways(gives_back, evaluates_together)
    lanes = []
    for position, training in enumerate(trainings):
        lane = Lane(position, training, within or nullcontext)
        if (end := lane.begin()) is not None:
            yield end
        else:
            lanes.append(lane)
    yield from _train(lanes, ways)


def _train(lanes: list[Lane], ways: Ways) -> Iterator[LaneEnd]:
    while len(lanes) > 1:
        try:
            program = Program([lane.training for lane in lanes])
        except Exception as error:
            yield from _go_on_without(lanes, error, ways)
            return
        while True:
            try:
                num_taken = program.take_steps(min(lane.num_free for lane in lanes))
            except Exception as error:
                program.give_back()
                yield from _go_on_without(lanes, error, ways)
                return
            program.give_back()
            if ways.evaluates_together:
                ways.evaluates_together = evaluate_together(program.trainings)
            ends = {lane: lane.look_around(num_taken) for lane in lanes}
            yield from (end for end in ends.values() if end is not None)
            lanes = [lane for lane in lanes if ends[lane] is None]
            if len(lanes) != len(ends) or program.is_stale():
                break
    for lane in lanes:
        yield _finish_alone(lane)


def _go_on_without(lanes: list[Lane], error: Exception, ways: Ways) -> Iterator[LaneEnd]:
    """What the lanes could not do as one program, they do in smaller ones."""
    if is_out_of_memory(error):
        half = len(lanes) // 2
        logger.warning("%d lanes need more memory than there is: %d wait", len(lanes), half)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        yield from _train(lanes[half:], ways)
        yield from _train(lanes[:half], ways)
        return
    why = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
    logger.warning(
        "runs cannot be trained as lanes of one program, and %s: %s",
        "go on in processes of their own" if ways.gives_back else "follow one another",
        why,
    )
    for lane in lanes:
        yield lane.give_back(why) if ways.gives_back else _finish_alone(lane)


def _finish_alone(lane: Lane) -> LaneEnd:
    # It may have waited for others: somebody may have asked it to end meanwhile.
    end = lane.look_around(0)
    while end is None:
        end = lane.take_step_alone()
    return end


class Program:
    """The stacked state of runs, and the step that is mapped over them.

    It holds for as long as the runs are the same and none of them changed its own state.
    """

    def __init__(self, trainings: Sequence[Training]) -> None:
        self.trainings = trainings
        self.function = trainings[0].step_function
        self.step = _choose_step(trainings[0])
        self.state = stack_states([training.state for training in trainings])
        self.given: list[TrainState] = []
        self.blocks = StackedBlocks(len(trainings))
        self.samples, self.first_L = _join_samples([t.data["train"] for t in trainings])
        self.step_s = 0.0

    def take_steps(self, num_free: int) -> int:
        """Take steps of all runs, as many as may follow before the next look around."""
        self.blocks.load([training.get_block() for training in self.trainings])
        wanted = int(SEGMENT_S / self.step_s) if self.step_s else 1
        num_steps = max(1, min(num_free, wanted))
        positions = [training.step % STEPS_PER_BLOCK for training in self.trainings]
        factors = [training.lr_factor for training in self.trainings]
        begun, records = time.monotonic(), list[Tensor]()
        for taken in range(num_steps):
            inputs = self._select([position + taken for position in positions], factors)
            try:
                self.state, record_LC = self.step(self.state, inputs)
            except Exception:
                if not records:
                    raise
                break  # it will come again, at the first step of the next call
            records.append(record_LC)
        records_LSC = torch.stack(records, dim=1)
        self.step_s = (time.monotonic() - begun) / len(records)
        for training, records_SC in zip(self.trainings, records_LSC.unbind(), strict=True):
            training.note_steps(records_SC)
        return len(records)

    def give_back(self) -> None:
        """Let every run see its own state."""
        if isinstance(self.step, CapturedStep):
            self.state = self.step.keep(self.state)
        self.given = _unstack_state(self.state, len(self.trainings))
        for training, state in zip(self.trainings, self.given, strict=True):
            training.state = state

    def is_stale(self) -> bool:
        """Whether a run has replaced its state since, as one does that goes back."""
        pairs = zip(self.trainings, self.given, strict=True)
        return any(training.state is not given for training, given in pairs)

    def _select(self, positions: Sequence[int], factors: Sequence[float]) -> StepInputs:
        indices, noise, values = self.blocks.select(positions)
        if any(factor != 1.0 for factor in factors):
            values["lr"] = values["lr"] * values["lr"].new_tensor(factors)
        if self.function.strategy is not None:
            indices = self._choose_samples(self.function.strategy, indices, values)
        first_L = self.first_L.to(indices.device)
        rows = indices + first_L.view(-1, *[1] * (indices.dim() - 1))
        return StepInputs(take_rows(self.samples, rows), noise, values)

    def _choose_samples(
        self, strategy: Strategy, indices_LB: Tensor, values: Mapping[str, Tensor]
    ) -> Tensor:
        """Of other samples, where a strategy chooses them by what it remembers."""
        chosen = []
        for lane, indices_B in enumerate(indices_LB):
            memory = {name: tensor[lane] for name, tensor in self.state.strategy.items()}
            own = {name: tensor[lane] for name, tensor in values.items()}
            found = strategy.choose_samples(memory, own)
            chosen.append(indices_B if found is None else found)
        return torch.stack(chosen)


def _choose_step(training: Training) -> Step:
    step, options = training.step_function.step_lanes, training.options
    return CapturedStep(step) if options.captures and options.device.type == "cuda" else step


class StackedBlocks:
    """The blocks of all runs as one; a run's part is renewed when it comes to its next block."""

    def __init__(self, num_lanes: int) -> None:
        self.loaded: list[InputBlock | None] = [None] * num_lanes
        self.tensors: dict[str, Tensors] = {}

    def load(self, blocks: Sequence[InputBlock]) -> None:
        """Have these blocks, one of each run."""
        parts = [_split_block(block) for block in blocks]
        if not self.tensors:
            self.tensors = {
                kind: {
                    name: tensor.new_empty(len(blocks), *tensor.shape)
                    for name, tensor in tensors.items()
                }
                for kind, tensors in parts[0].items()
            }
        for lane, (block, part) in enumerate(zip(blocks, parts, strict=True)):
            if self.loaded[lane] is not block:
                for kind, tensors in part.items():
                    for name, tensor in tensors.items():
                        self.tensors[kind][name][lane] = tensor
                self.loaded[lane] = block

    def select(self, positions: Sequence[int]) -> tuple[Tensor, Tensors, Tensors]:
        """Indices (L, B) or (L, B, n), noise and values of one step of each run."""
        first = positions[0]
        if all(position == first for position in positions):
            chosen = {k: {n: t[:, first] for n, t in ts.items()} for k, ts in self.tensors.items()}
        else:
            at_L = torch.tensor(positions, device=self.tensors["indices"][""].device)
            lanes_L = torch.arange(len(positions), device=at_L.device)
            chosen = {
                k: {n: t[lanes_L, at_L] for n, t in ts.items()} for k, ts in self.tensors.items()
            }
        return chosen["indices"][""], chosen["noise"], chosen["values"]


def _split_block(block: InputBlock) -> dict[str, Mapping[str, Tensor]]:
    return {"indices": {"": block.indices}, "noise": block.noise, "values": block.values}


def _join_samples(sets: Sequence[Mapping[str, Tensor]]) -> tuple[Tensors, Tensor]:
    """Training sets one behind the other, each kept once, and where that of each run begins."""
    distinct: list[Mapping[str, Tensor]] = []
    chosen = []
    for samples in sets:
        known = next((i for i, other in enumerate(distinct) if _is_same(samples, other)), None)
        chosen.append(len(distinct) if known is None else known)
        if known is None:
            distinct.append(samples)
    starts = [0]
    for samples in distinct:
        starts.append(starts[-1] + len(next(iter(samples.values()))))
    joined = (
        dict(distinct[0])
        if len(distinct) == 1
        else {name: torch.cat([samples[name] for samples in distinct]) for name in distinct[0]}
    )
    device = next(iter(joined.values())).device
    return joined, torch.tensor([starts[i] for i in chosen], device=device)


def _share_data(trainings: Sequence[Training]) -> None:
    """Have runs of equal data hold the same tensors: once in memory, and equal at a glance."""
    kept: list[dict[str, dict[str, Tensor]]] = []
    for training in trainings:
        for data in kept:
            own = training.data
            if own.keys() == data.keys() and all(_is_same(own[s], data[s]) for s in own):
                training.data = data
                break
        else:
            kept.append(training.data)


def _is_same(samples: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    return samples.keys() == other.keys() and all(
        tensor is other[name] or torch.equal(tensor, other[name])
        for name, tensor in samples.items()
    )


def stack_states(states: Sequence[TrainState]) -> TrainState:
    """One state, whose tensors have a first dimension of lanes."""
    return TrainState(
        parameters=_stack([state.parameters for state in states]),
        buffers=_stack([state.buffers for state in states]),
        optimizer=_stack([state.optimizer for state in states]),
        step=torch.stack([state.step for state in states]),
        alive=torch.stack([state.alive for state in states]),
        strategy=_stack([state.strategy for state in states]),
    )


def _stack(trees: Sequence[Mapping[str, Tensor]]) -> Tensors:
    return {name: torch.stack([tree[name] for tree in trees]) for name in trees[0]}


def _unstack_state(state: TrainState, num_lanes: int) -> list[TrainState]:
    trees = (state.parameters, state.buffers, state.optimizer, state.strategy)
    parts = [_unstack(tree, num_lanes) for tree in trees]
    return [
        TrainState(parameters, buffers, optimizer, step, alive, strategy)
        for parameters, buffers, optimizer, strategy, step, alive in zip(
            *parts, state.step.unbind(), state.alive.unbind(), strict=True
        )
    ]


def _unstack(tensors: Tensors, num_lanes: int) -> list[Tensors]:
    if not tensors:
        return [{} for _ in range(num_lanes)]
    rows = zip(*(tensor.unbind() for tensor in tensors.values()), strict=True)
    return [dict(zip(tensors, row, strict=True)) for row in rows]
