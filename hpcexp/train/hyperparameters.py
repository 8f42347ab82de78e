"""The base of every group of hyperparameters. Imports no torch."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Hyperparameters(BaseModel):
    """Base of every group of hyperparameters: strict types, no unknown names, immutable."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)
