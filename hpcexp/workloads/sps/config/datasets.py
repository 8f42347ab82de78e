"""Hyperparameters of the data sets: what is filmed, and how. Imports no torch.

Lengths are in metres, times in seconds. Coordinates are x (to the right), y (away from
the camera) and height.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from hpcexp.train.hyperparameters import Hyperparameters
from hpcexp.train.schedule import with_default_kind

Fraction = Annotated[float, Field(ge=0, le=1)]
Colour = Annotated[tuple[Fraction, Fraction, Fraction], Field(strict=False)]

GREEN: Colour = (0.0, 1.0, 0.0)
GREY: Colour = (0.6, 0.6, 0.6)
MAGENTA: Colour = (1.0, 0.0, 1.0)
BLACK: Colour = (0.0, 0.0, 0.0)


class Video(Hyperparameters):
    """What all data sets share."""

    resolution: int = Field(default=32, ge=8, description="Width and height in pixels.")
    num_frames: int = Field(default=20, ge=2, description="Frames of a sequence.")
    background: Colour = Field(default=GREY, description="Background, RGB from 0 to 1.")
    seed: int = Field(default=0, ge=0, description="Seed of the drawn sequences.")

    @property
    def coordinates(self) -> tuple[str, ...]:
        """Names of the true coordinates, in the order in which they are given."""
        return ("x", "y", "height")


class SingleBall(Video):
    """What the data sets with one ball share."""

    ball_radius: float = Field(default=0.5, gt=0, description="Radius of the drawn ball (m).")
    ball_colour: Colour | Literal["random"] = Field(
        default=GREEN,
        description="RGB from 0 to 1, or `random`: a colour of its own for each sequence.",
    )


class Bounce(SingleBall):
    """What the bouncing balls share: frames 0.15 s apart, thrown into a cylinder."""

    start: Literal["uniform", "normal"] = Field(
        default="uniform",
        description="Distribution of the starts: uniform in a box of two standard deviations "
        "around (0, 6, 2), or normal with standard deviations (2, 2, 1).",
    )
    max_speed: float = Field(
        default=4.0, ge=0, description="Largest component of the starting velocity (m/s)."
    )
    cylinder_radius: float = Field(
        default=4.0,
        gt=0,
        description="Sequences that come farther from the axis through (0, 6) are drawn again (m).",
    )


class BounceDataset(Bounce):
    """A ball that bounces in 3-D, seen by a fixed camera, always in view."""

    kind: Literal["bounce"] = "bounce"


class XjBounceDataset(Bounce):
    """`bounce` in a narrower cylinder, for the notebook's second data set.

    An approximation: the original was drawn from another distribution. Directions may be
    compared with published runs, values may not.
    """

    kind: Literal["xj_bounce"] = "xj_bounce"
    cylinder_radius: float = Field(
        default=3.0,
        gt=0,
        description="Sequences that come farther from the axis through (0, 6) are drawn again (m).",
    )


class BounceLeaveViewDataset(Bounce):
    """`bounce`, but the ball may leave the view after a given frame; empty frames are kept."""

    kind: Literal["bounce_leave_view"] = "bounce_leave_view"
    may_leave_after: int = Field(
        default=5, ge=1, description="Frames at the start in which the ball is in view."
    )


class OneDimDataset(SingleBall):
    """A ball that bounces between the ends of a line, to test linearity alone.

    It moves along x at constant speed, and turns at ± `half_length`, at height 2 m and 6 m away.
    """

    kind: Literal["one_dim"] = "one_dim"
    half_length: float = Field(
        default=3.0, gt=0, description="The ball's centre stays within ± this (m)."
    )
    max_speed: float = Field(
        default=4.0, gt=0, description="Speeds are uniform within ± this (m/s)."
    )

    @property
    def coordinates(self) -> tuple[str, ...]:
        """Names of the true coordinates: one."""
        return ("x",)


class TwoBody(Video):
    """What the two-body systems share: two balls under mutual gravity, frames 4 s apart.

    G = 1 and both masses are 1. The first ball is green, the second magenta.
    """

    num_frames: int = Field(default=25, ge=2, description="Frames of a sequence, 4 s apart.")
    background: Colour = Field(default=BLACK, description="Background, RGB from 0 to 1.")
    ball_radius: float = Field(default=0.8, gt=0, description="Radius of both balls (m).")
    ball_colours: Annotated[tuple[Colour, Colour], Field(strict=False)] | Literal["random"] = Field(
        default=(GREEN, MAGENTA),
        description="RGB from 0 to 1 of both balls, or `random`: two for each sequence.",
    )
    centre_of_mass: Literal["fixed", "random"] = Field(
        default="fixed",
        description="At rest at the origin (3 coordinates, those of the first ball), or at "
        "rest at a place of its own in each sequence (6 coordinates).",
    )
    centre_std: float = Field(
        default=1.75, ge=0, description="Standard deviation of a random centre of mass (m)."
    )

    @property
    def coordinates(self) -> tuple[str, ...]:
        """Names of the true coordinates: of the first ball, or of both."""
        balls = ("1",) if self.centre_of_mass == "fixed" else ("1", "2")
        return tuple(f"{axis}_{ball}" for ball in balls for axis in ("x", "y", "height"))


class TwoBodyDataset(TwoBody):
    """Two bodies that orbit each other: 1.2 to 2 turns in 25 frames."""

    kind: Literal["two_body"] = "two_body"
    min_energy: float = Field(default=-0.10, lt=0, description="Least total energy.")
    max_energy: float = Field(default=-0.07, lt=0, description="Largest total energy.")
    min_depth_std: float = Field(
        default=1.4, ge=0, description="Least standard deviation of the first ball's y (m)."
    )

    @model_validator(mode="after")
    def _energies_are_ordered(self) -> TwoBodyDataset:
        if self.min_energy >= self.max_energy:
            raise ValueError(
                f"min_energy ({self.min_energy}) must be less than max_energy ({self.max_energy})"
            )
        return self


class TwoBodyNoOrbitDataset(TwoBody):
    """`two_body` without the conditions on energy and depth: wide orbits and tight ones, of any
    inclination. The conditions on what is seen are kept."""

    kind: Literal["two_body_no_orbit"] = "two_body_no_orbit"


Dataset = Annotated[
    Annotated[
        BounceDataset
        | XjBounceDataset
        | BounceLeaveViewDataset
        | OneDimDataset
        | TwoBodyDataset
        | TwoBodyNoOrbitDataset,
        Field(discriminator="kind"),
    ],
    with_default_kind("bounce"),
]
