from __future__ import annotations

import pytest
import torch
from sklearn.metrics import f1_score, r2_score, roc_auc_score

from hpcexp.workloads.multitask.metrics import (
    measure_accuracy,
    measure_auc,
    measure_f1,
    measure_r2,
    measure_task,
)


def test_metrics_are_those_of_scikit_learn() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(200, generator=generator).round(decimals=1)  # with ties
    labels = (torch.rand(200, generator=generator) < 0.3).float()
    assert measure_auc(logits, labels).item() == pytest.approx(roc_auc_score(labels, logits))
    assert measure_f1(logits, labels).item() == pytest.approx(f1_score(labels, logits > 0))
    assert measure_r2(logits, labels).item() == pytest.approx(r2_score(labels, logits), rel=1e-4)


def test_metrics_of_a_case_worked_by_hand() -> None:
    logits, labels = torch.tensor([2.0, -1.0, 1.0, -2.0]), torch.tensor([1.0, 1.0, 0.0, 0.0])
    assert measure_accuracy(logits, labels) == 0.5
    assert measure_auc(logits, labels) == 0.75
    assert measure_f1(logits, labels) == 0.5


def test_where_a_metric_has_no_meaning_it_is_nan() -> None:
    logits, ones = torch.tensor([1.0, -1.0]), torch.ones(2)
    assert measure_auc(logits, ones).isnan()
    assert measure_f1(-torch.ones(2), torch.zeros(2)).isnan()
    assert measure_r2(logits, ones).isnan()
    empty = torch.zeros(0)
    assert all(v.isnan() for v in measure_task(empty, empty, is_binary=True).values())


def test_rows_without_a_label_do_not_count() -> None:
    outputs = torch.tensor([1.0, 99.0, -1.0])
    labels = torch.tensor([1.0, torch.nan, 0.0])
    assert measure_task(outputs, labels, is_binary=True)["error"] == 0


def test_the_error_is_what_is_lacking_to_a_perfect_auc_or_r2() -> None:
    outputs, labels = torch.tensor([0.0, 1.0, 2.0]), torch.tensor([0.0, 1.0, 1.0])
    assert measure_task(outputs, labels, is_binary=True)["error"] == 0
    measured = measure_task(outputs, labels, is_binary=False)
    assert measured["error"].item() == pytest.approx(1 - measured["r2"].item())
    assert set(measured) == {"error", "r2"}
