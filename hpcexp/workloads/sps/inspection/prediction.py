"""True, reconstructed and predicted frames side by side.

Shape suffixes: B sequences, T frames, P predicted frames, H and W pixels.
"""

from __future__ import annotations

import numpy as np

from hpcexp.train.inspection import Animation, Findings, ImageGrid, Part
from hpcexp.workloads.sps.dataset import Split
from hpcexp.workloads.sps.inspection.view import View, decode_rgb, describe_split, to_rgb

ROWS = ("true", "reconstructed", "predicted")
FRAME_S = 0.15


def inspect_prediction(view: View) -> Findings:
    """For training and validation (or the split that is asked for): a strip and an animation."""
    chosen = view.request.split
    splits: tuple[Split, ...] = (
        ("train", "validate") if chosen is None else (view.choose_split(default="validate"),)
    )
    parts: dict[str, Part] = {}
    for split in splits:
        parts[f"{split}_strip"], parts[f"{split}_animation"] = _show(view, split)
    return Findings("prediction", parts=parts)


def _show(view: View, split: Split) -> tuple[ImageGrid, Animation]:
    drawn, context = view.draw(split), view.config.rnn_min_context
    true_BTHW3 = to_rgb(drawn.sequences.images)
    predicted_BTHW3 = np.zeros_like(true_BTHW3)
    predicted_BTHW3[:, context:] = decode_rgb(view.model, drawn.predictions)
    images = [true_BTHW3, decode_rgb(view.model, drawn.means), predicted_BTHW3]
    num_sequences, num_frames = true_BTHW3.shape[:2]
    is_shown_KT = np.ones((len(ROWS), num_frames), bool)
    is_shown_KT[ROWS.index("predicted"), :context] = False
    places = view.request.sequences
    title = f"{describe_split(split)}: true, reconstructed and predicted frames"
    strip = ImageGrid(
        title=title,
        images_RCHW3=np.stack(images, axis=1).reshape(-1, *true_BTHW3.shape[1:]),
        row_labels=[f"{place}  {row}" for place in places for row in ROWS],
        column_labels=[str(frame) for frame in range(num_frames)],
        is_shown_RC=np.tile(is_shown_KT, (num_sequences, 1)),
        mark_column=context,
        mark_label="predicted",
        rows_per_block=len(ROWS),
    )
    animation = Animation(
        title=title,
        images_FRCHW3=np.stack(images).transpose(2, 0, 1, 3, 4, 5),
        row_labels=ROWS,
        column_labels=[f"sequence {place}" for place in places],
        captions=[
            f"frame {frame}, {'context' if frame < context else 'predicted'}"
            for frame in range(num_frames)
        ],
        frame_s=FRAME_S,
        is_shown_FRC=np.repeat(is_shown_KT.T[:, :, None], num_sequences, axis=2),
    )
    return strip, animation
