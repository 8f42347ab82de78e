from __future__ import annotations

import math

import numpy as np

from hpcexp.train.inspection import Curves, Table
from hpcexp.workloads.sps.cache import load_sequences
from tests.workloads.sps.inspection.models import MIN_CONTEXT, NUM_FRAMES, look, make_config


def test_a_panel_shows_one_latent_of_one_sequence_encoded_and_predicted() -> None:
    curves = look("trajectory", sequences=(5, 2)).parts["latents"]
    assert isinstance(curves, Curves)
    assert curves.column_labels == ["sequence 5", "sequence 2"]
    assert curves.row_labels == ["z0", "z1", "z2"]
    settings = make_config().dataset
    positions = load_sequences(settings, split="evaluate", num_sequences=6).positions
    encoder, rnn = curves.panels[1][0]
    assert (encoder.name, rnn.name) == ("encoder", "RNN")
    np.testing.assert_allclose(encoder.y_S, positions[5, :, 1], rtol=1e-6)
    np.testing.assert_array_equal(encoder.x_S, np.arange(NUM_FRAMES))
    np.testing.assert_array_equal(rnn.x_S, np.arange(MIN_CONTEXT, NUM_FRAMES))
    np.testing.assert_array_equal(rnn.y_S, np.arange(MIN_CONTEXT, NUM_FRAMES))
    assert curves.mark_x == MIN_CONTEXT - 0.5


def test_the_table_has_a_row_for_each_sequence_and_frame() -> None:
    table = look("trajectory", sequences=(5, 2)).parts["values"]
    assert isinstance(table, Table)
    columns = table.columns
    assert list(columns["sequence"]) == [5] * NUM_FRAMES + [2] * NUM_FRAMES
    assert list(columns["frame"]) == [*range(NUM_FRAMES), *range(NUM_FRAMES)]
    assert columns["encoder.z2"] == columns["true.height"]
    predicted = [float(value) for value in columns["rnn.z0"]]
    assert all(math.isnan(value) for value in predicted[:MIN_CONTEXT])
    assert predicted[MIN_CONTEXT:NUM_FRAMES] == list(range(MIN_CONTEXT, NUM_FRAMES))
