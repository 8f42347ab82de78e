"""From images to features."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest
import torch

from hpcexp.errors import UsageError
from hpcexp.workloads.images.config import ConvEncoder, TorchvisionEncoder
from hpcexp.workloads.images.encoder import build_encoder, count_features

HAS_TORCHVISION = importlib.util.find_spec("torchvision") is not None
IMAGES = torch.rand(5, 3, 16, 24)


def make_settings(**changes: Any) -> ConvEncoder:
    return ConvEncoder(**{"channels": (4, 6), "strides": (2, 1), **changes})


@pytest.mark.parametrize(("pool", "expected"), [("average_max", 12), ("average", 6), ("grid", 96)])
@pytest.mark.parametrize("res_blocks", [0, 2])
def test_features_are_as_many_as_the_pooling_says(
    pool: str, expected: int, res_blocks: int
) -> None:
    encoder = build_encoder(make_settings(pool=pool, res_blocks=res_blocks))
    assert encoder(IMAGES).shape == (5, expected)
    assert count_features(encoder, size=(16, 24)) == expected
    assert encoder.training


def test_group_norm_and_no_norm_keep_examples_apart_and_batch_norm_does_not() -> None:
    changed = IMAGES.clone()
    changed[1:] = 0
    for norm, is_apart in (("group", True), ("none", True), ("batch", False)):
        encoder = build_encoder(make_settings(norm=norm))
        same = torch.allclose(encoder(IMAGES)[0], encoder(changed)[0], atol=1e-6)
        assert same is is_apart, norm


def test_counting_features_leaves_running_statistics_alone() -> None:
    encoder = build_encoder(make_settings(norm="batch"))
    before = {k: v.clone() for k, v in encoder.state_dict().items()}
    count_features(encoder, size=(16, 16))
    assert all(torch.equal(before[k], v) for k, v in encoder.state_dict().items())


def test_a_stride_is_needed_for_each_convolution() -> None:
    with pytest.raises(ValueError, match=r"one for each of the 2 channels"):
        make_settings(strides=(2,))


@pytest.mark.skipif(HAS_TORCHVISION, reason="torchvision is installed")
def test_without_torchvision_its_networks_are_refused_with_what_to_do() -> None:
    with pytest.raises(UsageError, match=r"pip install torchvision, or choose encoder.kind: conv"):
        build_encoder(TorchvisionEncoder())


@pytest.mark.skipif(not HAS_TORCHVISION, reason="torchvision is not installed")
def test_a_network_of_torchvision_gives_features() -> None:
    encoder = build_encoder(TorchvisionEncoder(name="resnet18"))
    assert count_features(encoder, size=(32, 32)) == 512
