"""Latents whose scores are known: N samples, Z latents, K factors."""

from __future__ import annotations

import numpy as np
import pytest

from hpcexp.workloads.representation.factors import Floats

GENERATOR = np.random.default_rng(0)
FACTORS_NK: Floats = GENERATOR.uniform(-1, 1, (1600, 3))
NOISE_NZ: Floats = GENERATOR.normal(size=(1600, 3))
# Each factor is held by a latent of its own: in another order, unit, and direction.
PERMUTED_NZ: Floats = FACTORS_NK[:, [2, 0, 1]] * [1, -50, 0.01]
HALF = np.sqrt(0.5)
# The first two factors share two latents in equal parts, the third has its own.
ROTATED_NZ: Floats = FACTORS_NK @ np.array([[HALF, -HALF, 0], [HALF, HALF, 0], [0, 0, 1]])

NOT_FINITE = pytest.mark.parametrize("value", [np.nan, np.inf])


def spoil(value: float) -> Floats:
    spoiled = FACTORS_NK.copy()
    spoiled[7, 1] = value
    return spoiled
