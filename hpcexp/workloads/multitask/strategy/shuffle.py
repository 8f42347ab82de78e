"""A shuffled order as a function: which row stands at a place, without listing all of them.

A data set of any size needs no table of its order, only a key and a position, so that both are
two numbers of a checkpoint.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hpcexp.workloads.multitask.attention import mix_bits

NUM_ROUNDS = 48


def shuffle_index(place: Tensor, *, size: Tensor, key: Tensor) -> Tensor:
    """The row at a place of a permutation of 0 to size - 1 that the key chooses.

    All are int64 of one shape; 0 <= place < size. In every round a row may change places with
    its mirror image about a random centre; a hash of the pair decides.
    Source: Hoang, Morris & Rogaway 2012, "An Enciphering Scheme Based on a Card Shuffle".
    """
    row = place
    for round_index in range(NUM_ROUNDS):
        round_key = mix_bits(mix_bits(key) + 0x9E3779B1 * (round_index + 1))
        mirrored = (round_key % size - row) % size
        pair = torch.maximum(row, mirrored)
        swaps = mix_bits(mix_bits(pair) ^ round_key) >> 31 == 1
        row = torch.where(swaps, mirrored, row)
    return row
