"""Linear projection MSE: how much of the true positions a linear map reads off the latents."""

from __future__ import annotations

import torch
from torch import Tensor

# A latent direction whose spread is below this part of the latents' magnitude is float32
# rounding noise: it counts as collapsed.
COLLAPSED = 1e-6


def measure_linear_projection(latents_NZ: Tensor, truth_ND: Tensor) -> Tensor:
    """Mean squared residual of each coordinate of the truth, (D,), float64.

    The truth is standardised per coordinate and fitted by least squares with a bias from
    the latents, so that a residual is 1 - R²: 0 for a perfect fit, 1 for collapsed latents.
    It is between 0 and 1 whatever the latents, also when they are constant or dependent,
    and NaN where a latent is not finite.

    Raises ValueError where a coordinate of the truth is constant.
    """
    truth = truth_ND.to(torch.float64)
    # Asked before centring: the mean's rounding can turn a constant into noise.
    if bool((truth == truth[0]).all(dim=0).any()):
        raise ValueError("a coordinate of the truth is constant: there is nothing to fit")
    truth = truth - truth.mean(dim=0)
    truth = truth / truth.std(dim=0, correction=0)
    latents = latents_NZ.to(torch.float64)
    # Chosen, not branched on: evaluations of several runs are one program.
    is_finite = torch.isfinite(latents).all()
    basis_NK = _orthonormal_basis(torch.where(is_finite, latents, 0.0))
    explained_D = (basis_NK.T @ truth).square().sum(dim=0) / len(truth)
    return torch.where(is_finite, (1 - explained_D).clamp(0, 1), torch.nan)


def _orthonormal_basis(latents_NZ: Tensor) -> Tensor:
    """An orthonormal basis of the centred latents' column space, without collapsed directions."""
    # Scaling makes both cuts independent of the latents' units, and no square overflows.
    magnitude_Z = latents_NZ.abs().amax(dim=0)
    unit = latents_NZ / torch.where(magnitude_Z > 0, magnitude_Z, 1.0)
    centred = unit - unit.mean(dim=0)
    spread_Z = centred.square().mean(dim=0).sqrt()
    alive_Z = spread_Z > COLLAPSED
    scaled = torch.where(alive_Z, centred / torch.where(alive_Z, spread_Z, 1.0), 0.0)
    left_NZ, singular_Z, _ = torch.linalg.svd(scaled, full_matrices=False)
    kept_Z = singular_Z > COLLAPSED * len(latents_NZ) ** 0.5
    basis_NK: Tensor = left_NZ * kept_Z
    return basis_NK
