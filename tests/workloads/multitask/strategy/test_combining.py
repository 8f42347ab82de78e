"""Combinations of two gradients whose results are known by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from hpcexp.errors import UsageError
from hpcexp.workloads.multitask.strategy.combining import Combiner
from tests.workloads.multitask.conftest import make_config

KEY = torch.tensor(5)


def make(name: str, num_tasks: int = 2) -> Combiner:
    tasks = ["easy", "xor", "scaled", "junk"][:num_tasks]
    return Combiner(make_config(combine=name, tasks=tasks))


def combine(name: str, rows: list[list[float]]) -> list[float]:
    combiner, ones = make(name, len(rows)), torch.ones(len(rows))
    memory = combiner.start(ones, key=KEY)
    direction, _ = combiner.combine(
        torch.tensor(rows, dtype=torch.float32), active_L=ones, memory=memory
    )
    return direction.tolist()


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([[1, 0], [-1, 1]], [0.5, 1.5]),
        ([[1, 0], [1, 1]], [2, 1]),
        ([[1, 0], [-1, 0]], [0, 0]),
        ([[1, 0], [-100, 100]], [0.5, 100.5]),
    ],
    ids=["conflict", "no conflict: the sum", "opposite: nothing", "scale is not mended"],
)
def test_pcgrad(rows: list[list[float]], expected: list[float]) -> None:
    assert combine("pcgrad", rows) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(("name", "expected"), [("upgrad", [0.25, 0.75]), ("mgda", [0.2, 0.4])])
def test_upgrad_and_mgda(name: str, expected: list[float]) -> None:
    """TorchJD's UPGrad averages what PCGrad's kind sums."""
    assert combine(name, [[1, 0], [-1, 1]]) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("name", ["cagrad", "nashmtl", "imtlg", "aligned_mtl", "mgda", "upgrad"])
def test_a_combination_of_two_tasks_in_conflict_harms_neither(name: str) -> None:
    rows = torch.tensor([[1.0, 0.2], [-0.6, 1.0]])
    direction = torch.tensor(combine(name, rows.tolist()))
    assert (rows @ direction >= -1e-4).all()


@pytest.mark.parametrize("name", ["pcgrad", "graddrop"])
def test_what_is_random_is_a_function_of_key_and_step(name: str) -> None:
    rows = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    combiner, ones = make(name, 4), torch.ones(4)

    def run(key: int, num_steps: int) -> list[Tensor]:
        memory, found = combiner.start(ones, key=torch.tensor(key)), []
        for _ in range(num_steps):
            direction, memory = combiner.combine(rows, active_L=ones, memory=memory)
            found.append(direction)
        return found

    torch.manual_seed(1)
    first, before = run(3, 12), torch.get_rng_state()
    torch.manual_seed(2)
    again = run(3, 12)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert any(not torch.allclose(first[0], other) for other in first[1:])
    torch.manual_seed(1)
    assert torch.equal(torch.get_rng_state(), before), "torch's global generator was used"


def test_tasks_that_rest_take_no_part() -> None:
    combiner, active = make("pcgrad", 3), torch.tensor([1.0, 1.0, 0.0])
    memory = combiner.start(torch.ones(3), key=KEY)
    rows = torch.tensor([[1.0, 0.0], [-1.0, 1.0], [-50.0, -50.0]])
    direction, _ = combiner.combine(rows, active_L=active, memory=memory)
    assert direction.tolist() == pytest.approx([0.5, 1.5])


def test_nash_remembers_the_weights_of_each_task_and_goes_on_from_them() -> None:
    rows = torch.tensor([[1.0, 0.2], [-0.6, 1.0], [0.3, 0.3]])
    combiner, ones = make("nashmtl", 3), torch.ones(3)
    memory = combiner.start(ones, key=KEY)
    _, memory = combiner.combine(rows, active_L=torch.tensor([1.0, 0.0, 1.0]), memory=memory)
    assert memory["alpha"][1] == 1
    assert (memory["alpha"][[0, 2]] != 1).all()
    expected, _ = combiner.combine(rows, active_L=ones, memory=memory)
    fresh, _ = make("nashmtl", 3).combine(rows, active_L=ones, memory=memory)
    assert torch.equal(fresh, expected)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
@pytest.mark.parametrize("name", ["upgrad", "nashmtl", "pcgrad"])
def test_gradients_that_are_not_finite_reach_no_solver_and_stay_so(name: str, bad: float) -> None:
    combiner, ones = make(name), torch.ones(2)
    memory = combiner.start(ones, key=KEY)
    rows = torch.tensor([[bad, 0.0], [1.0, 1.0]])
    direction, _ = combiner.combine(rows, active_L=ones, memory=memory)
    assert not torch.isfinite(direction).all()


def test_a_solver_that_is_not_installed_is_named_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from torchjd import aggregation

    def refuse(*_: Any, **__: Any) -> None:
        raise ImportError("no module named ecos")

    monkeypatch.setattr(aggregation, "NashMTL", refuse)
    with pytest.raises(UsageError, match=r"combine nashmtl needs a solver .*hpcexp\[nash-mtl\]"):
        make("nashmtl")
