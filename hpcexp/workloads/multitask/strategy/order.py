"""Which tasks are trained when.

An order gives the active tasks of a step, learns that a step was made, and observes evaluations.
Activities are (L,), 1 for an active task and 0 for one that rests; at least one is always active.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import torch
from torch import Tensor

from hpcexp.workloads.multitask.config import Config
from hpcexp.workloads.multitask.config.strategy import Curriculum as Settings
from hpcexp.workloads.multitask.strategy.memory import Tensors, put, take
from hpcexp.workloads.multitask.strategy.stop_and_go import find_strides, judge, start_going


class OrderRule(Protocol):
    """One way of ordering tasks."""

    def start(self, ones_L: Tensor) -> Tensors:
        """The memory before the first step."""
        ...

    def choose(self, memory: Tensors, values: Mapping[str, Tensor]) -> Tensor:
        """The active tasks of the next step."""
        ...

    def learn(self, memory: Tensors, active_L: Tensor, values: Mapping[str, Tensor]) -> Tensors:
        """The memory after a step."""
        ...

    def observe(self, memory: Tensors, losses_L: Tensor, *, step: int) -> Tensors:
        """The memory after an evaluation with these validation losses."""
        ...


class Together:
    """All tasks, always."""

    def start(self, ones_L: Tensor) -> Tensors:
        """Only how many tasks there are."""
        return {"ones": ones_L}

    def choose(self, memory: Tensors, values: Mapping[str, Tensor]) -> Tensor:
        """All."""
        del values
        return memory["ones"]

    def learn(self, memory: Tensors, active_L: Tensor, values: Mapping[str, Tensor]) -> Tensors:
        """Nothing to learn."""
        del active_L, values
        return memory

    def observe(self, memory: Tensors, losses_L: Tensor, *, step: int) -> Tensors:
        """Nothing to decide."""
        del losses_L, step
        return memory


class RoundRobin(Together):
    """One batch for each task in turn: the task that is due the soonest, ties in their order.

    `due` counts turns. A task that goes is due in every turn, one that has stopped in every
    `gap`-th; a turn in which nothing is due takes no step.
    """

    def start(self, ones_L: Tensor) -> Tensors:
        """All are due at once."""
        return {"due": torch.zeros_like(ones_L)}

    def choose(self, memory: Tensors, values: Mapping[str, Tensor]) -> Tensor:
        """The one whose turn it is."""
        del values
        return _mark(memory["due"].argmin(), like=memory["due"])

    def learn(self, memory: Tensors, active_L: Tensor, values: Mapping[str, Tensor]) -> Tensors:
        """The trained task is due again one stride later."""
        del values
        return {**memory, "due": memory["due"] + active_L * self.find_strides(memory)}

    def find_strides(self, memory: Tensors) -> Tensor:
        """Turns between two trainings of a task."""
        return torch.ones_like(memory["due"])


class OneAtATime(Together):
    """Tasks one after the other: phases of equal length, or each until it no longer improves."""

    def __init__(self, config: Config) -> None:
        self.settings = config.one_at_a_time

    def start(self, ones_L: Tensor) -> Tensors:
        """The first task, nothing evaluated."""
        zero = torch.zeros_like(ones_L[0])
        return {
            "zeros": torch.zeros_like(ones_L),
            "phase": zero,
            "reference": torch.full_like(zero, torch.inf),
            "waited": zero.clone(),
        }

    def choose(self, memory: Tensors, values: Mapping[str, Tensor]) -> Tensor:
        """The task of the phase."""
        is_timed = self.settings.advance == "budget"
        phase = values["task_phase"] if is_timed else memory["phase"]
        return _mark(phase, like=memory["zeros"])

    def observe(self, memory: Tensors, losses_L: Tensor, *, step: int) -> Tensors:
        """On to the next task where this one has not improved for some evaluations."""
        if self.settings.advance == "budget" or step == 0:
            return memory
        loss = (_mark(memory["phase"], like=losses_L) * losses_L).sum()
        reference = memory["reference"]
        gains = reference.isinf() | (loss < reference * (1 - self.settings.min_gain))
        waited = torch.where(gains, 0.0, memory["waited"] + 1)
        is_last = memory["phase"] >= len(losses_L) - 1
        advances = (waited >= self.settings.patience) & ~is_last
        kept = torch.where(gains, loss, reference)
        return {
            **memory,
            "phase": memory["phase"] + advances,
            "reference": torch.where(advances, torch.inf, kept),
            "waited": torch.where(advances, 0.0, waited),
        }


class StopAndGoTogether(Together):
    """Dynamic stop-and-go of tasks that are trained together."""

    def __init__(self, config: Config) -> None:
        self.settings = config.dsg

    def start(self, ones_L: Tensor) -> Tensors:
        """All go."""
        return {"turn": torch.zeros_like(ones_L[0]), **start_going(ones_L)}

    def choose(self, memory: Tensors, values: Mapping[str, Tensor]) -> Tensor:
        """Those that go, and all in every `gap`-th turn; all where none goes."""
        del values
        is_turn_of_all = torch.remainder(memory["turn"], self.settings.gap) == 0
        is_active = (memory["goes"] > 0) | is_turn_of_all | ~(memory["goes"] > 0).any()
        return is_active.to(memory["goes"].dtype)

    def learn(self, memory: Tensors, active_L: Tensor, values: Mapping[str, Tensor]) -> Tensors:
        """Count the turn."""
        del active_L, values
        return {**memory, "turn": memory["turn"] + 1}

    def observe(self, memory: Tensors, losses_L: Tensor, *, step: int) -> Tensors:
        """Stop and restart tasks."""
        del step
        return {"turn": memory["turn"], **judge(memory, losses_L, self.settings)}


class StopAndGoRoundRobin(RoundRobin):
    """Dynamic stop-and-go of tasks that are trained in turn."""

    def __init__(self, config: Config) -> None:
        self.settings = config.dsg

    def start(self, ones_L: Tensor) -> Tensors:
        """All go, and all are due at once."""
        return {**super().start(ones_L), **start_going(ones_L)}

    def find_strides(self, memory: Tensors) -> Tensor:
        """1 for those that go, the gap for the others."""
        return find_strides(memory, self.settings)

    def observe(self, memory: Tensors, losses_L: Tensor, *, step: int) -> Tensors:
        """Stop and restart tasks; one that restarts is due in this turn."""
        del step
        judged = judge(memory, losses_L, self.settings)
        restarts = (judged["goes"] > 0) & ~(memory["goes"] > 0)
        due_L = memory["due"]
        return {**judged, "due": torch.where(restarts, due_L.min(), due_L)}


class Curriculum(Together):
    """A probe of all tasks, then the half that converged the fastest (or slowest), then DSG.

    A task's convergence time is the first evaluation of the probe at which it has made 95 % of
    its own gain; one that gained next to nothing comes last. Ties are in the order of the tasks.
    Source: Lu et al. 2020, appendix; the paper preferred neither order.
    """

    def __init__(self, config: Config, *, slowest_first: bool) -> None:
        self.settings, self.slowest_first = config.curriculum, slowest_first
        self.num_evaluations = config.num_probe_evaluations
        self.probe_end = int(config.curriculum.probe * config.num_steps)
        both = config.curriculum.probe + config.curriculum.pretrain
        self.pretrain_end = int(both * config.num_steps)
        self.after = StopAndGoTogether(config)

    def start(self, ones_L: Tensor) -> Tensors:
        """No evaluation yet; the first row of `curve` is that of the untrained model."""
        curve = torch.full(
            (self.num_evaluations + 1, *ones_L.shape),
            torch.nan,
            dtype=ones_L.dtype,
            device=ones_L.device,
        )
        count = torch.zeros((), dtype=torch.int64, device=ones_L.device)
        return {"curve": curve, "count": count, **put("after", self.after.start(ones_L))}

    def choose(self, memory: Tensors, values: Mapping[str, Tensor]) -> Tensor:
        """All, then one half, then those that go."""
        times_L = find_convergence(memory["curve"], self.settings)
        half_L = self._choose_half(times_L)
        later_L = self.after.choose(take(memory, "after"), values)
        stage = values["task_phase"]
        pretrained_L = torch.where(stage < 1, torch.ones_like(half_L), half_L)
        return torch.where(stage > 1, later_L, pretrained_L)

    def learn(self, memory: Tensors, active_L: Tensor, values: Mapping[str, Tensor]) -> Tensors:
        """Count turns from the beginning of stop-and-go on."""
        after = take(memory, "after")
        learned = self.after.learn(after, active_L, values)
        counts = values["task_phase"] > 1
        return memory | put(
            "after", {k: torch.where(counts, learned[k], v) for k, v in after.items()}
        )

    def observe(self, memory: Tensors, losses_L: Tensor, *, step: int) -> Tensors:
        """Note the losses of the probe; later, stop and restart tasks."""
        if step > self.pretrain_end:
            after = self.after.observe(take(memory, "after"), losses_L, step=step)
            return memory | put("after", after)
        if step > self.probe_end:
            return memory
        places = torch.arange(len(memory["curve"]), device=losses_L.device)
        is_next = (places == memory["count"])[:, None]
        curve = torch.where(is_next, losses_L, memory["curve"])
        return memory | {"curve": curve, "count": memory["count"] + 1}

    def _choose_half(self, times_L: Tensor) -> Tensor:
        slowness_L = -times_L if self.slowest_first else times_L
        rank_L = slowness_L.argsort(stable=True).argsort(stable=True)
        size = -(-len(times_L) // 2)
        return (rank_L < size).to(times_L.dtype)


def find_convergence(curve_EL: Tensor, settings: Settings) -> Tensor:
    """The first evaluation at which each task has made most of its own gain, (L,).

    `curve_EL` are validation losses, NaN where not evaluated. A task that has gained next to
    nothing gets the number of evaluations: later than any.
    """
    converged, min_gain = settings.converged, settings.min_gain
    first_L = curve_EL[0]
    known_EL = torch.where(curve_EL.isnan(), torch.inf, curve_EL)
    gain_L = first_L - known_EL.amin(dim=0)
    has_converged_EL = first_L - known_EL >= converged * gain_L
    time_L = has_converged_EL.to(first_L.dtype).argmax(dim=0).to(first_L.dtype)
    is_learned = gain_L > min_gain * first_L.abs()
    return torch.where(is_learned, time_L, float(len(curve_EL)))


def _mark(index: Tensor, *, like: Tensor) -> Tensor:
    """1 at an index, 0 elsewhere."""
    places = torch.arange(len(like), device=like.device)
    return (places == index).to(like.dtype)


def make_order(config: Config) -> OrderRule:
    """The order that a config asks for."""
    makers: Mapping[str, Callable[[Config], OrderRule]] = {
        "together": lambda _: Together(),
        "one_at_a_time": OneAtATime,
        "round_robin": lambda _: RoundRobin(),
        "dsg": StopAndGoTogether,
        "dsg_round_robin": StopAndGoRoundRobin,
        "curriculum": lambda c: Curriculum(c, slowest_first=False),
        "anti_curriculum": lambda c: Curriculum(c, slowest_first=True),
    }
    return makers[config.order](config)


def find_task_phase(config: Config, step: int) -> int:
    """The phase of the order at a step: the task's place, or the stage of a curriculum."""
    if config.order == "one_at_a_time":
        num_tasks = len(config.tasks)
        return min(step * num_tasks // config.num_steps, num_tasks - 1)
    if "curriculum" in config.order:
        both = config.curriculum.probe + config.curriculum.pretrain
        ends = (int(config.curriculum.probe * config.num_steps), int(both * config.num_steps))
        return sum(step >= end for end in ends)
    return 0
