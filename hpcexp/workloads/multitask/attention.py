"""Attention and pooling that padding cannot reach, and dropout without a generator.

Shapes: B samples, Q and K time steps, H heads, W width. Masks are true where something is.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def softmax_masked(logits: Tensor, mask: Tensor) -> Tensor:
    """Softmax over the last dimension of what the mask lets through; zeros where that is nothing.

    Stable for logits of any size: torch's softmax subtracts the largest first.
    """
    hidden = logits.masked_fill(~mask, torch.finfo(logits.dtype).min)
    # Where the mask lets nothing through, the softmax is uniform: zero it.
    return hidden.softmax(dim=-1) * mask


class CrossAttention(nn.Module):
    """Multi-head attention from one modality to another (Vaswani et al. 2017, section 3.2)."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)

    def forward(self, query_BQW: Tensor, other_BKW: Tensor, mask_BK: Tensor) -> Tensor:
        """What each step of the query finds in the other modality, (B, Q, W)."""
        query_BHQV = self._split_heads(self.query(query_BQW))
        key_BHKV = self._split_heads(self.key(other_BKW))
        value_BHKV = self._split_heads(self.value(other_BKW))
        scores = query_BHQV @ key_BHKV.transpose(-1, -2) / math.sqrt(key_BHKV.shape[-1])
        weights_BHQK = softmax_masked(scores, mask_BK[:, None, None, :])
        found_BHQV = weights_BHQK @ value_BHKV
        attended: Tensor = self.out(found_BHQV.transpose(1, 2).flatten(2))
        # Nothing to attend to: not even the bias is a message.
        return attended * mask_BK.any(dim=1)[:, None, None]

    def _split_heads(self, x_BTW: Tensor) -> Tensor:
        num_samples, num_steps, width = x_BTW.shape
        shape = (num_samples, num_steps, self.num_heads, width // self.num_heads)
        return x_BTW.view(shape).transpose(1, 2)


class AdditivePooling(nn.Module):
    """A weighted mean over time, with weights softmax(v tanh(U x)); zeros for an empty sequence."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(width, width)
        self.score = nn.Linear(width, 1, bias=False)

    def forward(self, x_BTW: Tensor, mask_BT: Tensor) -> Tensor:
        """The pooled sequence, (B, W)."""
        logits_BT = self.score(torch.tanh(self.hidden(x_BTW))).squeeze(-1)
        weights_BT = softmax_masked(logits_BT, mask_BT)
        return (weights_BT[..., None] * x_BTW).sum(dim=1)


def drop(x: Tensor, *, probability: float, seed: Tensor, place: int) -> Tensor:
    """Dropout (Srivastava et al. 2014) whose mask is a function of a seed and a place alone.

    `seed` is an integer of one step; each place in the model has its own number. A mask is
    computed where it is used: drawn beforehand for a block of steps it would be many times the
    size of the model. Returns `x` itself for a probability of 0.
    """
    if probability == 0:
        return x
    index = torch.arange(x.numel(), device=x.device).reshape(x.shape)
    hashed = mix_bits(index + mix_bits(seed + place * 0x9E3779B1))
    threshold = int(probability * 2**32)
    return x * (hashed >= threshold) / (1 - probability)


def mix_bits(number: Tensor) -> Tensor:
    """A hash of 32 bits: multiply and shift, as in Wellons' "Prospecting for Hash Functions"."""
    mask = 0xFFFFFFFF
    number = number & mask
    for shift, factor in ((16, 0x21F0AAAD), (15, 0x735A2D97)):
        number = ((number ^ (number >> shift)) * factor) & mask
    return number ^ (number >> 15)
