from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from hpcexp.train.inspection import Table
from tests.workloads.sps.inspection.models import look

METRICS = ("linear_projection_mse", "locked_projection_mse")


def turn_upright(positions: Tensor) -> Tensor:
    """Mix y and the height in equal parts."""
    x, y, height = positions.unbind(-1)
    return torch.stack([x, y + height, y - height], dim=-1)


def turn_level(positions: Tensor) -> Tensor:
    """Mix x and y in equal parts, and leave the height to z2."""
    x, y, height = positions.unbind(-1)
    return torch.stack([x + y, x - y, height], dim=-1)


def test_true_positions_as_latents_are_perfect() -> None:
    numbers = look("encoder", latents_of=lambda p: 3 - 2 * p).numbers
    for metric in METRICS:
        assert numbers[metric] == pytest.approx(0, abs=1e-6)
    assert numbers["linear_projection_r2"] == pytest.approx(1, abs=1e-6)
    assert numbers["dci.disentanglement"] > 0.95
    assert numbers["dci.completeness"] > 0.95
    assert numbers["dci.informativeness"] > 0.95
    assert numbers["sap"] > 0.8
    assert numbers["mig"] > 0.6
    assert numbers["num_sequences"] == 80


def test_a_turn_of_the_horizontal_plane_leaves_linear_projection_and_the_lock_at_zero() -> None:
    numbers = look("encoder", latents_of=turn_level).numbers
    for metric in METRICS:
        assert numbers[metric] == pytest.approx(0, abs=1e-6)
    assert numbers["sap"] < 0.6
    assert numbers["dci.disentanglement"] < 0.7


def test_the_lock_sees_that_the_height_is_mixed_with_y() -> None:
    numbers = look("encoder", latents_of=turn_upright).numbers
    assert numbers["linear_projection_mse"] == pytest.approx(0, abs=1e-6)
    assert numbers["locked_projection_mse.x"] == pytest.approx(0, abs=1e-6)
    assert numbers["locked_projection_mse.height"] > 0.2
    assert numbers["locked_projection_mse.y"] > 0.1


def test_each_coordinate_has_its_own_numbers_and_the_metric_is_their_mean() -> None:
    numbers = look("encoder", latents_of=lambda p: p * torch.tensor([1.0, 0.0, 1.0])).numbers
    assert numbers["linear_projection_mse.x"] == pytest.approx(0, abs=1e-6)
    assert numbers["linear_projection_mse.y"] > 0.9
    mean = sum(numbers[f"linear_projection_mse.{c}"] for c in ("x", "y", "height")) / 3
    assert numbers["linear_projection_mse"] == pytest.approx(mean)
    r2 = 1 - numbers["linear_projection_mse.y"]
    assert numbers["linear_projection_r2.y"] == pytest.approx(r2)


def test_importances_are_a_table_of_latents_and_coordinates() -> None:
    table = look("encoder").parts["importance"]
    assert isinstance(table, Table)
    assert table.columns["latent"] == ["z0", "z1", "z2"]
    assert [max(table.columns[c]) for c in ("x", "y", "height")] == [
        table.columns["x"][0],
        table.columns["y"][1],
        table.columns["height"][2],
    ]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"latent_dim": 4}, "it needs latent_dim 3, not 4"),
        (
            {"dataset": {"kind": "one_dim", "resolution": 8, "num_frames": 7}},
            "the coordinates are x, not x, y, height",
        ),
    ],
)
def test_the_lock_is_left_out_with_a_reason_where_it_has_no_meaning(
    changes: dict[str, object], reason: str
) -> None:
    def repeat(positions: Tensor) -> Tensor:
        return torch.cat([positions] * 4, dim=-1)[..., :4]

    findings = look("encoder", latents_of=repeat, changes=changes)
    assert findings.notes[0] == f"locked_projection_mse is left out: {reason}"
    assert "locked_projection_mse" not in findings.numbers


def test_latents_that_are_not_finite_give_nan_and_a_note() -> None:
    findings = look("encoder", latents_of=lambda p: p * torch.nan)
    assert "a latent is not finite: its numbers are NaN" in findings.notes
    assert math.isnan(findings.numbers["linear_projection_mse"])
    assert math.isnan(findings.numbers["mig"])
    assert math.isnan(findings.numbers["dci.disentanglement"])
