"""How far colours are apart, for readers with all kinds of cones."""

from __future__ import annotations

import numpy as np
from matplotlib.colors import to_rgb
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Machado, Oliveira & Fernandes 2009, severity 1.0, of linear RGB.
DEFICIENCIES: dict[str, Array] = {
    "none": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
         [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
         [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
         [0.004733, 0.691367, 0.303900]]
    ),
}  # fmt: skip


def linearise(colour: str) -> Array:
    """Linear RGB, (3,)."""
    rgb = np.array(to_rgb(colour))
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def measure_contrast(first: str, second: str) -> float:
    """The contrast ratio of WCAG 2.1, from 1 to 21."""
    weights = np.array([0.2126, 0.7152, 0.0722])
    low, high = sorted(float(weights @ linearise(c)) for c in (first, second))
    return (high + 0.05) / (low + 0.05)


def measure_difference(first: str, second: str, *, deficiency: str = "none") -> float:
    """The distance in CIE L*a*b* (D65), as a reader with a deficiency sees it."""
    seen = DEFICIENCIES[deficiency]
    labs = [_to_lab(np.clip(seen @ linearise(c), 0, 1)) for c in (first, second)]
    return float(np.linalg.norm(labs[0] - labs[1]))


def _to_lab(linear: Array) -> Array:
    to_xyz = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    xyz = (to_xyz @ linear) / np.array([0.95047, 1.0, 1.08883])
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])
