"""What a model makes of each task, and of single samples.

Shape suffixes: N rows of a split, S samples that are drawn, L tasks, T time steps, F features,
H and W pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from hpcexp.errors import UsageError
from hpcexp.train.inspection import Bytes, Curves, Findings, ImageGrid, Line, Request, Table
from hpcexp.workloads.multitask.config import Config
from hpcexp.workloads.multitask.config.datasets import MODALITIES
from hpcexp.workloads.multitask.metrics import measure_task
from hpcexp.workloads.multitask.model import Hca

KINDS = ("tasks", "samples")
SPLITS = ("train", "validate")
MAX_PIXELS = 64
"""Of a picture of features: longer and wider ones are averaged down to it."""
MIN_PIXELS = 96
"""Smaller ones are enlarged, so that time steps can be told apart."""
_HIGH_QUANTILE = 0.98
"""Of the sizes of features: what is larger has the strongest colour too."""


def check_request(config: Config, request: Request) -> None:
    """Raise UsageError for an unknown kind or split, or a sample that a split has not."""
    unknown = [kind for kind in request.kinds if kind not in KINDS]
    if unknown:
        raise UsageError(f"no such kind: {', '.join(unknown)}; there are: {', '.join(KINDS)}")
    split = request.split or "validate"
    if split not in SPLITS:
        raise UsageError(f"no such split: {split}; there are: {', '.join(SPLITS)}")
    count = config.train_set_size if split == "train" else config.validate_set_size
    beyond = [place for place in request.sequences if place >= count]
    if beyond:
        raise UsageError(
            f"there is no sample {beyond[0]} in the {split} split: it has {count} (0 to "
            f"{count - 1})"
        )


def inspect(
    model: Hca, data: Mapping[str, Tensor], outputs_NL: Tensor, request: Request
) -> Iterator[Findings]:
    """Findings of each kind that is asked for, of a whole split; `labels` (N, L) are in `data`."""
    split = request.split or "validate"
    if "tasks" in request.kinds:
        yield _inspect_tasks(model, data["labels"], outputs_NL, split=split)
    if "samples" in request.kinds:
        yield _inspect_samples(model, data, outputs_NL, request.sequences, split=split)


# ------------------------------------------------------------------------ task by task


def _inspect_tasks(model: Hca, labels_NL: Tensor, outputs_NL: Tensor, *, split: str) -> Findings:
    numbers: dict[str, float] = {}
    lines: dict[str, Line] = {}
    for index, (task, is_binary) in enumerate(zip(model.tasks, model.is_binary, strict=True)):
        outputs_N, labels_N = outputs_NL[:, index], labels_NL[:, index]
        measured = measure_task(outputs_N, labels_N, is_binary=is_binary)
        numbers |= {f"{name}.{task}": value.item() for name, value in measured.items()}
        if is_binary:
            lines[task] = trace_roc(outputs_N, labels_N)
    errors = [numbers[f"error.{task}"] for task in model.tasks]
    known = [error for error in errors if not np.isnan(error)]
    mean = float(np.mean(known)) if known else float("nan")
    parts = {"roc": _make_panels(lines, split=split)} if lines else {}
    notes = [] if lines else ["no task is binary: there is no ROC curve"]
    return Findings("tasks", {"mean_error": mean, **numbers}, parts, notes)


def trace_roc(logits_N: Tensor, labels_N: Tensor) -> Line:
    """Share of positive rows found over that of negative ones taken for positive.

    A point for each distinct logit, from (0, 0) to (1, 1); the diagonal where one class lacks.
    """
    has_label = ~labels_N.isnan()
    logits, is_positive = logits_N[has_label].double(), labels_N[has_label] > 0.5
    num_positive, num_negative = int(is_positive.sum()), int((~is_positive).sum())
    if not num_positive or not num_negative:
        ends = np.array([0.0, 1.0])
        return Line("model", ends, ends)
    order = logits.argsort(descending=True)
    ordered, found = logits[order], is_positive[order].cumsum(0)
    is_last = torch.cat([ordered[1:] != ordered[:-1], torch.ones(1, dtype=torch.bool)])
    taken = torch.arange(1, len(ordered) + 1)
    y = torch.cat([torch.zeros(1), found[is_last] / num_positive])
    x = torch.cat([torch.zeros(1), (taken - found)[is_last] / num_negative])
    return Line("model", x.double().numpy(), y.double().numpy())


def _make_panels(lines: Mapping[str, Line], *, split: str) -> Curves:
    """A panel for each binary task."""
    diagonal = Line("chance", np.array([0.0, 1.0]), np.array([0.0, 1.0]))
    names = list(lines)
    return Curves(
        title=f"{split} set: share of positives found, over negatives taken for positive",
        panels=[[[lines[name], diagonal] for name in names]],
        row_labels=["positives found"],
        column_labels=names,
        x_label="negatives taken for positive",
    )


# ------------------------------------------------------------------------ single samples


def _inspect_samples(
    model: Hca,
    data: Mapping[str, Tensor],
    outputs_NL: Tensor,
    places: Sequence[int],
    *,
    split: str,
) -> Findings:
    rows = list(places)
    predicted_SL = _activate(outputs_NL[rows], model.is_binary).numpy()
    labels_SL = data["labels"][rows].numpy()
    columns: dict[str, Sequence[float | int | str]] = {"sample": rows}
    for modality in MODALITIES:
        columns[f"{modality}_length"] = data[f"{modality}_length"][rows].tolist()
    for index, task in enumerate(model.tasks):
        columns[f"label.{task}"] = labels_SL[:, index].tolist()
        columns[f"predicted.{task}"] = predicted_SL[:, index].tolist()
    labels = [
        f"{place}:  " + ";  ".join(_spell(model.tasks, labels_SL[i], predicted_SL[i]))
        for i, place in enumerate(rows)
    ]
    grid = ImageGrid(
        title=f"{split} set: features (time downwards), label: prediction of each task",
        images_RCHW3=_draw_inputs(data, rows),
        row_labels=labels,
        column_labels=[f"{m}{' tokens' if m == 'text' else ''}" for m in MODALITIES],
    )
    return Findings("samples", {}, {"grid": grid, "predictions": Table(columns)})


def _activate(outputs_SL: Tensor, is_binary: Sequence[bool]) -> Tensor:
    """Probabilities of binary tasks, predictions of the others."""
    is_binary_L = torch.tensor(is_binary)
    return torch.where(is_binary_L, outputs_SL.sigmoid(), outputs_SL)


def _spell(
    tasks: Sequence[str], labels_L: npt.NDArray[np.float32], predicted_L: npt.NDArray[np.float32]
) -> Iterator[str]:
    for task, label, predicted in zip(tasks, labels_L, predicted_L, strict=True):
        known = "?" if np.isnan(label) else f"{label:.3g}"
        yield f"{task} {known}: {predicted:.2f}"


def _draw_inputs(data: Mapping[str, Tensor], rows: Sequence[int]) -> Bytes:
    """A picture of each modality of each sample, (S, 3, H, W, 3): blue below 0, red above.

    Tokens are grey levels by their number; what lies behind the end of a sequence is white.
    """
    pictures = []
    for modality in MODALITIES:
        values_STF = data[modality][rows].float()
        lengths_S = data[f"{modality}_length"][rows]
        if modality == "text":
            pictures.append(_colour_tokens(values_STF, lengths_S))
        else:
            pictures.append(_colour_features(_average_down(values_STF), lengths_S, values_STF))
    height = max(picture.shape[1] for picture in pictures)
    width = max(picture.shape[2] for picture in pictures)
    drawn = np.full((len(rows), len(pictures), height, width, 3), 255, np.uint8)
    for column, picture in enumerate(pictures):
        drawn[:, column, : picture.shape[1], : picture.shape[2]] = picture
    scale = max(1, MIN_PIXELS // max(height, width))
    enlarged: Bytes = drawn.repeat(scale, axis=2).repeat(scale, axis=3)
    return enlarged


def _average_down(values_STF: Tensor) -> Tensor:
    """The same within MAX_PIXELS of time steps and of features."""
    size = (min(values_STF.shape[1], MAX_PIXELS), min(values_STF.shape[2], MAX_PIXELS))
    return torch.nn.functional.adaptive_avg_pool2d(values_STF[:, None], size)[:, 0]


def _colour_features(values_SHW: Tensor, lengths_S: Tensor, original_STF: Tensor) -> Bytes:
    limit = values_SHW.abs().flatten().quantile(_HIGH_QUANTILE).clamp(min=1e-6)
    shade_SHW = (values_SHW / limit).clamp(-1, 1)
    red, blue = 1 + shade_SHW.clamp(max=0), 1 - shade_SHW.clamp(min=0)
    green = 1 - shade_SHW.abs()
    colours = torch.stack([red, green, blue], dim=-1)
    return _hide_padding(colours, lengths_S, num_steps=original_STF.shape[1])


def _colour_tokens(tokens_ST: Tensor, lengths_S: Tensor) -> Bytes:
    """A bar for each token, as wide as a quarter of the text is long."""
    level_ST = tokens_ST / tokens_ST.max().clamp(min=1)
    steps = min(tokens_ST.shape[1], MAX_PIXELS)
    level_SH = torch.nn.functional.adaptive_avg_pool1d(level_ST[:, None], steps)[:, 0]
    width = max(1, steps // 4)
    grey = level_SH[:, :, None, None].expand(-1, -1, width, 3)
    return _hide_padding(0.85 * grey, lengths_S, num_steps=tokens_ST.shape[1])


def _hide_padding(colours_SHW3: Tensor, lengths_S: Tensor, *, num_steps: int) -> Bytes:
    height = colours_SHW3.shape[1]
    ends_S = (lengths_S * height / num_steps).ceil()
    is_there = torch.arange(height) < ends_S[:, None]
    shown = torch.where(is_there[:, :, None, None], colours_SHW3, torch.ones(()))
    drawn: Bytes = (255 * shown).round().to(torch.uint8).numpy()
    return drawn
