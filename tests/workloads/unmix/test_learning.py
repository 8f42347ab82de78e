"""What models of the default size learn of procedural images in 300 steps: minutes.

Only large gaps are asserted, most of one initialisation each.
"""

from __future__ import annotations

import statistics
from typing import Any

import pytest
import torch

from hpcexp.train.fit import fit
from hpcexp.train.seeding import RandomStreams
from hpcexp.train.sink import MemorySink
from hpcexp.workloads.unmix.config import Config
from hpcexp.workloads.unmix.workload import UnmixWorkload

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def measure_on_unseen(rand_init: int = 0, **changes: Any) -> dict[str, float]:
    """What is validated at the end."""
    config = Config.model_validate({"max_step": 300, "eval_every": 20, **changes})
    sink = MemorySink()
    result = fit(UnmixWorkload(config), streams=RandomStreams(0, rand_init), sink=sink)
    assert result.outcome == "completed"
    return dict([row.values for row in sink.rows if row.split == "validate"][-1])


def test_a_pair_mlp_behind_group_norm_unmixes_images_it_has_not_seen() -> None:
    final = measure_on_unseen(encoder={"norm": "group"}, decoder="pair_mlp")
    assert final["r2"] > 0.8
    assert final["exact_pair_accuracy"] > 0.8
    assert final["prediction_sd"] > 0.2


def test_a_dot_product_with_a_sigmoid_stays_at_ones() -> None:
    final = measure_on_unseen(decoder="dot", activation="sigmoid", max_step=60)
    assert final["r2"] < -5
    assert final["mse"] == pytest.approx(0.52, abs=0.03)
    assert final["prediction_sd"] < 0.02


def test_a_softmax_moves_the_dot_product_but_an_mlp_of_products_is_needed() -> None:
    """Between the two ends; of the dot product a median, as one initialisation has 0.05 to 0.46."""
    dot = [measure_on_unseen(i, decoder="dot", activation="softmax")["r2"] for i in range(3)]
    assert statistics.median(dot) < 0.4
    assert 0.3 < measure_on_unseen(decoder="product_mlp")["r2"] < 0.8
