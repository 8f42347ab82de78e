"""What the metrics ask of the latents and of the factors.

Shapes: N samples, Z latents, K factors.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

COLLAPSED = 1e-6
"""A latent that spreads less than this part of its magnitude is rounding noise: constant."""


def check_factors(latents_NZ: Floats, factors_NK: Floats) -> None:
    """Raise ValueError where the samples do not pair up, or a factor is constant."""
    if latents_NZ.ndim != 2 or factors_NK.ndim != 2 or len(latents_NZ) != len(factors_NK):
        raise ValueError(
            f"latents {latents_NZ.shape} and factors {factors_NK.shape} must be (N, Z) and (N, K)"
        )
    if (factors_NK == factors_NK[0]).all(axis=0).any():
        raise ValueError("a factor is constant: there is nothing to tell apart")


def find_alive(latents_NZ: Floats) -> Bools:
    """Which latents vary, (Z,)."""
    magnitude_Z = np.abs(latents_NZ).max(axis=0)
    unit = latents_NZ / np.where(magnitude_Z > 0, magnitude_Z, 1.0)
    alive_Z: Bools = unit.std(axis=0) > COLLAPSED
    return alive_Z


def measure_gap(scores_ZK: Floats) -> Floats:
    """For each factor the best latent's score less the second best's, (K,).

    A single latent has no rival: its score itself.
    """
    ordered = np.sort(scores_ZK, axis=0)
    gap_K: Floats = ordered[-1] - (ordered[-2] if len(ordered) > 1 else 0.0)
    return gap_K
