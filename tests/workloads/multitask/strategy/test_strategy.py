"""Whole strategies in training: exact resumes, lanes, pairings, and who moves when."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from hpcexp.errors import HpcexpError
from hpcexp.train.fit import FitOptions, fit
from hpcexp.train.inputs import make_block
from hpcexp.train.seeding import RandomStreams
from hpcexp.train.sink import Checkpoint, MemorySink
from hpcexp.train.step import StepFunction, StepInputs, TrainState
from hpcexp.workloads.multitask.workload import MultitaskWorkload
from tests.workloads.multitask.conftest import MakeWorkload

STREAMS = RandomStreams(0, 0)
EAGER = FitOptions(read_back_every_s=0.0)
WINDOW = {"every": 3}
SOURCES = {
    "big": {"size": 24, "tasks": ["easy", "xor"]},
    "small": {"size": 8, "tasks": ["scaled", "xor"]},
}

STRATEGIES: dict[str, dict[str, Any]] = {
    "sum": {},
    **{w: {"weighting": w} for w in ("softmax", "raw", "uncertainty", "dwa", "famo", "gradnorm")},
    **{
        c: {"combine": c}
        for c in (*("pcgrad", "upgrad", "mgda", "cagrad", "graddrop", "imtlg", "aligned_mtl"),)
    },
    "nashmtl": {"combine": "nashmtl", "nashmtl": {"iterations": 2}},
    "single task": {"tasks": ["xor"]},
    "one at a time": {"order": "one_at_a_time"},
    "one at a time, on plateaus": {
        "order": "one_at_a_time",
        "one_at_a_time": {"advance": "plateau", "patience": 1, "min_gain": 0.5},
    },
    "round robin": {"order": "round_robin"},
    "dds": {"rows": "dds", "dds": WINDOW},
    "dsg": {"order": "dsg", "dsg": {"min_gain": 0.5, "patience": 1}},
    "dsg round robin": {"order": "dsg_round_robin", "dsg": {"min_gain": 0.5, "patience": 1}},
    "dsg, dds": {"order": "dsg", "rows": "dds", "dds": WINDOW, "dsg": {"min_gain": 0.5}},
    "curriculum": {"order": "curriculum", "curriculum": {"probe": 0.5, "pretrain": 0.25}},
    "anti-curriculum": {"order": "anti_curriculum", "curriculum": {"probe": 0.5, "pretrain": 0.25}},
    "modality phases": {"modalities": {"phases": [["text"], ["video", "audio"]]}},
    "modular": {"modalities": {"mode": "modular", "phases": [["video"]]}},
    "freeze": {"modalities": {"mode": "freeze", "phases": [["text"], ["video"]]}},
    "sources": {"sources": SOURCES},
    "sources by difficulty": {"sources": SOURCES, "mixture": "dds", "dds": WINDOW},
    "dropout": {"model": {"dropout": 0.3, "head_dropout": 0.2, "head_norm": "batch"}},
}


def run(workload: MultitaskWorkload, sink: MemorySink, **options: Any) -> Checkpoint:
    fit(workload, streams=STREAMS, sink=sink, **options)
    checkpoint = sink.load_checkpoint()
    assert checkpoint is not None
    return checkpoint


def list_tensors(tree: Any, name: str = "") -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for key, value in tree.items():
        path = f"{name}/{key}"
        found |= list_tensors(value, path) if isinstance(value, dict) else {path: value}
    return found


@pytest.mark.parametrize("name", STRATEGIES)
def test_n_steps_a_kill_and_n_more_equal_an_undisturbed_run_bit_for_bit(
    make_workload: MakeWorkload, name: str
) -> None:
    changes = {"max_epoch": 3, **STRATEGIES[name]}  # of 4 steps each
    undisturbed, resumed = MemorySink(), MemorySink(interrupt_at_step=6)
    expected = run(make_workload(**changes), undisturbed)
    half = run(make_workload(**changes), resumed, options=EAGER)
    assert half["step"] == 6
    resumed.interrupt_at_step = None
    # A new workload: nothing may live on in its objects.
    found = run(make_workload(**changes), resumed)
    assert found["step"] == expected["step"] == 12
    first, second = list_tensors(expected["state"]), list_tensors(found["state"])
    assert first.keys() == second.keys()
    for path, tensor in first.items():
        torch.testing.assert_close(second[path], tensor, rtol=0, atol=0, equal_nan=True)
    rows = [[repr(r.values) for r in sink.rows] for sink in (undisturbed, resumed)]
    assert rows[0] == rows[1]


# Lanes


class Solo:
    """A run and what its steps read."""

    def __init__(self, workload: MultitaskWorkload, rand_init: int) -> None:
        streams = RandomStreams(0, rand_init)
        with streams.initialising():
            model = workload.build_model().double()
        self.strategy = workload.make_strategy(model)
        self.function = StepFunction(model, workload.config.optimizer, self.strategy)
        self.state = self.function.init_state(streams)
        self.block = make_block(
            workload, streams, block=0, device=torch.device("cpu"), dtype=torch.float64
        )
        self.data = {
            k: v.double() if v.is_floating_point() else v
            for k, v in workload.load_data()["train"].items()
        }

    def select(self, step: int, state: dict[str, Tensor]) -> StepInputs:
        values = {k: v[step] for k, v in self.block.values.items()}
        chosen = self.strategy.choose_samples(state, values)
        return self.block.select(step, self.data, indices=chosen)


def stack(trees: list[Any]) -> Any:
    if isinstance(trees[0], torch.Tensor):
        return torch.stack(trees)
    return {k: stack([tree[k] for tree in trees]) for k in trees[0]}


LANE_STRATEGIES = [
    n for n, changes in STRATEGIES.items() if changes.get("combine", "sum") == "sum"
]  # fmt: skip


@pytest.mark.parametrize("name", LANE_STRATEGIES)
def test_a_lane_agrees_with_its_solo_run(make_workload: MakeWorkload, name: str) -> None:
    """Lanes differ in initialisation, data order, learning rate and weights."""
    settings: list[dict[str, Any]] = [{"lr": 1e-3}, {"lr": 1e-2, "grad_clip": 0.5}]
    solos = [Solo(make_workload(**STRATEGIES[name], **s), i) for i, s in enumerate(settings)]
    function = solos[0].function
    lanes = TrainState(**stack([solo.state._asdict() for solo in solos]))
    for step in range(6):
        inputs = [
            solo.select(step, {k: v[lane] for k, v in lanes.strategy.items()})
            for lane, solo in enumerate(solos)
        ]
        together = StepInputs(*(stack([dict(i[field]) for i in inputs]) for field in range(3)))
        lanes, records = function.step_lanes(lanes, together)
        for lane, solo in enumerate(solos):
            own = solo.select(step, solo.state.strategy)
            solo.state, record = solo.function(solo.state, own)
            torch.testing.assert_close(records[lane], record, rtol=1e-9, atol=1e-9)
    for lane, solo in enumerate(solos):
        for key, parameter in solo.state.parameters.items():
            torch.testing.assert_close(lanes.parameters[key][lane], parameter, rtol=1e-8, atol=1e-8)


def test_combinations_of_gradients_refuse_to_be_lanes(make_workload: MakeWorkload) -> None:
    solo = Solo(make_workload(combine="pcgrad"), 0)
    assert not solo.strategy.supports_lanes
    with pytest.raises(HpcexpError, match="cannot train several runs as lanes"):
        solo.function.step_lanes(solo.state, solo.select(0, solo.state.strategy))


# Pairings

WEIGHTINGS = ("fixed", "softmax", "uncertainty", "dwa", "famo", "gradnorm")
ORDERS = ("together", "round_robin", "dsg", "dsg_round_robin", "one_at_a_time", "curriculum")
COMBINATIONS = ("sum", "pcgrad", "upgrad")


@pytest.mark.parametrize("combine", COMBINATIONS)
@pytest.mark.parametrize("order", ORDERS)
def test_every_pairing_takes_finite_steps(
    make_workload: MakeWorkload, order: str, combine: str
) -> None:
    """Each with another weighting and another sharing of rows; every pair of kinds is met."""
    place = ORDERS.index(order) + COMBINATIONS.index(combine)
    for weighting, rows in itertools.islice(
        itertools.product(WEIGHTINGS, ("all", "dds")), place % 4, None, 4
    ):
        workload = make_workload(
            order=order, combine=combine, weighting=weighting, rows=rows, dds=WINDOW,
            nashmtl={"iterations": 2},
            curriculum={"probe": 0.5, "pretrain": 0.25}, max_step=4, batch_size=16,
        )  # fmt: skip
        result = fit(workload, streams=STREAMS, sink=MemorySink())
        assert result.outcome == "completed", (weighting, rows, result.reason)


# Who moves


def find_moved(before: TrainState, after: TrainState) -> set[str]:
    """Heads and shared parts that a step has changed."""
    changed = {
        name for name, tensor in after.parameters.items()
        if not torch.equal(tensor, before.parameters[name])
    }  # fmt: skip
    return {name.split(".")[1] if "heads" in name else "shared" for name in changed}


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_one_head_moves_at_a_time_and_the_others_stay_bit_for_bit(
    make_workload: MakeWorkload, optimizer: str
) -> None:
    """Zero gradients would still move them by moments and by weight decay."""
    changes = {"order": "one_at_a_time", "max_step": 6, "optimizer": optimizer}
    solo = Solo(make_workload(weight_decay=0.01, **changes), 0)
    for step, task in enumerate(["easy", "easy", "xor", "xor", "scaled", "scaled"]):
        before = solo.state
        solo.state, _ = solo.function(before, solo.select(step, before.strategy))
        assert find_moved(before, solo.state) == {"shared", task}


def test_the_sum_of_gradients_by_the_jacobian_is_plain_differentiation(
    make_workload: MakeWorkload, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, combined = (Solo(make_workload(combine=c), 0) for c in ("sum", "pcgrad"))

    def add_up(jacobian_LP: Tensor, *, active_L: Tensor, memory: Any) -> tuple[Tensor, Any]:
        return jacobian_LP.sum(dim=0), memory

    assert combined.strategy.combiner is not None
    monkeypatch.setattr(combined.strategy.combiner, "combine", add_up)
    states = [s.function(s.state, s.select(0, s.state.strategy))[0] for s in (plain, combined)]
    for name, tensor in states[0].parameters.items():
        torch.testing.assert_close(states[1].parameters[name], tensor, rtol=1e-9, atol=1e-12)


def test_an_opposed_task_undoes_what_its_twin_learns(make_workload: MakeWorkload) -> None:
    """They share a head, and their gradients are opposed in every row."""
    solo = Solo(make_workload(tasks=["easy", "anti"], combine="pcgrad"), 0)
    inputs = solo.select(0, solo.state.strategy)
    parameters = {k: v.clone().requires_grad_() for k, v in solo.state.parameters.items()}
    logits = torch.func.functional_call(
        solo.function.model,
        (parameters, {}),
        (inputs.batch, inputs.noise, {**inputs.values, "row_weights": torch.ones(8, 2) / 8}),
    )
    easy, anti = (
        torch.autograd.grad(loss, list(parameters.values()), retain_graph=True, allow_unused=True)
        for loss in logits
    )
    products = [(a * b).sum() for a, b in zip(easy, anti, strict=True) if a is not None]
    assert torch.stack(products).sum() < 0


def test_opposed_tasks_both_stay_at_the_loss_of_a_coin(make_workload: MakeWorkload) -> None:
    """What one of them alone learns within the same steps."""

    def train(*tasks: str) -> dict[str, float]:
        sink = MemorySink()
        lengths = {"max_lengths": [3, 6, 3], "min_lengths": [2, 6, 2]}
        workload = make_workload(
            tasks=tasks, dataset=lengths, train_set_size=512, batch_size=32, max_epoch=4, lr=0.02
        )  # fmt: skip
        run(workload, sink)
        return dict([row.values for row in sink.rows if row.split == "validate"][-1])

    assert train("easy")["loss.easy"] < 0.5
    both = train("easy", "anti")
    for task in ("easy", "anti"):
        assert both[f"loss.{task}"] == pytest.approx(math.log(2), abs=0.01)


# What is recorded


def test_weights_in_force_and_rows_of_each_task_are_recorded(make_workload: MakeWorkload) -> None:
    sink = MemorySink()
    run(make_workload(order="round_robin", weights={"scaled": 0.5}, max_epoch=3), sink)
    row = next(r for r in sink.rows if r.split == "train")  # 4 steps: easy, xor, scaled, easy
    assert row.values["rows.easy"] == 8 * 2 / 4
    assert row.values["weight.scaled"] == 0.5 / 4
    assert row.values["rows.scaled"] == 8 / 4
    total = sum(row.values[f"weighted.{t}"] for t in ("easy", "xor", "scaled"))
    assert row.values["loss"] == pytest.approx(total, rel=1e-5)


def test_rows_are_shared_out_and_each_batch_is_whole(make_workload: MakeWorkload) -> None:
    sink = MemorySink()
    run(make_workload(rows="dds", dds=WINDOW, batch_size=16, max_epoch=6), sink)
    rows = [r.values for r in sink.rows if r.split == "train"]
    for values in rows:
        assert sum(values[f"rows.{t}"] for t in ("easy", "xor", "scaled")) == pytest.approx(16)
    # The raw loss of the badly scaled task takes nearly all that is free.
    assert rows[-1]["rows.scaled"] == 12
