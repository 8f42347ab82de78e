"""Draw flat balls as a pinhole camera sees them: ray-sphere intersection, anti-aliased.

The angle between a pixel and a ball tells at once for most pixels that they lie wholly
inside or wholly outside of it; only the others are cut into a grid of rays. Each ray
takes the colour of the nearest ball that it hits, so balls may overlap and intersect.

Shape suffixes: F frames, B balls, H and W pixels, G = H·W pixels in reading order,
P border pixels of all frames, K balls that such a pixel may show, S rays along each side
of a pixel. In camera coordinates a point is (right, up, forward), a ray (right, up, 1).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.intp]
Bytes = npt.NDArray[np.uint8]

ANGLE_CELLS_PER_CHUNK = 2**18
"""Frames × balls × pixels looked at together: 1 MiB of float32 stays in the cache."""
BORDER_RAYS_PER_CHUNK = 2**16
COSINE_MARGIN = 1e-6
"""Doubt in favour of casting rays: well above the rounding of float32 cosines."""


@dataclass(frozen=True)
class Camera:
    """A pinhole camera; `half_width` is what half an image spans at distance 1.

    `up` need not be perpendicular to the line of sight, only not parallel to it.
    """

    position: tuple[float, float, float]
    look_at: tuple[float, float, float]
    half_width: float
    up: tuple[float, float, float] = (0.0, 0.0, 1.0)

    def axes(self) -> Floats:
        """Unit vectors right, up and forward as the rows of a (3, 3) array."""
        forward = _normalise(np.subtract(self.look_at, self.position, dtype=np.float64))
        right = _normalise(np.cross(forward, self.up))
        return np.stack([right, np.cross(right, forward), forward])

    def to_camera(self, points: Floats) -> Floats:
        """Points (..., 3) of the world in camera coordinates (right, up, forward)."""
        relative = points - np.asarray(self.position)
        # Products and sums one by one: the same on every machine, unlike a BLAS product.
        return np.stack([(relative * axis).sum(axis=-1) for axis in self.axes()], axis=-1)

    def project(self, points: Floats) -> Floats:
        """Where points (..., 3) are seen, (..., 2): right and up, from -1 to 1 in the image.

        For points in front of the camera.
        """
        right_up_forward = self.to_camera(points)
        return right_up_forward[..., :2] / right_up_forward[..., 2:] / self.half_width

    def sees(self, points: Floats) -> npt.NDArray[np.bool_]:
        """Whether points (..., 3) are in the image."""
        in_front = self.to_camera(points)[..., 2] > 0
        with np.errstate(divide="ignore", invalid="ignore"):
            inside = (np.abs(self.project(points)) <= 1).all(axis=-1)
        seen: npt.NDArray[np.bool_] = in_front & inside
        return seen


@dataclass(frozen=True)
class _Scene:
    """What stays the same from frame to frame."""

    radii_B: Floats
    palette_C3: Floats  # the balls' colours, then the background: 0 to 255
    half_width: float
    resolution: int
    rays_per_side: int


def render(
    centres: Floats,
    *,
    radii: npt.ArrayLike,
    colours: npt.ArrayLike,
    background: npt.ArrayLike,
    camera: Camera,
    resolution: int,
    rays_per_side: int = 8,
) -> Bytes:
    """Images (..., 3, resolution, resolution) of the balls at `centres` (..., B, 3).

    radii is (B,), colours (B, 3) and background (3,) with RGB from 0 to 1. A pixel's
    colour is the mean over rays_per_side² rays on a regular grid. A ball that holds the
    camera fills the view; one behind the camera is not seen.

    Raises ValueError where the shapes do not fit together.
    """
    scene = _Scene(
        radii_B=np.asarray(radii, dtype=np.float64),
        palette_C3=255 * np.vstack([colours, background]).astype(np.float64),
        half_width=camera.half_width,
        resolution=resolution,
        rays_per_side=rays_per_side,
    )
    num_balls = len(scene.radii_B)
    if centres.shape[-2:] != (num_balls, 3) or scene.palette_C3.shape != (num_balls + 1, 3):
        raise ValueError(
            f"centres {centres.shape}, radii {scene.radii_B.shape} and colours "
            f"{np.shape(colours)} must be (..., B, 3), (B,) and (B, 3)"
        )
    centres_FB3 = camera.to_camera(np.asarray(centres, dtype=np.float64).reshape(-1, num_balls, 3))
    images_F3G = _draw_frames(scene, centres_FB3)
    return images_F3G.reshape(*centres.shape[:-2], 3, resolution, resolution)


def _draw_frames(scene: _Scene, centres_FB3: Floats) -> Bytes:
    num_frames, num_balls, _ = centres_FB3.shape
    num_pixels = scene.resolution**2
    images_F3G = np.empty((num_frames, 3, num_pixels), dtype=np.uint8)
    images_F3G[:] = _to_bytes(scene.palette_C3[-1])[:, None]
    directions_G3, pixel_angle = _pixel_directions(scene)
    step = max(1, ANGLE_CELLS_PER_CHUNK // (num_pixels * num_balls))
    for first in range(0, num_frames, step):
        chunk = slice(first, first + step)
        _draw_chunk(
            images_F3G[chunk],
            scene,
            centres_FB3[chunk],
            directions_G3=directions_G3,
            pixel_angle=pixel_angle,
        )
    return images_F3G


def _draw_chunk(
    images_F3G: Bytes,
    scene: _Scene,
    centres_FB3: Floats,
    *,
    directions_G3: npt.NDArray[np.float32],
    pixel_angle: float,
) -> None:
    cos_outside_FB, cos_inside_FB = _cosine_limits(centres_FB3, scene.radii_B, pixel_angle)
    toward_FB3 = _normalise(centres_FB3).astype(np.float32)
    cosine_FBG = toward_FB3 @ directions_G3.T
    touched_FBG = cosine_FBG > cos_outside_FB[..., None]
    touched_FG = np.logical_or.reduce(touched_FBG, axis=1)
    frames, pixels = np.divmod(np.flatnonzero(touched_FG), touched_FG.shape[1])
    touches_PB = touched_FBG[frames, :, pixels]
    inside_PB = cosine_FBG[frames, :, pixels] > cos_inside_FB[frames]
    alone = touches_PB.sum(axis=1) == 1
    plain = alone & inside_PB.any(axis=1)
    ball_P = touches_PB.argmax(axis=1)
    images_F3G[frames[plain], :, pixels[plain]] = _to_bytes(scene.palette_C3)[ball_P[plain]]
    # Where two balls may share a pixel, each ray finds the one in front.
    every_ball = np.tile(np.arange(touches_PB.shape[1]), (len(frames), 1))
    for cast, balls_PK in ((alone & ~plain, ball_P[:, None]), (~alone, every_ball)):
        _cast_rays(
            images_F3G,
            scene,
            centres_FB3,
            frames=frames[cast],
            pixels=pixels[cast],
            balls_PK=balls_PK[cast],
        )


def _cast_rays(
    images_F3G: Bytes,
    scene: _Scene,
    centres_FB3: Floats,
    *,
    frames: Integers,
    pixels: Integers,
    balls_PK: Integers,
) -> None:
    """Colour border pixels; balls_PK are the K balls that each of them may show."""
    step = max(1, BORDER_RAYS_PER_CHUNK // scene.rays_per_side**2)
    for first in range(0, len(frames), step):
        chunk = slice(first, first + step)
        balls = balls_PK[chunk]
        share_PK = _share_rays(
            scene,
            centres_FB3[frames[chunk, None], balls],
            scene.radii_B[balls],
            pixels=pixels[chunk],
        )
        background = scene.palette_C3[-1]
        contrast_PK3 = scene.palette_C3[balls] - background
        colours_P3 = background + (share_PK[..., None] * contrast_PK3).sum(axis=1)
        images_F3G[frames[chunk], :, pixels[chunk]] = _to_bytes(colours_P3)


def _share_rays(
    scene: _Scene, centres_PK3: Floats, radii_PK: Floats, *, pixels: Integers
) -> Floats:
    """Fractions (P, K) of each pixel's rays that end on each of its balls."""
    rows, columns = np.divmod(pixels, scene.resolution)
    coordinates_SW = _ray_coordinates(scene)
    right_SP, up_SP = coordinates_SW[:, columns], -coordinates_SW[:, rows]
    num_balls = radii_PK.shape[1]
    if num_balls == 1:
        discriminant_SSP, _ = _intersect(
            centres_PK3[:, 0], radii_PK[:, 0], right_SP=right_SP, up_SP=up_SP
        )
        return _mean_over_rays(discriminant_SSP >= 0)[:, None]
    owner_SSP = _find_nearest(centres_PK3, radii_PK, right_SP=right_SP, up_SP=up_SP)
    return np.stack([_mean_over_rays(owner_SSP == ball) for ball in range(num_balls)], axis=1)


def _find_nearest(
    centres_PK3: Floats, radii_PK: Floats, *, right_SP: Floats, up_SP: Floats
) -> npt.NDArray[np.int16]:
    """Which of its pixel's K balls each ray (S, S, P) meets first; -1 where it meets none."""
    shape = (len(up_SP), *right_SP.shape)
    owner_SSP = np.full(shape, -1, dtype=np.int16)
    nearest_SSP = np.full(shape, np.inf)
    for ball in range(radii_PK.shape[1]):
        discriminant_SSP, along_SSP = _intersect(
            centres_PK3[:, ball], radii_PK[:, ball], right_SP=right_SP, up_SP=up_SP
        )
        # All balls see the same ray: without its length, the order of distances is the same.
        distance_SSP = along_SSP - np.sqrt(np.maximum(discriminant_SSP, 0))
        nearer_SSP = (discriminant_SSP >= 0) & (distance_SSP < nearest_SSP)
        owner_SSP[nearer_SSP] = ball
        nearest_SSP[nearer_SSP] = distance_SSP[nearer_SSP]
    return owner_SSP


def _intersect(
    centre_P3: Floats, radius_P: Floats, *, right_SP: Floats, up_SP: Floats
) -> tuple[Floats, Floats]:
    """Discriminant of ray-sphere intersection, and the centre's extent along the ray.

    Ray d and centre c meet at d·t with |d|² t² - 2 (d·c) t + |c|² - r² = 0: where the
    discriminant (d·c)² - |d|² (|c|² - r²) is not negative, at t·|d|² = d·c ∓ its root.
    What lies behind the camera gets a negative discriminant. Rays are (up, right, pixel):
    pixels come last, so that the innermost loop is long.
    """
    x_P, y_P, z_P = centre_P3.T.copy()
    tangent_P = x_P**2 + y_P**2 + z_P**2 - radius_P**2
    along_SSP = (z_P + y_P * up_SP)[:, None] + (x_P * right_SP)[None]
    discriminant_SSP = along_SSP**2
    discriminant_SSP -= (tangent_P * (1 + up_SP**2))[:, None] + (tangent_P * right_SP**2)[None]
    # Linear over the pixel, the extent is smallest at a corner: mostly nothing is behind.
    corner = slice(None, None, max(1, len(up_SP) - 1))
    if along_SSP[corner, corner].min(initial=0) < 0:
        # A ball around the camera (tangent < 0) is met by every ray, wherever its centre is.
        discriminant_SSP[(along_SSP < 0) & (tangent_P >= 0)] = -1
    return discriminant_SSP, along_SSP


def _cosine_limits(
    centres_FB3: Floats, radii_B: Floats, pixel_angle: float
) -> tuple[Floats, Floats]:
    """Cosines below which a pixel is surely outside of a ball, above which surely inside."""
    distance_FB = np.sqrt((centres_FB3**2).sum(axis=-1))
    around_FB = distance_FB <= radii_B
    ratio_FB = np.divide(radii_B, distance_FB, out=np.ones_like(distance_FB), where=~around_FB)
    angle_FB = np.arcsin(ratio_FB)
    outside_FB = np.cos(np.minimum(angle_FB + pixel_angle, np.pi)) - COSINE_MARGIN
    inside_FB = np.where(angle_FB > pixel_angle, np.cos(angle_FB - pixel_angle), 2.0)
    return (
        np.where(around_FB, -2.0, outside_FB),
        np.where(around_FB, -2.0, inside_FB + COSINE_MARGIN),
    )


def _pixel_directions(scene: _Scene) -> tuple[npt.NDArray[np.float32], float]:
    """Unit vectors (G, 3) through the pixels' centres, and the widest pixel's half angle."""
    edges = scene.half_width * np.linspace(-1, 1, scene.resolution + 1)
    middles = (edges[1:] + edges[:-1]) / 2
    centre_HW3 = _point_grid(middles, middles)
    corner_HW3 = _point_grid(edges, edges)
    corners = (corner_HW3[:-1, :-1], corner_HW3[:-1, 1:], corner_HW3[1:, :-1], corner_HW3[1:, 1:])
    # The chord between unit vectors keeps small angles exact, where a cosine would not.
    chord = max(np.sqrt(((centre_HW3 - corner) ** 2).sum(axis=-1)).max() for corner in corners)
    return centre_HW3.reshape(-1, 3).astype(np.float32), float(2 * np.arcsin(chord / 2))


def _point_grid(right: Floats, down: Floats) -> Floats:
    right_HW, down_HW = np.meshgrid(right, down)
    return _normalise(np.stack([right_HW, -down_HW, np.ones_like(right_HW)], axis=-1))


def _ray_coordinates(scene: _Scene) -> Floats:
    """Where the rays of each column cross the plane at distance 1: (S, W), left to right."""
    num_rays = scene.resolution * scene.rays_per_side
    fractions = (np.arange(num_rays) + 0.5) / num_rays
    return (scene.half_width * (2 * fractions - 1)).reshape(scene.resolution, -1).T


def _mean_over_rays(flags_SSP: npt.NDArray[np.bool_]) -> Floats:
    count_P = flags_SSP.sum(axis=(0, 1), dtype=np.int32)
    mean_P: Floats = count_P / (flags_SSP.shape[0] * flags_SSP.shape[1])
    return mean_P


def _normalise(vectors: Floats) -> Floats:
    length = np.sqrt((vectors**2).sum(axis=-1, keepdims=True))
    unit: Floats = np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)
    return unit


def _to_bytes(colours: Floats) -> Bytes:
    return np.floor(colours + 0.5).astype(np.uint8)
