"""Haar-uniform rotations.

Source: Mezzadri 2007, "How to generate random matrices from the classical compact
groups", section 5: the Q of a Gaussian matrix, its columns multiplied by the signs of R's
diagonal. (Q alone is not uniform: its distribution depends on the QR algorithm.)
"""

from __future__ import annotations

import torch
from torch import Tensor


def draw_orthogonal(count: int, dim: int, generator: torch.Generator) -> Tensor:
    """Elements of O(dim), rotations and reflections: (count, dim, dim), float64."""
    gaussian = torch.randn(count, dim, dim, generator=generator, dtype=torch.float64)
    q, r = torch.linalg.qr(gaussian)
    signs = torch.sign(torch.diagonal(r, dim1=1, dim2=2))
    haar: Tensor = q * signs[:, None, :]
    return haar


def draw_rotations(
    count: int, dim: int, generator: torch.Generator, *, reflections: bool
) -> Tensor:
    """Elements of O(dim), or without reflections of SO(dim): (count, dim, dim), float64.

    A rotation is made of a reflection by turning its first column around, which maps the
    Haar measure of one half of O(dim) onto that of the other.
    """
    orthogonal = draw_orthogonal(count, dim, generator)
    if reflections:
        return orthogonal
    turned = orthogonal.clone()
    turned[:, :, 0] *= torch.linalg.det(orthogonal).sign()[:, None]
    return turned
