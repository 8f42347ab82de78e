"""Rejection sampling: random draws, of which those that meet conditions are kept."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from hpcexp.errors import UsageError

Floats = npt.NDArray[np.float64]


def collect(
    num_sequences: int,
    draw_chunk: Callable[[int], Floats],
    *,
    per_chunk: int,
    max_barren: int,
    advice: str,
    condition: str,
) -> Floats:
    """The first `num_sequences` draws that are kept, (num_sequences, ...).

    `draw_chunk(n)` makes n draws and returns those that are kept. Where its numbers come from
    generators in a fixed order, a smaller number of sequences is the beginning of a larger
    one, and the chunk size changes nothing.

    Raises UsageError, with the advice and the condition that was not met, where none of
    `max_barren` draws in a row is kept.
    """
    chunks = [draw_chunk(0)]
    num_found = num_barren = 0
    while num_found < num_sequences:
        kept = draw_chunk(per_chunk)
        chunks.append(kept)
        num_found += len(kept)
        num_barren = 0 if len(kept) else num_barren + per_chunk
        if num_barren >= max_barren:
            raise UsageError(f"{advice}: of {num_barren:,} random draws in a row, none {condition}")
    return np.concatenate(chunks)[:num_sequences]
