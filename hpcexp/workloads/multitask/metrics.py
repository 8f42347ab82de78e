"""How well each task is solved, from outputs and labels of a whole split.

All take outputs (N,) and labels (N,) of the rows that have a label, and return a scalar; NaN
where the metric has no meaning (no row, one class, constant labels).
"""

from __future__ import annotations

import torch
from torch import Tensor


def measure_accuracy(logits_N: Tensor, labels_N: Tensor) -> Tensor:
    """Part of the rows whose logit has the sign of their class."""
    return ((logits_N > 0) == (labels_N > 0.5)).to(logits_N.dtype).mean()


def measure_auc(logits_N: Tensor, labels_N: Tensor) -> Tensor:
    """Area under the ROC curve: the chance that a positive row ranks above a negative one.

    Ties count half. Source: Mann & Whitney 1947, by mean ranks.
    """
    is_positive = labels_N > 0.5
    ordered = logits_N.sort().values
    below = torch.searchsorted(ordered, logits_N, right=False)
    up_to = torch.searchsorted(ordered, logits_N, right=True)
    ranks = (below + up_to + 1).to(torch.float64) / 2
    num_positive = is_positive.sum().to(torch.float64)
    num_negative = len(logits_N) - num_positive
    excess = (ranks * is_positive).sum() - num_positive * (num_positive + 1) / 2
    return (excess / (num_positive * num_negative)).to(logits_N.dtype)


def measure_f1(logits_N: Tensor, labels_N: Tensor) -> Tensor:
    """Harmonic mean of precision and recall of the positive class at logit 0.

    0 where nothing is found; NaN where there is nothing to be found, and nothing was.
    """
    is_found, is_positive = logits_N > 0, labels_N > 0.5
    hits = (is_found & is_positive).sum()
    return (2 * hits / (is_found.sum() + is_positive.sum())).to(logits_N.dtype)


def measure_r2(predictions_N: Tensor, labels_N: Tensor) -> Tensor:
    """1 minus the squared error over that of the labels' mean."""
    residual = (predictions_N - labels_N).square().sum()
    total = (labels_N - labels_N.mean()).square().sum()
    return 1 - residual / torch.where(total > 0, total, torch.nan)


def measure_task(outputs_N: Tensor, labels_N: Tensor, *, is_binary: bool) -> dict[str, Tensor]:
    """Metrics of one task by name, `error` among them: 1 - AUC, or 1 - R²."""
    has_label = ~labels_N.isnan()
    outputs_N, labels_N = outputs_N[has_label], labels_N[has_label]
    if not is_binary:
        r2 = measure_r2(outputs_N, labels_N)
        return {"error": 1 - r2, "r2": r2}
    auc = measure_auc(outputs_N, labels_N)
    return {
        "error": 1 - auc,
        "accuracy": measure_accuracy(outputs_N, labels_N),
        "auc": auc,
        "f1": measure_f1(outputs_N, labels_N),
    }
