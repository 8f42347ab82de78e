from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from hpcexp.workloads.multitask.config.strategy import DifficultySampling
from hpcexp.workloads.multitask.strategy.memory import Tensors
from hpcexp.workloads.multitask.strategy.rows import Difficulty, Mixture, assign_rows, share_out
from hpcexp.workloads.multitask.strategy.shuffle import shuffle_index
from tests.workloads.multitask.conftest import make_config

ONES = torch.ones(3)


def watch(settings: DifficultySampling, losses: list[list[float]]) -> Tensors:
    difficulty = Difficulty(settings)
    memory = difficulty.start(ONES)
    for row in losses:
        memory = difficulty.learn(memory, torch.tensor(row), ONES)
    return memory


# Difficulty


def test_shares_are_in_proportion_to_the_mean_losses_of_the_window() -> None:
    memory = watch(DifficultySampling(every=2), [[0.5, 1, 8], [1.5, 3, 2]])
    assert memory["shares"].tolist() == [0.125, 0.25, 0.625]


def test_within_a_window_shares_stay_and_afterwards_it_begins_anew() -> None:
    settings = DifficultySampling(every=2)
    assert watch(settings, [[1, 2, 5]])["shares"].tolist() == pytest.approx([1 / 3] * 3)
    memory = watch(settings, [[1, 2, 5], [1, 2, 5], [9, 9, 9]])
    assert memory["shares"].tolist() == [0.125, 0.25, 0.625]
    assert memory["sum"].tolist() == [9, 9, 9]
    assert memory["steps"] == 1


def test_relative_shares_forget_the_scales_of_the_losses() -> None:
    settings = DifficultySampling(every=1, measure="relative")
    memory = watch(settings, [[1, 10, 1000], [1, 10, 500]])
    assert memory["shares"].tolist() == pytest.approx([0.4, 0.4, 0.2])


def test_smoothed_shares_keep_a_part_of_the_old_ones() -> None:
    memory = watch(DifficultySampling(every=1, smoothing=0.5), [[1, 2, 5]])
    expected = [(1 / 3 + p) / 2 for p in (0.125, 0.25, 0.625)]
    assert memory["shares"].tolist() == pytest.approx(expected)


def test_a_task_that_rested_keeps_the_difficulty_it_had() -> None:
    difficulty = Difficulty(DifficultySampling(every=1))
    memory = difficulty.learn(difficulty.start(ONES), torch.tensor([1.0, 2.0, 5.0]), ONES)
    rests = torch.tensor([1.0, 1.0, 0.0])
    memory = difficulty.learn(memory, torch.tensor([1.0, 2.0, 99.0]), rests)
    assert memory["shares"].tolist() == [0.125, 0.25, 0.625]


# Rows


def test_rows_are_shared_out_by_largest_remainders_and_sum_to_the_batch() -> None:
    shares = torch.tensor([0.125, 0.25, 0.625])
    counts = share_out(shares, num_rows=32, min_rows=2, active_L=ONES)
    assert counts.tolist() == [5, 9, 18]


@pytest.mark.parametrize("seed", range(20))
def test_every_active_task_gets_its_least_and_a_resting_one_nothing(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    shares = torch.rand(7, generator=generator) ** 4
    active = (torch.rand(7, generator=generator) < 0.6).float()
    active[seed % 7] = 1
    counts = share_out(shares, num_rows=33, min_rows=2, active_L=active)
    assert counts.sum() == 33
    assert (counts[active > 0] >= 2).all()
    assert (counts[active == 0] == 0).all()
    assert torch.equal(counts, counts.round())


def test_without_any_share_rows_are_equal() -> None:
    counts = share_out(torch.zeros(3), num_rows=12, min_rows=1, active_L=ONES)
    assert counts.tolist() == [4, 4, 4]


def test_each_row_belongs_to_one_part() -> None:
    rows = assign_rows(torch.tensor([2.0, 0.0, 3.0]), num_rows=5)
    assert rows.sum(dim=0).tolist() == [2, 0, 3]
    assert (rows.sum(dim=1) == 1).all()


# Shuffled orders


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100, 1000])
def test_a_shuffled_order_is_a_permutation(size: int) -> None:
    place = torch.arange(size)
    like = torch.ones_like(place)
    found = shuffle_index(place, size=size * like, key=12345 * like)
    assert found.sort().values.tolist() == place.tolist()


def test_another_key_gives_another_order_and_no_order_is_that_of_the_places() -> None:
    place = torch.arange(500)
    orders = [
        shuffle_index(place, size=torch.full_like(place, 500), key=torch.full_like(place, key))
        for key in range(4)
    ]
    for index, order in enumerate(orders):
        assert (order == place).double().mean() < 0.02
        for other in orders[index + 1 :]:
            assert (order == other).double().mean() < 0.02
    # Neighbours do not stay neighbours.
    correlation = torch.corrcoef(torch.stack([orders[0].double(), place.double()]))[0, 1]
    assert abs(correlation) < 0.15


def test_every_row_comes_to_every_place() -> None:
    place, size = torch.zeros(4000, dtype=torch.int64), torch.full((4000,), 8)
    found = shuffle_index(place, size=size, key=torch.arange(4000))
    shares = found.bincount(minlength=8) / 4000
    assert shares.tolist() == pytest.approx([1 / 8] * 8, abs=0.02)


# Several data sets

SOURCES: dict[str, Any] = {
    "big": {"size": 24, "tasks": ["easy", "xor"]},
    "small": {"size": 8, "tasks": ["scaled", "xor"]},
}


def read(mixture: Mixture, num_batches: int, shares: Tensor = ONES) -> list[Tensor]:
    memory, batches = mixture.start(torch.tensor(7)), []
    for _ in range(num_batches):
        counts = mixture.count_rows(shares)
        batches.append(mixture.choose(memory, counts))
        memory = mixture.learn(memory, counts)
    return batches


def test_each_source_is_read_once_in_each_of_its_own_epochs_in_a_new_order() -> None:
    rows = torch.cat(read(Mixture(make_config(sources=SOURCES)), 12))
    small, big = rows[rows >= 24], rows[rows < 24]
    assert (len(big), len(small)) == (72, 24)
    epochs = [part.tolist() for part in torch.split(small, 8)]
    assert all(sorted(epoch) == list(range(24, 32)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    assert all(sorted(part.tolist()) == list(range(24)) for part in torch.split(big, 24))


def test_an_exhausted_source_starts_anew_while_the_other_goes_on() -> None:
    """With equal shares the small one is read three times for once of the big one."""
    config = make_config(sources=SOURCES, mixture="dds")
    rows = torch.cat(read(Mixture(config), 6, torch.tensor([0.5, 0.0, 0.5])))
    small, big = rows[rows >= 24], rows[rows < 24]
    assert (len(big), len(small)) == (24, 24)
    assert sorted(big.tolist()) == list(range(24))
    assert small.bincount().tolist()[24:] == [3] * 8


def test_positions_are_what_a_resumed_run_goes_on_from() -> None:
    mixture = Mixture(make_config(sources=SOURCES))
    whole = read(mixture, 6)
    memory = {"key": torch.tensor(7), "taken": torch.tensor([18, 6])}  # after three batches
    counts = mixture.count_rows(ONES)
    assert torch.equal(mixture.choose(memory, counts), whole[3])


def test_the_shares_of_tasks_are_split_between_the_sources_that_have_them() -> None:
    config = make_config(sources=SOURCES, mixture="dds", batch_size=12)
    counts = Mixture(config).count_rows(torch.tensor([0.25, 0.5, 0.25]))
    assert counts.tolist() == [6, 6]
    counts = Mixture(config).count_rows(torch.tensor([1.0, 0.0, 0.0]))
    assert counts.tolist() == [10, 2]  # dds.min_rows are left
