"""Mixtures beside their sources, and what a model predicts of them.

Shape suffixes: I items, N sources, R rows, C columns, H and W pixels.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from hpcexp.errors import UsageError
from hpcexp.train.inspection import Bytes, Findings, ImageGrid, Request
from hpcexp.train.seeding import RandomStreams
from hpcexp.workloads.images.load import SPLITS, Split, load_images
from hpcexp.workloads.unmix.config import Config
from hpcexp.workloads.unmix.items import Items, mix
from hpcexp.workloads.unmix.metrics import measure_exact_pairs, measure_r2, measure_spread
from hpcexp.workloads.unmix.objective import Objective
from hpcexp.workloads.unmix.scoring import draw_validation_items, score_items

KINDS = ("samples",)
STREAMS = RandomStreams(0, 0)
"""The same mixtures for every run: pictures of runs can be compared."""


def check_request(config: Config, request: Request) -> None:
    """Raise UsageError for an unknown kind or split, or an item that a split has not."""
    unknown = [kind for kind in request.kinds if kind not in KINDS]
    if unknown:
        raise UsageError(f"no such kind: {', '.join(unknown)}; there are: {', '.join(KINDS)}")
    split = request.split or "validate"
    if split not in SPLITS:
        raise UsageError(f"no such split: {split}; there are: {', '.join(SPLITS)}")
    count = config.count_items(count_images(config, split))
    beyond = [place for place in request.sequences if place >= count]
    if beyond:
        raise UsageError(
            f"there is no mixture {beyond[0]} in the {split} split: it has {count} (0 to "
            f"{count - 1})"
        )


def count_images(config: Config, split: str) -> int:
    """How many images a split has."""
    return config.train_set_size if split == "train" else config.validate_set_size


def inspect_samples(model: Objective, request: Request) -> Findings:
    """Numbers of the first items of a split, and a picture of those that are asked for."""
    config = model.config
    split: Split = "train" if request.split == "train" else "validate"
    count = count_images(config, split)
    loaded = load_images(
        config.dataset, split=split, count=count, num_validate=config.validate_set_size
    )
    like = next(model.parameters())
    images = torch.from_numpy(loaded.images).to(like.device)
    items = draw_validation_items(config, STREAMS, num_images=count)
    measured = Items(
        items.rows_IN[: request.num_measured], items.weights_IN[: request.num_measured]
    )
    predicted_IN, target_IN = _predict(model, images, measured)
    numbers = {
        "num_items": len(measured),
        "r2": measure_r2(predicted_IN, target_IN).item(),
        "mse": (predicted_IN - target_IN).square().mean().item(),
        "exact_pair_accuracy": measure_exact_pairs(
            predicted_IN, measured.weights_IN.to(predicted_IN.device)
        ).item(),
        "prediction_sd": measure_spread(predicted_IN).item(),
    }
    grid = _make_grid(model, images, items, request)
    return Findings("samples", numbers, {"grid": replace(grid, title=f"{split} set: {grid.title}")})


def _predict(model: Objective, images: Tensor, items: Items) -> tuple[Tensor, Tensor]:
    weights_IN, scores_IN = score_items(model, images, items)
    temperature = scores_IN.new_tensor(model.config.temperature)
    return model.activate(scores_IN, temperature), model.make_target(weights_IN)


def _make_grid(model: Objective, images: Tensor, items: Items, request: Request) -> ImageGrid:
    """A row for each item: the mixture, the sources, and the mixture of what is predicted."""
    places = list(request.sequences)
    shown = Items(items.rows_IN[places], items.weights_IN[places])
    predicted_IN, target_IN = _predict(model, images, shown)
    sources = images[shown.rows_IN.to(images.device)].to(predicted_IN.dtype) / 255
    kind = model.config.items
    mixed, beside = mix(sources, shown.weights_IN.to(sources.device), kind=kind)
    again, _ = mix(sources, predicted_IN.clamp(0, 1), kind="mixture")
    columns = [mixed, *beside.unbind(dim=1), again]
    names = ["image" if kind == "scale" else "mixture"]
    names += [f"source {slot}" for slot in range(items.weights_IN.shape[1])]
    rows = [
        f"{place}:  true {_spell(true)};  predicted {_spell(predicted)}"
        for place, true, predicted in zip(places, target_IN, predicted_IN, strict=True)
    ]
    return ImageGrid(
        title="what is mixed, from what, and mixed again as predicted",
        images_RCHW3=_to_bytes(torch.stack(columns, dim=1)),
        row_labels=rows,
        column_labels=[*names, "predicted"],
    )


def _spell(values_N: Tensor) -> str:
    return ", ".join(f"{value:.2f}" for value in values_N.tolist())


def _to_bytes(images_RCCHW: Tensor) -> Bytes:
    scaled = (255 * images_RCCHW.clamp(0, 1)).round().to(torch.uint8)
    moved: Bytes = np.moveaxis(scaled.cpu().numpy(), 2, -1)
    return moved
