"""What each latent dimension does to the image.

Shape suffixes: B sequences, T frames, Z latent dimensions, S z-scores, H and W pixels.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from hpcexp.train.inspection import Animation, Findings, ImageGrid, Table
from hpcexp.workloads.sps.inspection.view import (
    View,
    decode_rgb,
    describe_split,
    name_latents,
    to_floats,
)
from hpcexp.workloads.sps.objective import Objective

LIMIT = 2.0
"""Dimensions move from -LIMIT to LIMIT standard deviations of the encoded data."""
NUM_COLUMNS = 9
NUM_STEPS = 16
"""From one end of the animation to the other."""
FRAME_S = 0.1


def inspect_decoder(view: View) -> Findings:
    """Every dimension moved alone, the others at their mean: as a grid and as an animation."""
    flat_NZ = view.measured.means.flatten(0, 1)
    mean_Z, std_Z = flat_NZ.mean(dim=0), flat_NZ.std(dim=0)
    names = name_latents(len(mean_Z))
    still = np.linspace(-LIMIT, LIMIT, NUM_COLUMNS)
    upwards = np.linspace(-LIMIT, LIMIT, NUM_STEPS + 1)
    moving = np.concatenate([upwards, upwards[-2:0:-1]])
    split = describe_split(view.measured.split)
    grid = ImageGrid(
        title=f"decoder: each latent at z-scores of the {split}, the others at their mean",
        images_RCHW3=draw_traversal(view.model, mean_Z, std_Z, still),
        row_labels=[
            f"{name}  std {std:.3g}" for name, std in zip(names, std_Z.tolist(), strict=True)
        ],
        column_labels=[f"{score:+.1f}" if score else "0" for score in still],
    )
    images_ZSHW3 = draw_traversal(view.model, mean_Z, std_Z, moving)
    animation = Animation(
        title="decoder: each latent moved alone",
        images_FRCHW3=images_ZSHW3.swapaxes(0, 1)[:, None],
        row_labels=[""],
        column_labels=names,
        captions=[f"z-score {score:+.2f}" for score in moving],
        frame_s=FRAME_S,
    )
    table = Table(
        {
            "latent": names,
            "mean": to_floats(mean_Z).tolist(),
            "std": to_floats(std_Z).tolist(),
            "min": to_floats(flat_NZ.amin(dim=0)).tolist(),
            "max": to_floats(flat_NZ.amax(dim=0)).tolist(),
        }
    )
    return Findings("decoder", parts={"grid": grid, "animation": animation, "latents": table})


def draw_traversal(
    model: Objective, mean_Z: Tensor, std_Z: Tensor, scores_S: npt.NDArray[np.float64]
) -> npt.NDArray[np.uint8]:
    """Images (Z, S, H, W, 3): row i has dimension i at its mean plus z-score times std."""
    scores = torch.as_tensor(scores_S).to(mean_Z)
    moves_ZSZ = torch.diag(std_Z)[:, None, :] * scores[None, :, None]
    return decode_rgb(model, mean_Z + moves_ZSZ)
