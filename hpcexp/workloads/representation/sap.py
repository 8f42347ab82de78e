"""SAP: the separated attribute predictability score.

Source: Kumar et al. 2018, "Variational Inference of Disentangled Latent Concepts from
Unlabeled Observations". For continuous factors the paper scores a latent by the R² of a
linear regression of the factor on that latent alone.

Shapes: N samples, Z latents, K factors.
"""

from __future__ import annotations

import numpy as np

from hpcexp.workloads.representation.factors import (
    Floats,
    check_factors,
    measure_gap,
    standardise,
)


def measure_sap(latents_NZ: Floats, factors_NK: Floats) -> Floats:
    """The gap of each factor, (K,), between its best two latents: its mean is the SAP score.

    From 0 to 1. NaN where a latent is not finite. Raises ValueError where a factor is
    constant.
    """
    check_factors(latents_NZ, factors_NK)
    if not np.isfinite(latents_NZ).all():
        return np.full(factors_NK.shape[1], np.nan)
    latents = standardise(latents_NZ)
    correlation_ZK = latents.T @ standardise(factors_NK) / len(latents)
    return measure_gap(np.square(correlation_ZK))
