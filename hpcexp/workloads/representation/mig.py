"""MIG: the mutual information gap.

Source: Chen et al. 2018, "Isolating Sources of Disentanglement in Variational
Autoencoders". Factors and latents are continuous here, so both are cut into 20 bins of
equal width from their smallest to their largest value, as Locatello et al. 2019
("Challenging Common Assumptions in the Unsupervised Learning of Disentangled
Representations") cut the latents.

Shapes: N samples, Z latents, K factors.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hpcexp.workloads.representation.factors import (
    Floats,
    check_factors,
    measure_gap,
    standardise,
)

NUM_BINS = 20


def measure_mig(latents_NZ: Floats, factors_NK: Floats) -> Floats:
    """The gap of each factor, (K,): its mean is the MIG.

    The mutual information of a factor with the latent that knows most about it, less that
    with the second, over the factor's entropy: from 0 to 1. NaN where a latent is not
    finite. Raises ValueError where a factor is constant.
    """
    check_factors(latents_NZ, factors_NK)
    if not np.isfinite(latents_NZ).all():
        return np.full(factors_NK.shape[1], np.nan)
    latents = [discretise(z_N) for z_N in standardise(latents_NZ).T]
    factors = [discretise(factor_N) for factor_N in factors_NK.T]
    scores_ZK = np.array(
        [[measure_mutual_information(z_N, v_N) for v_N in factors] for z_N in latents]
    )
    entropy_K = np.array([measure_mutual_information(v_N, v_N) for v_N in factors])
    gap_K: Floats = measure_gap(scores_ZK) / entropy_K
    return gap_K


def discretise(values_N: Floats) -> npt.NDArray[np.intp]:
    """The bin of each value, from 0 to NUM_BINS - 1; a constant is in one bin."""
    edges = np.linspace(values_N.min(), values_N.max(), NUM_BINS + 1)
    return np.digitize(values_N, edges[1:-1])


def measure_mutual_information(
    first_N: npt.NDArray[np.intp], second_N: npt.NDArray[np.intp]
) -> float:
    """Mutual information of two discretised variables in nats; with itself: the entropy."""
    counts = np.zeros((NUM_BINS, NUM_BINS))
    np.add.at(counts, (first_N, second_N), 1)
    joint = counts / counts.sum()
    independent = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    seen = joint > 0
    return float((joint[seen] * np.log(joint[seen] / independent[seen])).sum())
