from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hpcexp.workloads.sps import render as render_module
from hpcexp.workloads.sps.bounce import CAMERA
from hpcexp.workloads.sps.config.datasets import BounceDataset
from hpcexp.workloads.sps.dataset import draw_motions
from hpcexp.workloads.sps.render import Camera, render

Floats = npt.NDArray[np.float64]
Bytes = npt.NDArray[np.uint8]
Point = tuple[float, float, float]

BLACK, WHITE = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
RED, BLUE = (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)
AHEAD = Camera(position=(0, 0, 0), look_at=(0, 1, 0), half_width=0.8)
"""Looks along y from the origin: image right is x, image up is height."""


def measure_coverage(
    centre: Point,
    *,
    radius: float,
    camera: Camera = CAMERA,
    resolution: int = 32,
    rays_per_side: int = 8,
) -> Floats:
    """The ball's share of every pixel (H, W), from a white ball on black."""
    image = render(
        np.array([centre], dtype=np.float64),
        radii=[radius],
        colours=[WHITE],
        background=BLACK,
        camera=camera,
        resolution=resolution,
        rays_per_side=rays_per_side,
    )
    coverage: Floats = image[0] / 255
    return coverage


def draw_scene(
    centres: Sequence[Point], *, radii: Sequence[float], colours: Sequence[Point]
) -> Bytes:
    return render(
        np.array(centres, dtype=np.float64),
        radii=radii,
        colours=colours,
        background=(0.6, 0.6, 0.6),
        camera=AHEAD,
        resolution=32,
    )


def project(point: Point) -> tuple[float, float]:
    """Oracle: the column and row where the dataset's camera sees a point, by hand.

    From (0, -2, 4) to (0, 10, 0) is 12 ahead and 4 down; x stays to the right.
    """
    x, y, height = point[0], point[1] + 2, point[2] - 4
    hypotenuse = math.hypot(12, 4)
    depth = (12 * y - 4 * height) / hypotenuse
    up = (4 * y + 12 * height) / hypotenuse
    return 16 + 16 * x / depth / 0.8, 16 - 16 * up / depth / 0.8


def supersample(centre: Point, *, radius: float, resolution: int = 32) -> Floats:
    """Oracle: coverage (H, W) by the distance of the ball's centre from 16 × 16 rays a pixel."""
    eye = np.array([0.0, -2.0, 4.0])
    forward = np.array([0.0, 12.0, -4.0]) / math.hypot(12, 4)
    up = np.array([0.0, 4.0, 12.0]) / math.hypot(12, 4)
    side = ((np.arange(resolution * 16) + 0.5) / (resolution * 8) - 1) * 0.8
    right_grid, up_grid = np.meshgrid(side, -side)
    rays = forward + right_grid[..., None] * [1.0, 0.0, 0.0] + up_grid[..., None] * up
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    to_centre = np.array(centre) - eye
    along = rays @ to_centre
    distance = np.linalg.norm(to_centre - along[..., None] * rays, axis=-1)
    hit = (distance <= radius) & (along > 0)
    shares: Floats = hit.reshape(resolution, 16, resolution, 16).mean(axis=(1, 3))
    return shares


def list_some_centres(num_centres: int) -> list[Point]:
    flights = draw_motions(BounceDataset(seed=5), split="train", num_sequences=num_centres)[:, :, 0]
    return [tuple(flight[index % 20]) for index, flight in enumerate(flights)]


@pytest.mark.parametrize("centre", list_some_centres(12))
def test_the_centroid_of_the_ball_is_where_its_centre_projects(centre: Point) -> None:
    coverage = measure_coverage(centre, radius=0.5)
    rows, columns = np.indices(coverage.shape) + 0.5
    column, row = project(centre)
    assert abs((coverage * columns).sum() / coverage.sum() - column) < 0.5
    assert abs((coverage * rows).sum() / coverage.sum() - row) < 0.5


@pytest.mark.parametrize("radius", [0.5, 1.0])
@pytest.mark.parametrize("centre", list_some_centres(6))
def test_coverage_matches_brute_force_supersampling(centre: Point, radius: float) -> None:
    coverage = measure_coverage(centre, radius=radius)
    expected = supersample(centre, radius=radius)
    assert coverage.sum() == pytest.approx(expected.sum(), rel=0.02, abs=0.05)
    np.testing.assert_allclose(coverage, expected, atol=0.1)


@pytest.mark.parametrize("centre", list_some_centres(4))
def test_with_as_many_rays_as_brute_force_the_image_is_the_same(centre: Point) -> None:
    coverage = measure_coverage(centre, radius=0.5, rays_per_side=16)
    np.testing.assert_allclose(coverage, supersample(centre, radius=0.5), atol=0.5 / 255 + 1e-9)


@settings(max_examples=60, deadline=None)
@given(
    centre=st.tuples(st.floats(-6, 6), st.floats(-4, 12), st.floats(-2, 8)),
    radius=st.floats(0.01, 4),
)
def test_any_ball_outside_of_the_camera_matches_brute_force(centre: Point, radius: float) -> None:
    assume(math.dist(centre, CAMERA.position) > 1.001 * radius)
    coverage = measure_coverage(centre, radius=radius, resolution=8, rays_per_side=16)
    expected = supersample(centre, radius=radius, resolution=8)
    # A ray that grazes the ball may fall to either side by rounding.
    np.testing.assert_allclose(coverage, expected, atol=2 / 256 + 0.5 / 255)


@pytest.mark.parametrize("resolution", [8, 64])
def test_brute_force_is_matched_at_other_resolutions(resolution: int) -> None:
    coverage = measure_coverage((1, 4, 1), radius=1, resolution=resolution, rays_per_side=16)
    expected = supersample((1, 4, 1), radius=1, resolution=resolution)
    np.testing.assert_allclose(coverage, expected, atol=0.5 / 255 + 1e-9)


@pytest.mark.parametrize(
    "centre",
    [(4.2, 4.0, 2.0), (-4.5, 4.0, 2.0), (0.0, 0.0, 0.0), (0.0, 3.0, 5.3)],
    ids=["right", "left", "below", "above"],
)
def test_a_ball_partly_out_of_view_is_cut_at_the_border(centre: Point) -> None:
    coverage = measure_coverage(centre, radius=1, rays_per_side=16)
    expected = supersample(centre, radius=1)
    border = np.concatenate([expected[0], expected[-1], expected[:, 0], expected[:, -1]])
    assert border.max() > 0.5  # the case is what it says
    np.testing.assert_allclose(coverage, expected, atol=0.5 / 255 + 1e-9)


def test_a_ball_straight_ahead_covers_the_disc_that_geometry_says() -> None:
    # Half angle arcsin(1/4), so the disc's radius at distance 1 is tan of it: 1/sqrt(15).
    coverage = measure_coverage((0, 4, 0), radius=1, camera=AHEAD, resolution=64)
    area = math.pi * (1 / math.sqrt(15) / 0.8 * 32) ** 2
    assert coverage.sum() == pytest.approx(area, rel=0.005)


def test_the_image_is_as_wide_as_twice_the_half_width_at_distance_one() -> None:
    coverage = measure_coverage((0.4, 1, 0), radius=0.01, camera=AHEAD, resolution=32)
    lit = np.argwhere(coverage > 0)
    assert set(lit[:, 1]) == {23, 24}  # 0.4 of 0.8: between the columns 23 and 24
    assert set(lit[:, 0]) == {15, 16}


def test_right_is_x_and_up_is_height() -> None:
    to_right = measure_coverage((1, 4, 0), radius=0.3, camera=AHEAD)
    assert to_right[:, :16].sum() == 0 < to_right[:, 16:].sum()
    above = measure_coverage((0, 4, 1), radius=0.3, camera=AHEAD)
    assert above[16:].sum() == 0 < above[:16].sum()


def test_a_ball_twice_as_far_covers_a_quarter() -> None:
    near = measure_coverage((0, 5, 0), radius=0.5, camera=AHEAD, resolution=64).sum()
    far = measure_coverage((0, 10, 0), radius=0.5, camera=AHEAD, resolution=64).sum()
    assert near / far == pytest.approx(4, rel=0.05)


@pytest.mark.parametrize("centre", [(0, -4, 0), (3, -1, 0), (-20, -0.5, 0)])
def test_a_ball_behind_the_camera_is_not_seen(centre: Point) -> None:
    assert measure_coverage(centre, radius=0.9, camera=AHEAD).max() == 0


def test_a_ball_behind_the_camera_does_not_hide_those_ahead() -> None:
    ahead: list[Point] = [(0, 4, 0), (0.5, 8, 0)]
    without = draw_scene(ahead, radii=[0.5, 1], colours=[RED, BLUE])
    behind = draw_scene([*ahead, (0, -4, 0)], radii=[0.5, 1, 2], colours=[RED, BLUE, WHITE])
    np.testing.assert_array_equal(behind, without)


@pytest.mark.parametrize("centre", [(0, 0, 0), (0, -0.9, 0), (0.5, 0.5, 0.5)])
def test_a_ball_around_the_camera_fills_the_view(centre: Point) -> None:
    assert measure_coverage(centre, radius=1, camera=AHEAD).min() == 1


def test_a_ball_around_the_camera_hides_another() -> None:
    image = draw_scene([(0, -0.5, 0), (0, 4, 0)], radii=[1, 0.5], colours=[RED, BLUE])
    assert np.all(image == np.array([255, 0, 0]).reshape(3, 1, 1))


def test_colours_are_rgb_and_the_background_is_filled() -> None:
    image = draw_scene([(0, 4, 0)], radii=[1], colours=[(0, 1, 0)])
    assert image[:, 16, 16].tolist() == [0, 255, 0]
    assert image[:, 0, 0].tolist() == [153, 153, 153]


def test_a_border_pixel_mixes_ball_and_background_by_coverage() -> None:
    coverage = measure_coverage((0, 4, 0), radius=1, camera=AHEAD)
    image = draw_scene([(0, 4, 0)], radii=[1], colours=[(0, 1, 0)])
    assert np.any((coverage > 0.2) & (coverage < 0.8))
    np.testing.assert_allclose(image[1], 153 + coverage * 102, atol=1)
    np.testing.assert_allclose(image[0], 153 - coverage * 153, atol=1)


@pytest.mark.parametrize("swap", [False, True])
def test_the_nearer_ball_hides_the_farther_in_either_order(swap: bool) -> None:
    order = slice(None, None, -1 if swap else 1)
    image = draw_scene(
        [(0, 4, 0), (0.2, 8, 0)][order], radii=[0.5, 0.5][order], colours=[RED, BLUE][order]
    )
    assert image[:, 16, 16].tolist() == [255, 0, 0]
    alone = draw_scene([(0, 4, 0)], radii=[0.5], colours=[RED])
    np.testing.assert_array_equal(image, alone)  # the far one is wholly behind


def test_balls_apart_look_as_they_do_alone() -> None:
    both = draw_scene([(-1, 5, 0), (1, 5, 0)], radii=[0.4, 0.7], colours=[RED, BLUE])
    left = draw_scene([(-1, 5, 0)], radii=[0.4], colours=[RED])
    right = draw_scene([(1, 5, 0)], radii=[0.7], colours=[BLUE])
    np.testing.assert_array_equal(both[..., :16], left[..., :16])
    np.testing.assert_array_equal(both[..., 16:], right[..., 16:])


def test_two_balls_that_intersect_meet_halfway() -> None:
    image = draw_scene([(-0.3, 5, 0), (0.3, 5, 0)], radii=[1, 1], colours=[RED, BLUE])
    assert image[:, 16, 12].tolist() == [255, 0, 0]
    assert image[:, 16, 19].tolist() == [0, 0, 255]
    np.testing.assert_array_equal(image[0, :, :16], image[2, :, :15:-1])


def test_a_ball_half_hidden_leaves_the_share_of_both_in_a_pixel() -> None:
    image = draw_scene([(0, 4, 0), (0, 8, 0)], radii=[0.5, 2], colours=[RED, BLUE])
    near = measure_coverage((0, 4, 0), radius=0.5, camera=AHEAD)
    far = measure_coverage((0, 8, 0), radius=2, camera=AHEAD)
    mixed = (near > 0.2) & (near < 0.8) & (far == 1)
    assert mixed.any()
    np.testing.assert_allclose(image[0][mixed], 255 * near[mixed], atol=1)
    np.testing.assert_allclose(image[2][mixed], 255 * (1 - near[mixed]), atol=1)


def test_chunk_sizes_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    centres = draw_motions(BounceDataset(), split="train", num_sequences=3)

    def draw() -> Bytes:
        return render(
            centres, radii=[0.5], colours=[RED], background=WHITE, camera=CAMERA, resolution=32
        )

    expected = draw()
    monkeypatch.setattr(render_module, "ANGLE_CELLS_PER_CHUNK", 3000)
    monkeypatch.setattr(render_module, "BORDER_RAYS_PER_CHUNK", 640)
    np.testing.assert_array_equal(draw(), expected)


def test_leading_dimensions_are_kept() -> None:
    centres = np.tile(np.array([0.0, 5.0, 0.0]), (2, 4, 3, 1))
    images = render(
        centres,
        radii=[0.5] * 3,
        colours=[RED] * 3,
        background=WHITE,
        camera=AHEAD,
        resolution=16,
    )
    assert images.shape == (2, 4, 3, 16, 16)
    assert images.dtype == np.uint8


@pytest.mark.parametrize("shape", [(0, 1, 3), (0, 20, 1, 3)])
def test_no_frames_give_no_images(shape: tuple[int, ...]) -> None:
    images = render(
        np.empty(shape), radii=[1], colours=[RED], background=WHITE, camera=AHEAD, resolution=8
    )
    assert images.shape == (*shape[:-2], 3, 8, 8)


def test_shapes_that_do_not_fit_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"\(B,\) and \(B, 3\)"):
        draw_scene([(0, 4, 0), (0, 5, 0)], radii=[1], colours=[RED])
    with pytest.raises(ValueError, match=r"\(B,\) and \(B, 3\)"):
        draw_scene([(0, 4, 0)], radii=[1], colours=[RED, BLUE])
