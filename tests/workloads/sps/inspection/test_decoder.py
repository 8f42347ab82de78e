from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from hpcexp.train.inspection import Animation, ImageGrid, Table
from tests.workloads.sps.inspection.models import look

MEAN, STD = torch.tensor([0.5, 0.4, 0.6]), torch.tensor([0.2, 0.1, 0.05])


def standardise(positions: Tensor) -> Tensor:
    """Latents with a known mean and standard deviation over all frames."""
    flat = positions.flatten(0, 1)
    return MEAN + STD * (positions - flat.mean(dim=0)) / flat.std(dim=0)


def test_row_i_moves_latent_i_alone_by_z_scores_of_the_encoded_data() -> None:
    grid = look("decoder", latents_of=standardise).parts["grid"]
    assert isinstance(grid, ImageGrid)
    assert grid.column_labels == [
        "-2.0",
        "-1.5",
        "-1.0",
        "-0.5",
        "0",
        "+0.5",
        "+1.0",
        "+1.5",
        "+2.0",
    ]
    assert grid.row_labels == ["z0  std 0.2", "z1  std 0.1", "z2  std 0.05"]
    colours_RC3 = grid.images_RCHW3[:, :, 0, 0]
    for row in range(3):
        for column, score in enumerate(np.linspace(-2, 2, 9)):
            z = MEAN.clone()
            z[row] += score * STD[row]
            expected = (255 * z.clamp(0, 1)).round().tolist()
            assert colours_RC3[row, column].tolist() == pytest.approx(expected, abs=1)


def test_the_animation_moves_all_latents_side_by_side_and_comes_back() -> None:
    animation = look("decoder", latents_of=standardise).parts["animation"]
    assert isinstance(animation, Animation)
    reds_F = animation.images_FRCHW3[:, 0, 0, 0, 0, 0].astype(int)
    top = int(reds_F.argmax())
    assert reds_F[0] == pytest.approx(255 * 0.1, abs=1)
    assert reds_F[top] == pytest.approx(255 * 0.9, abs=1)
    assert (np.diff(reds_F[: top + 1]) > 0).all()
    assert (np.diff(reds_F[top:]) < 0).all()
    assert reds_F[-1] == reds_F[1]
    assert animation.captions[top] == "z-score +2.00"
    assert animation.column_labels == ["z0", "z1", "z2"]


def test_the_table_has_mean_and_spread_of_the_encoded_data() -> None:
    table = look("decoder", latents_of=standardise).parts["latents"]
    assert isinstance(table, Table)
    assert table.columns["mean"] == pytest.approx(MEAN.tolist(), abs=1e-5)
    assert table.columns["std"] == pytest.approx(STD.tolist(), abs=1e-5)


def test_values_beyond_an_image_are_cut_and_do_not_wrap() -> None:
    grid = look("decoder", latents_of=lambda p: standardise(p) - 0.5).parts["grid"]
    assert isinstance(grid, ImageGrid)
    assert grid.images_RCHW3[0, 0, 0, 0, 0] == 0
