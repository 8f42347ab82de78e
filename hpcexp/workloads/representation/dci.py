"""DCI: disentanglement, completeness and informativeness.

Source: Eastwood & Williams 2018, "A Framework for the Quantitative Evaluation of
Disentangled Representations". A regressor reads each factor off all latents; how much it
uses each latent is its importance. Of the paper's two regressors this is the random
forest: the lasso would call a latent that bends a factor uninformative.

Shapes: N samples, Z latents, K factors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from hpcexp.workloads.representation.factors import Floats, check_factors, standardise

NUM_TREES = 30
MIN_SAMPLES_PER_LEAF = 5
MAX_DEPTH = 12


@dataclass(frozen=True)
class Dci:
    """The three scores, from 0 to 1, and the importances (Z, K) that they follow from.

    Disentanglement: whether a latent stands for one factor only; NaN with one factor.
    Completeness: whether a factor is held by one latent only; NaN with one latent.
    Informativeness: the R² with which factors are read off samples that were not fitted,
    their mean (1 - E² in terms of the paper's normalised error E), at least 0.
    """

    disentanglement: float
    completeness: float
    informativeness: float
    importance_ZK: Floats


def measure_dci(latents_NZ: Floats, factors_NK: Floats, *, num_fitted: int) -> Dci:
    """Fit the first `num_fitted` samples, and test on the others.

    Samples that depend on each other (frames of one video) belong on the same side. All is
    NaN where a latent is not finite. The same samples give the same scores. Raises
    ValueError where a factor is constant.
    """
    check_factors(latents_NZ, factors_NK)
    if not np.isfinite(latents_NZ).all():
        shape = (latents_NZ.shape[1], factors_NK.shape[1])
        return Dci(math.nan, math.nan, math.nan, np.full(shape, np.nan))
    latents = standardise(latents_NZ)
    columns = [_fit_factor(latents, factor_N, num_fitted) for factor_N in factors_NK.T]
    importance_ZK = np.stack([importance_Z for importance_Z, _ in columns], axis=1)
    return Dci(
        disentanglement=measure_specificity(importance_ZK),
        completeness=measure_specificity(importance_ZK.T),
        informativeness=float(np.mean([r2 for _, r2 in columns])),
        importance_ZK=importance_ZK,
    )


def measure_specificity(importance_RC: Floats) -> float:
    """How much each row concentrates on one column, averaged by the rows' total importance.

    1 minus the entropy of the row's importances in units of log C. Rows are latents for
    disentanglement, factors for completeness. 0 where nothing has any importance.
    """
    num_columns = importance_RC.shape[1]
    total_R = importance_RC.sum(axis=1)
    if num_columns == 1:
        return math.nan
    if total_R.sum() == 0:
        return 0.0
    share_RC = importance_RC / np.where(total_R > 0, total_R, 1.0)[:, None]
    log_RC = np.log(np.where(share_RC > 0, share_RC, 1.0)) / math.log(num_columns)
    specificity_R = 1 + (share_RC * log_RC).sum(axis=1)
    return float((specificity_R * total_R).sum() / total_R.sum())


def _fit_factor(latents_NZ: Floats, factor_N: Floats, num_fitted: int) -> tuple[Floats, float]:
    """The importance of each latent, (Z,), and R² on the samples that were not fitted."""
    from sklearn.ensemble import RandomForestRegressor  # takes a second

    forest = RandomForestRegressor(
        n_estimators=NUM_TREES,
        min_samples_leaf=MIN_SAMPLES_PER_LEAF,
        max_depth=MAX_DEPTH,
        random_state=0,
        n_jobs=1,
    )
    forest.fit(latents_NZ[:num_fitted], factor_N[:num_fitted])
    tested_N = factor_N[num_fitted:]
    variance = tested_N.var()
    residual = np.square(forest.predict(latents_NZ[num_fitted:]) - tested_N).mean()
    importance_Z: Floats = np.asarray(forest.feature_importances_, np.float64)
    return importance_Z, max(0.0, float(1 - residual / variance)) if variance > 0 else 0.0
