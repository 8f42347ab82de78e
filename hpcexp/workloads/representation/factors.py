"""What the metrics ask of the latents and of the factors.

Shapes: N samples, Z latents, K factors.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

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


def standardise(values_NC: Floats) -> Floats:
    """Mean 0 and standard deviation 1 in each column; zeros for a collapsed one.

    Every metric reads the latents this way, since none may depend on their units: decision
    trees, for one, take differences below 1e-7 for none.
    """
    magnitude_C = np.abs(values_NC).max(axis=0)
    unit = values_NC / np.where(magnitude_C > 0, magnitude_C, 1.0)  # no square overflows
    centred = unit - unit.mean(axis=0)
    std_C = centred.std(axis=0)
    is_alive_C = std_C > COLLAPSED
    scaled: Floats = np.where(is_alive_C, centred, 0.0) / np.where(is_alive_C, std_C, 1.0)
    return scaled


def measure_gap(scores_ZK: Floats) -> Floats:
    """For each factor the best latent's score less the second best's, (K,).

    A single latent has no rival: its score itself.
    """
    ordered = np.sort(scores_ZK, axis=0)
    gap_K: Floats = ordered[-1] - (ordered[-2] if len(ordered) > 1 else 0.0)
    return gap_K
