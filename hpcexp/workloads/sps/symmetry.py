"""Symmetry transforms of the latent as affine maps: z -> A z + b.

Because every transform is a matrix and a vector, which transform a step uses is data and
not a branch: runs with different symmetries are lanes of one program.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from hpcexp.workloads.sps.config.symmetry import Symmetry, Translate

NUM_TRANSFORMED = 2  # the first two latent dimensions; the others stay as they are


class AffineMaps(NamedTuple):
    """One invertible map for each of S steps on latents of Z dimensions."""

    matrix_SZZ: Tensor
    inverse_SZZ: Tensor
    offset_SZ: Tensor


def draw_maps(
    symmetry: Symmetry, generator: torch.Generator, *, num_steps: int, latent_dim: int
) -> AffineMaps:
    """Draw the maps of `num_steps` steps.

    Each is a translation (normal, `translate_std`) or a Haar element of O(2), with equal
    probability; with `identity_probability`, or where the kind is `trivial`, it is the
    identity. All random numbers are drawn in any case, so that steps of two settings of
    the symmetry use the same ones.
    """
    is_identity_S = _uniform(num_steps, generator) < symmetry.identity_probability
    is_translation_S = _uniform(num_steps, generator) < 0.5
    shift_SD = torch.randn(num_steps, NUM_TRANSFORMED, generator=generator, dtype=torch.float64)
    rotation_SDD = draw_orthogonal(num_steps, NUM_TRANSFORMED, generator)
    if not symmetry.rules:
        is_identity_S = torch.ones_like(is_identity_S)
    translates_S = ~is_identity_S & is_translation_S
    rotates_S = ~is_identity_S & ~is_translation_S
    matrix = torch.eye(latent_dim, dtype=torch.float64).repeat(num_steps, 1, 1)
    block = matrix[:, :NUM_TRANSFORMED, :NUM_TRANSFORMED]
    block.copy_(torch.where(rotates_S[:, None, None], rotation_SDD, block))
    offset = torch.zeros(num_steps, latent_dim, dtype=torch.float64)
    offset[:, :NUM_TRANSFORMED] = translates_S[:, None] * shift_SD * _std(symmetry)
    return AffineMaps(matrix, matrix.transpose(1, 2).contiguous(), offset)


def draw_orthogonal(count: int, dim: int, generator: torch.Generator) -> Tensor:
    """Haar-uniform elements of O(dim), rotations and reflections: (count, dim, dim), float64.

    Source: Mezzadri 2007, "How to generate random matrices from the classical compact
    groups", section 5: the Q of a Gaussian matrix, its columns multiplied by the signs of
    R's diagonal.
    """
    gaussian = torch.randn(count, dim, dim, generator=generator, dtype=torch.float64)
    q, r = torch.linalg.qr(gaussian)
    signs = torch.sign(torch.diagonal(r, dim1=1, dim2=2))
    haar: Tensor = q * signs[:, None, :]
    return haar


def apply_map(z_BTZ: Tensor, matrix_ZZ: Tensor, offset_Z: Tensor) -> Tensor:
    """A z + b for every latent."""
    return z_BTZ @ matrix_ZZ.transpose(-1, -2) + offset_Z


def undo_map(z_BTZ: Tensor, inverse_ZZ: Tensor, offset_Z: Tensor) -> Tensor:
    """A⁻¹ (z - b) for every latent."""
    return (z_BTZ - offset_Z) @ inverse_ZZ.transpose(-1, -2)


def _uniform(count: int, generator: torch.Generator) -> Tensor:
    return torch.rand(count, generator=generator, dtype=torch.float64)


def _std(symmetry: Symmetry) -> float:
    transforms = [t for rule in symmetry.rules for t in rule.sample or ()]
    return next((t.std for t in transforms if isinstance(t, Translate)), 0.0)
