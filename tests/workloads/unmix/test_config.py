"""What hyperparameters must fulfil together."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from hpcexp.workloads.unmix.config import Config
from tests.workloads.unmix.conftest import MakeConfig


def test_defaults_survive_json() -> None:
    assert Config.model_validate_json(Config().model_dump_json()) == Config()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"num_sources": 21}, r"validate_set_size \(20\) is less than num_sources \(21\)"),
        ({"batch_size": 29}, r"batch_size \(29\) is more than the 28 mixtures of an epoch"),
        ({"loss": "bce", "activation": "softmax"}, "set activation: sigmoid"),
        ({"loss": "soft_cross_entropy"}, "set activation: softmax"),
        ({"inspect": {"every": 1, "sequences": 16}, "validate_set_size": 17}, "more than the 15"),
        ({"keep_best": ["accuracy"]}, "validate has no metric accuracy; it has: loss"),
    ],
)
def test_what_does_not_fit_together_is_said(
    make_config: MakeConfig, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValidationError, match=said):
        make_config(**changes)


def test_an_epoch_has_a_mixture_for_each_window_of_n_images(make_config: MakeConfig) -> None:
    config = make_config(num_sources=4)
    assert config.count_items(30) == 27
    assert config.steps_per_epoch == 4  # 27 // 6
    assert make_config(items="scale").count_items(30) == 30
