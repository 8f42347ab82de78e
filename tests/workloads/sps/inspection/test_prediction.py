from __future__ import annotations

import numpy as np
import torch

from hpcexp.train.inspection import Animation, ImageGrid, Request
from hpcexp.workloads.sps.cache import load_sequences
from hpcexp.workloads.sps.inspection import inspect
from hpcexp.workloads.sps.objective import Objective
from tests.workloads.sps.inspection.models import MIN_CONTEXT, NUM_FRAMES, look, make_config

REDDISH = torch.tensor([0.8, 0.0, 0.2])


def look_at_strip() -> ImageGrid:
    findings = look(
        "prediction", latents_of=lambda p: REDDISH.expand(*p.shape[:2], 3), sequences=(4, 1)
    )
    strip = findings.parts["evaluate_strip"]
    assert isinstance(strip, ImageGrid)
    return strip


def test_rows_are_true_reconstructed_and_predicted_of_each_sequence() -> None:
    strip = look_at_strip()
    assert strip.row_labels == [
        *("4  true", "4  reconstructed", "4  predicted"),
        *("1  true", "1  reconstructed", "1  predicted"),
    ]
    assert strip.rows_per_block == 3
    settings = make_config().dataset
    images = load_sequences(settings, split="evaluate", num_sequences=5).images
    np.testing.assert_array_equal(strip.images_RCHW3[0], np.moveaxis(images[4], 1, -1))
    np.testing.assert_array_equal(strip.images_RCHW3[3], np.moveaxis(images[1], 1, -1))
    assert strip.images_RCHW3[1, 0, 0, 0].tolist() == [204, 0, 51]
    # It predicts latents that grow beyond an image's values: white.
    assert (strip.images_RCHW3[2, MIN_CONTEXT:] == 255).all()


def test_nothing_is_predicted_within_the_context_whose_end_is_marked() -> None:
    strip = look_at_strip()
    assert strip.is_shown_RC is not None
    predicted = strip.is_shown_RC[2]
    assert predicted.tolist() == [frame >= MIN_CONTEXT for frame in range(NUM_FRAMES)]
    assert strip.is_shown_RC[[0, 1, 3, 4]].all()
    assert strip.mark_column == MIN_CONTEXT


def test_the_animation_has_the_frames_of_the_strip() -> None:
    findings = look(
        "prediction", latents_of=lambda p: REDDISH.expand(*p.shape[:2], 3), sequences=(4, 1)
    )
    strip, animation = findings.parts["evaluate_strip"], findings.parts["evaluate_animation"]
    assert isinstance(strip, ImageGrid)
    assert isinstance(animation, Animation)
    for frame in range(NUM_FRAMES):
        for sequence in range(2):
            for row in range(3):
                np.testing.assert_array_equal(
                    animation.images_FRCHW3[frame, row, sequence],
                    strip.images_RCHW3[3 * sequence + row, frame],
                )
    assert animation.captions[MIN_CONTEXT - 1] == f"frame {MIN_CONTEXT - 1}, context"
    assert animation.captions[MIN_CONTEXT] == f"frame {MIN_CONTEXT}, predicted"


def test_training_and_validation_are_shown_where_no_split_is_named() -> None:
    model = Objective(make_config()).eval()
    (findings,) = inspect(model, Request(kinds=("prediction",)))
    assert list(findings.parts) == [
        *("train_strip", "train_animation"),
        *("validate_strip", "validate_animation"),
    ]
