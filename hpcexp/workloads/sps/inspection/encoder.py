"""What the encoder's latents tell of the true coordinates: linear projection, DCI, MIG, SAP.

Shape suffixes: B sequences, T frames, N = B T samples, Z latent dimensions, D coordinates.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from hpcexp.train.inspection import Findings, Table
from hpcexp.workloads.representation.dci import measure_dci
from hpcexp.workloads.representation.mig import measure_mig
from hpcexp.workloads.representation.sap import measure_sap
from hpcexp.workloads.sps.config import PRIMARY_METRIC, Config
from hpcexp.workloads.sps.inspection.view import View, name_latents, to_floats
from hpcexp.workloads.sps.linear_projection import measure_linear_projection

LOCKED = "locked_projection_mse"
HEIGHT = 2
"""The coordinate, and the latent dimension, of the height where each has its own."""


def inspect_encoder(view: View) -> Findings:
    """Numbers of the whole split, and how much each coordinate uses each latent."""
    measured, names = view.measured, view.config.dataset.coordinates
    latents_NZ = measured.means.detach().cpu().flatten(0, 1)
    truth_ND = torch.tensor(measured.sequences.positions).flatten(0, 1)
    num_sequences, num_frames = measured.means.shape[:2]
    numbers: dict[str, float] = {"num_sequences": num_sequences}
    mse_D = measure_linear_projection(latents_NZ, truth_ND)
    numbers |= _name(PRIMARY_METRIC.name, names, mse_D)
    numbers |= _name("linear_projection_r2", names, 1 - mse_D)
    notes: list[str] = []
    if reason := explain_no_lock(view.config):
        notes.append(f"{LOCKED} is left out: {reason}")
    else:
        locked_D = measure_locked_projection(latents_NZ, truth_ND)
        numbers |= _name(LOCKED, names, locked_D)
    latents, truth = to_floats(latents_NZ), to_floats(truth_ND)
    # Whole sequences on either side: frames of one tell of each other.
    num_fitted = (num_sequences // 2) * num_frames or num_frames // 2
    dci = measure_dci(latents, truth, num_fitted=num_fitted)
    numbers |= {
        "dci.disentanglement": dci.disentanglement,
        "dci.completeness": dci.completeness,
        "dci.informativeness": dci.informativeness,
        **_name("mig", names, torch.from_numpy(measure_mig(latents, truth))),
        **_name("sap", names, torch.from_numpy(measure_sap(latents, truth))),
    }
    if len(names) == 1:
        notes.append("dci.disentanglement is not defined for one coordinate")
    if view.config.latent_dim == 1:
        notes.append("dci.completeness is not defined for one latent")
    if not np.isfinite(latents).all():
        notes.append("a latent is not finite: its numbers are NaN")
    importance = {
        "latent": name_latents(view.config.latent_dim),
        **{name: dci.importance_ZK[:, place].tolist() for place, name in enumerate(names)},
    }
    return Findings("encoder", numbers, {"importance": Table(importance)}, notes)


def explain_no_lock(config: Config) -> str:
    """Why the height cannot be locked to a latent of its own; empty where it can."""
    if config.dataset.coordinates != ("x", "y", "height"):
        return f"the coordinates are {', '.join(config.dataset.coordinates)}, not x, y, height"
    if config.latent_dim != HEIGHT + 1:
        return f"it needs latent_dim 3, not {config.latent_dim}"
    return ""


def measure_locked_projection(latents_NZ: Tensor, truth_ND: Tensor) -> Tensor:
    """Linear projection MSE, (3,), with x and y from z0 and z1 only, the height from z2 only.

    What `measure_linear_projection` gives where the symmetry kept z2 apart, and more where
    the latents are mixed.
    """
    horizontal = measure_linear_projection(latents_NZ[:, :HEIGHT], truth_ND[:, :HEIGHT])
    vertical = measure_linear_projection(latents_NZ[:, HEIGHT:], truth_ND[:, HEIGHT:])
    return torch.cat([horizontal, vertical])


def _name(metric: str, coordinates: tuple[str, ...], values_D: Tensor) -> dict[str, float]:
    """The mean under the metric's name, and each coordinate's value under its own."""
    values = values_D.tolist()
    return {
        metric: float(values_D.mean()),
        **{f"{metric}.{name}": value for name, value in zip(coordinates, values, strict=True)},
    }
