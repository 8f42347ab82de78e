"""Latents over time: what the encoder sees against what the RNN predicts on its own.

Shape suffixes: B sequences, T frames, P predicted frames, Z latent dimensions.
"""

from __future__ import annotations

import math

import numpy as np

from hpcexp.train.inspection import Curves, Findings, Line, Table
from hpcexp.workloads.sps.inspection.view import View, describe_split, name_latents, to_floats


def inspect_trajectory(view: View) -> Findings:
    """A panel for each latent dimension and sequence, and the numbers behind them."""
    drawn = view.draw(view.choose_split(default="evaluate"))
    encoded_BTZ, predicted_BPZ = to_floats(drawn.means), to_floats(drawn.predictions)
    num_sequences, num_frames, latent_dim = encoded_BTZ.shape
    context = view.config.rnn_min_context
    frames = np.arange(num_frames, dtype=np.float64)
    panels = [
        [
            (
                Line("encoder", frames, encoded_BTZ[sequence, :, dimension]),
                Line("RNN", frames[context:], predicted_BPZ[sequence, :, dimension]),
            )
            for sequence in range(num_sequences)
        ]
        for dimension in range(latent_dim)
    ]
    names = name_latents(latent_dim)
    curves = Curves(
        title=f"latents over time: encoder, and RNN on its own ({describe_split(drawn.split)})",
        panels=panels,
        row_labels=names,
        column_labels=[f"sequence {place}" for place in view.request.sequences],
        x_label="frame",
        mark_x=context - 0.5,
        mark_label="RNN on its own",
    )
    positions_BTD = drawn.sequences.positions.astype(np.float64)
    columns: dict[str, list[float] | list[int]] = {
        "sequence": np.repeat(view.request.sequences, num_frames).tolist(),
        "frame": np.tile(np.arange(num_frames), num_sequences).tolist(),
    }
    for place, name in enumerate(view.config.dataset.coordinates):
        columns[f"true.{name}"] = positions_BTD[:, :, place].ravel().tolist()
    padded_BTZ = np.full_like(encoded_BTZ, math.nan)
    padded_BTZ[:, context:] = predicted_BPZ
    for dimension, name in enumerate(names):
        columns[f"encoder.{name}"] = encoded_BTZ[:, :, dimension].ravel().tolist()
        columns[f"rnn.{name}"] = padded_BTZ[:, :, dimension].ravel().tolist()
    return Findings("trajectory", parts={"latents": curves, "values": Table(columns)})
