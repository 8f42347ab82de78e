"""Units of what is drawn, as axes name them."""

from __future__ import annotations

UNITS = {
    # The squared error over the coordinate's own variance: what the mean alone gives is 1.
    "linear_projection_mse": "share of variance",
    "locked_projection_mse": "share of variance",
    "loss.kld": "nats",
    "loss.rnn_kld": "nats",
}
"""By name; parts such as `linear_projection_mse.x` have that of the whole."""


def find_unit(name: str) -> str:
    """The unit of a metric; empty where it has none, or nobody has named it here."""
    while name not in UNITS and "." in name:
        name = name.rpartition(".")[0]
    return UNITS.get(name, "")


def add_unit(title: str, name: str) -> str:
    """`linear projection MSE (validation) [share of variance]`."""
    unit = find_unit(name).replace(" ", "\N{NO-BREAK SPACE}")  # never torn between two lines
    return f"{title} [{unit}]" if unit else title


def name_axis(title: str, name: str) -> str:
    """`linear projection MSE [share of variance]`: the title above says the rest."""
    plain = title.removesuffix(" (validation)").removesuffix(", unweighted")
    return add_unit(plain, name)
