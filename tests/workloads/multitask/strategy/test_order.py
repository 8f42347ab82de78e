"""Orders on scripted losses: who is active when."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from hpcexp.workloads.multitask.config.strategy import Curriculum, StopAndGo
from hpcexp.workloads.multitask.strategy.memory import Tensors
from hpcexp.workloads.multitask.strategy.order import (
    OrderRule,
    find_convergence,
    find_task_phase,
    make_order,
)
from hpcexp.workloads.multitask.strategy.stop_and_go import judge, start_going
from tests.workloads.multitask.conftest import make_config

ONES = torch.ones(3)
SCRIPT = [1, 0.8, 0.7, 0.6999, 0.6999, 0.6999, 0.7, 0.71]


def take_steps(
    order: OrderRule, memory: Tensors, num_steps: int, *, phase: float = 0.0
) -> tuple[Tensors, list[list[int]]]:
    """The memory after some steps, and which tasks each of them trained."""
    values, chosen = {"task_phase": torch.tensor(phase)}, []
    for _ in range(num_steps):
        active = order.choose(memory, values)
        memory = order.learn(memory, active, values)
        chosen.append(active.nonzero().flatten().tolist())
    return memory, chosen


def make(order: str, **changes: Any) -> OrderRule:
    return make_order(make_config(order=order, **changes))


# Stop and go


def follow(losses: list[float], settings: StopAndGo) -> list[bool]:
    """Whether the task goes after each evaluation."""
    memory, goes = start_going(torch.ones(1)), []
    for loss in losses:
        memory = judge(memory, torch.tensor([loss]), settings)
        goes.append(bool(memory["goes"]))
    return goes


def test_a_task_stops_at_the_fifth_evaluation_of_the_script_and_restarts_at_the_eighth() -> None:
    assert follow(SCRIPT, StopAndGo()) == [True] * 4 + [False] * 3 + [True]


def test_a_restarted_task_is_given_its_patience_anew() -> None:
    assert follow([*SCRIPT, 0.71, 0.71], StopAndGo())[-3:] == [True, True, False]


def test_small_gains_that_add_up_are_a_gain() -> None:
    creeping = [1 - 0.0006 * step for step in range(20)]
    assert all(follow(creeping, StopAndGo()))


def test_a_rise_is_measured_from_the_best_and_not_from_the_last() -> None:
    """Small rises that add up are a loss too."""
    rising = [0.5, 0.5, 0.5, 0.501, 0.502, 0.503]
    assert follow(rising, StopAndGo()) == [True, True, False, False, False, True]


def test_tasks_that_go_train_together_and_one_that_stopped_every_fourth_turn() -> None:
    order = make("dsg")
    memory = order.start(ONES)
    for loss in SCRIPT[:5]:
        memory = order.observe(memory, torch.tensor([1 / (1 + loss), loss, loss]), step=1)
    memory = {**memory, "goes": torch.tensor([1.0, 0.0, 1.0])}
    _, chosen = take_steps(order, memory, 8)
    everybody, goers = [0, 1, 2], [0, 2]
    assert chosen == [everybody, goers, goers, goers] * 2


@pytest.mark.parametrize("name", ["dsg", "dsg_round_robin"])
def test_where_no_task_goes_every_step_still_trains_something(name: str) -> None:
    order = make(name)
    memory = {**order.start(ONES), "goes": torch.zeros(3)}
    _, chosen = take_steps(order, memory, 9)
    assert all(chosen)
    counts = [sum(task in step for step in chosen) for task in range(3)]
    assert max(counts) - min(counts) <= 1


# Round robin


def test_tasks_take_turns_and_their_counts_differ_by_one_at_most() -> None:
    order = make("round_robin")
    memory, chosen = take_steps(order, order.start(ONES), 7)
    assert chosen == [[0], [1], [2], [0], [1], [2], [0]]
    _, more = take_steps(order, memory, 2)
    assert more == [[1], [2]]


def test_in_round_robin_a_stopped_task_gets_every_fourth_turn() -> None:
    order = make("dsg_round_robin")
    memory = {**order.start(ONES), "goes": torch.tensor([1.0, 0.0, 1.0])}
    _, chosen = take_steps(order, memory, 18)
    counts = [chosen.count([task]) for task in range(3)]
    assert counts == [8, 2, 8]


def test_in_round_robin_a_task_that_restarts_is_due_at_once() -> None:
    order = make("dsg_round_robin")
    memory = order.start(ONES)
    for loss in SCRIPT[:7]:
        falling = 1 / (1 + memory["waited"][1].item() + loss)
        memory = order.observe(memory, torch.tensor([falling, loss, falling / 2]), step=1)
    memory, _ = take_steps(order, memory, 6)
    assert memory["goes"][1] == 0
    memory = order.observe(memory, torch.tensor([0.0, 0.71, 0.0]), step=1)
    assert memory["goes"][1] == 1
    _, chosen = take_steps(order, memory, 3)
    assert [1] in chosen


# One at a time


def test_phases_share_the_budget_equally_and_the_last_stays() -> None:
    config = make_config(order="one_at_a_time", max_step=12)
    assert [find_task_phase(config, s) for s in (0, 3, 4, 7, 8, 11, 99)] == [0, 0, 1, 1, 2, 2, 2]
    order = make_order(config)
    for phase in range(3):
        _, chosen = take_steps(order, order.start(ONES), 2, phase=phase)
        assert chosen == [[phase], [phase]]


def test_on_a_plateau_the_next_task_begins_and_the_last_goes_on() -> None:
    order = make("one_at_a_time", one_at_a_time={"advance": "plateau", "patience": 2})
    memory, phases = order.start(ONES), []
    for first in [1.0, 0.5, 0.5, 0.5, 9.0, 0.4, 0.4, 0.4, 0.4, 0.4, 0.4]:
        losses = torch.tensor([first, 1.0, 1.0])
        memory = order.observe(memory, losses, step=1)
        phases.append(int(memory["phase"]))
    # Task 0 stops to improve at its second evaluation; the others never improve at all.
    assert phases == [0, 0, 0, 1, 1, 1, 2, 2, 2, 2, 2]


# Curriculum

CURVE = torch.tensor([[1.0, 1.0, 1.0, 1.0], [0.5, 0.1, 1.0, 0.9], [0.1, 0.1, 0.999, 0.2]])


def test_a_task_converges_where_it_has_made_most_of_its_own_gain() -> None:
    """The second at once, the first and the last at the end, the third never learns."""
    assert find_convergence(CURVE, Curriculum()).tolist() == [2, 1, 3, 2]


def test_evaluations_still_to_come_do_not_count() -> None:
    longer = torch.cat([CURVE, torch.full((2, 4), torch.nan)])
    assert find_convergence(longer, Curriculum()).tolist() == [2, 1, 5, 2]


def observe_probe(order: OrderRule, *, num_tasks: int = 4) -> Tensors:
    memory = order.start(torch.ones(num_tasks))
    for step, losses in enumerate(CURVE):
        memory = order.observe(memory, losses, step=4 * step)
    return memory


FOUR: dict[str, Any] = {
    "tasks": ["easy", "related", "junk", "xor"],
    "max_epoch": 6,
    "curriculum": {"probe": 0.34, "pretrain": 0.33},
}


@pytest.mark.parametrize(("name", "half"), [("curriculum", [0, 1]), ("anti_curriculum", [0, 2])])
def test_after_the_probe_one_half_is_trained_and_then_those_that_go(
    name: str, half: list[int]
) -> None:
    """Ties are in the order of the tasks: the first task and the last converge together."""
    order = make(name, **FOUR)
    memory = observe_probe(order)
    for phase, expected in ((0.0, [0, 1, 2, 3]), (1.0, half), (2.0, [0, 1, 2, 3])):
        _, chosen = take_steps(order, memory, 1, phase=phase)
        assert chosen == [expected]


def test_stop_and_go_begins_after_the_pretraining() -> None:
    order = make("curriculum", **FOUR)
    memory = observe_probe(order)
    flat = torch.ones(4)
    before = order.observe(memory, flat, step=14)
    assert all(torch.equal(before[k], v) for k, v in memory.items())
    after = memory
    for _ in range(3):
        after = order.observe(after, flat, step=20)
    assert (after["after.goes"] == 0).all()


def test_the_stages_of_a_curriculum_are_parts_of_the_budget() -> None:
    config = make_config(order="curriculum", max_epoch=10)  # 4 steps an epoch
    assert [find_task_phase(config, s) for s in (0, 7, 8, 19, 20, 39)] == [0, 0, 1, 1, 2, 2]


def test_everything_is_together_by_default() -> None:
    order = make("together")
    _, chosen = take_steps(order, order.start(ONES), 3)
    assert chosen == [[0, 1, 2]] * 3


def test_a_stop_and_go_that_sees_other_tasks_is_not_moved_by_them() -> None:
    settings = StopAndGo()

    def run(others: Tensor) -> list[float]:
        memory, goes = start_going(ONES), []
        for loss in SCRIPT:
            memory = judge(memory, torch.cat([torch.tensor([loss]), others]), settings)
            goes.append(memory["goes"][0].item())
        return goes

    assert run(torch.tensor([1.0, 2.0])) == run(torch.tensor([5.0, 0.1]))
