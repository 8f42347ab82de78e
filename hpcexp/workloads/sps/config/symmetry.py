"""Hyperparameters of the symmetry that is assumed. Imports no torch."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from hpcexp.train.hyperparameters import Hyperparameters


class Translate(Hyperparameters):
    """A normal translation of all dimensions of a slice: T(n)."""

    kind: Literal["translate"] = "translate"
    std: float = Field(
        default=1.0, ge=0, description="Standard deviation per dimension, in latent units."
    )


class Rotate(Hyperparameters):
    """A Haar-uniform rotation of a slice: an element of SO(n), or of O(n) with reflections."""

    kind: Literal["rotate"] = "rotate"
    reflections: bool = Field(
        default=True,
        description="Draw from O(n), as the QR decomposition does, instead of SO(n).",
    )


class Trivial(Hyperparameters):
    """Nothing: the identity."""

    kind: Literal["trivial"] = "trivial"


def _from_name(value: Any) -> Any:
    """`rotate` is short for `{kind: rotate}`."""
    return {"kind": value} if isinstance(value, str) else value


Transform = Annotated[
    Annotated[Translate | Rotate | Trivial, Field(discriminator="kind")],
    BeforeValidator(_from_name, json_schema_input_type=str | dict[str, Any]),
]
Transforms = Annotated[tuple[Transform, ...], Field(strict=False, min_length=1)]

_SLICE = re.compile(r"(\d+):(\d+)")
ROUNDING = 1e-9
"""A time that is this near to a frame is that frame."""


def parse_slice(text: str) -> slice:
    """`0:3` as a slice.

    Raises ValueError for anything else, and for an empty slice.
    """
    match = _SLICE.fullmatch(text)
    if match is None or int(match[1]) >= int(match[2]):
        raise ValueError(f"{text!r} is not a slice of the latent; write one such as 0:2")
    return slice(int(match[1]), int(match[2]))


class SliceSet(Hyperparameters):
    """Slices of the latent, and what may be done to each.

    Either `sample` (one of the transforms, all with equal probability), `compose` (all of
    them, the first one first) or `in_turn` (one for each augmentation of the batch).
    """

    slices: Annotated[tuple[str, ...], Field(strict=False, min_length=1)] = Field(
        description="Slices of the latent of equal width, such as 0:3 and 3:6; they do not overlap."
    )
    sample: Transforms | None = Field(
        default=None, description="Draw one of these with equal probability."
    )
    compose: Transforms | None = Field(
        default=None, description="Draw each of these and apply them in this order."
    )
    in_turn: Transforms | None = Field(
        default=None,
        description="The first of the K augmentations of a batch draws the first of these, the "
        "second the second, and so on; with draw_per sequence, the sequences take turns, too.",
    )
    instances: Literal["shared", "independent"] = Field(
        default="shared",
        description="The same instance for all the slices, or an independent one for each.",
    )

    @model_validator(mode="after")
    def _is_complete(self) -> SliceSet:
        if sum(given is not None for given in (self.sample, self.compose, self.in_turn)) != 1:
            raise ValueError(
                "give one of sample (one of the transforms), compose (all of them) and in_turn "
                "(one for each augmentation)"
            )
        widths = {part.stop - part.start for part in self.parsed}
        if len(widths) > 1:
            raise ValueError(f"slices {', '.join(self.slices)} differ in width; use two entries")
        for one, other in pairwise(sorted(self.parsed, key=lambda part: part.start)):
            if other.start < one.stop:
                raise ValueError(
                    f"slices {one.start}:{one.stop} and {other.start}:{other.stop} overlap; use "
                    "two entries, which are applied one after the other"
                )
        return self

    @property
    def transforms(self) -> tuple[Transform, ...]:
        """What may be done, or is."""
        return self.sample or self.compose or self.in_turn or ()

    @property
    def parsed(self) -> tuple[slice, ...]:
        """The slices, all of one width."""
        return tuple(parse_slice(text) for text in self.slices)

    @property
    def width(self) -> int:
        """Latent dimensions of each slice."""
        first = self.parsed[0]
        return int(first.stop - first.start)


class TimeSymmetry(Hyperparameters):
    """Random transforms of time: the latents are played backwards, faster or slower.

    A prediction is played back before it is compared; frames that it does not reach are left
    out of the prediction losses.
    """

    reverse_probability: float = Field(
        default=0.0, ge=0, le=1, description="Probability that time runs backwards."
    )
    stretch: Annotated[tuple[float, ...], Field(strict=False)] = Field(
        default=(),
        description="Ratios of which one is drawn: 2 plays at half the speed, 0.5 at double; "
        "between two frames latents are interpolated.",
    )

    @model_validator(mode="after")
    def _ratios_are_positive(self) -> TimeSymmetry:
        for ratio in self.stretch:
            if not 0.25 <= ratio <= 4:
                raise ValueError(f"stretch: {ratio:g} is out of range; must be from 0.25 to 4")
        return self

    @property
    def is_trivial(self) -> bool:
        """Whether nothing is ever done."""
        return self.reverse_probability == 0 and all(ratio == 1 for ratio in self.stretch)


def list_played_frames(ratio: float, *, num_frames: int, min_context: int) -> tuple[int, ...]:
    """Frames u that the RNN predicts where time is stretched.

    Their times, ratio * u, are between those of its first and its last prediction.
    """
    first, last = min_context - ROUNDING, num_frames - 1 + ROUNDING
    return tuple(u for u in range(num_frames) if first <= ratio * u <= last)


HORIZONTAL = SliceSet(slices=("0:2",), sample=(Translate(), Rotate()))


class Symmetry(Hyperparameters):
    """The random transform of the latent, applied before the RNN and undone after it.

    Entries of `rules` are applied in order; where their slices overlap, so do they. Dimensions
    outside of all slices stay as they are. `rules: []` is no symmetry at all.
    """

    rules: Annotated[tuple[SliceSet, ...], Field(strict=False)] = Field(
        default=(HORIZONTAL,),
        description="What is done to which slices of the latent, in order.",
    )
    identity_probability: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="Probability that nothing is transformed.",
    )
    draw_per: Literal["batch", "sequence"] = Field(
        default="batch",
        description="One transform for the whole batch (or for each of its K parts), or one "
        "for each sequence.",
    )
    K: int = Field(default=1, ge=1, description="Augmentations of a batch.")
    K_mode: Literal["divide", "multiply"] = Field(
        default="divide",
        description="Each augmentation sees 1/K of the batch, or all of it (K times the work).",
    )
    time: TimeSymmetry = TimeSymmetry()

    @model_validator(mode="after")
    def _turns_come_round(self) -> Symmetry:
        for rule in self.rules:
            num = len(rule.in_turn or ())
            if num and self.draw_per == "batch" and self.K % num:
                raise ValueError(
                    f"K ({self.K}) is not a multiple of {num}: each augmentation takes one of the "
                    f"{num} transforms of in_turn, and each of them is to come equally often"
                )
        return self

    @property
    def latent_dim_needed(self) -> int:
        """The least latent_dim that has all the slices."""
        return max((part.stop for rule in self.rules for part in rule.parsed), default=0)
