"""How well the sources are found: cases by hand."""

from __future__ import annotations

import pytest
import torch

from hpcexp.workloads.unmix.metrics import measure_exact_pairs, measure_r2, measure_spread

TARGET = torch.tensor([[0.4, 0.6, 0.0], [0.0, 0.3, 0.7]])


def test_r2_is_1_for_the_truth_and_0_for_its_mean_and_less_for_ones() -> None:
    assert measure_r2(TARGET, TARGET).item() == 1
    assert measure_r2(torch.full((2, 3), 1 / 3), TARGET).item() == pytest.approx(0, abs=1e-6)
    assert measure_r2(torch.ones(2, 3), TARGET).item() < -4


def test_a_pair_is_exact_where_the_two_largest_are_the_mixed_ones() -> None:
    predicted = torch.tensor([[0.2, 0.3, 0.1], [0.5, 0.1, 0.4]])
    assert measure_exact_pairs(predicted, TARGET).item() == 0.5
    assert measure_exact_pairs(TARGET, TARGET).item() == 1


def test_one_of_a_copy_is_to_be_found_and_of_two_sources_nothing() -> None:
    copy = torch.tensor([[0.0, 1.0, 0.0]])
    assert measure_exact_pairs(torch.tensor([[0.1, 0.2, 0.0]]), copy).item() == 1
    assert measure_exact_pairs(torch.ones(1, 2), torch.full((1, 2), 0.5)).isnan()


def test_predictions_that_differ_between_slots_only_have_collapsed() -> None:
    assert measure_spread(torch.tensor([[0.1, 0.9], [0.1, 0.9]])).item() == 0
    assert measure_spread(torch.tensor([[0.0, 1.0], [1.0, 0.0]])).item() == 0.5
