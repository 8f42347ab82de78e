"""Sequences drawn per second: hpcexp's renderer beside plain supersampling, in one run.

    python benchmarks/render.py            # about half a minute
    python benchmarks/render.py --smoke    # a second: does it still run?

The peer casts the same 8 × 8 rays through every pixel of every frame with NumPy, a frame
at a time: the usual way to write it. Both draw the same flights, one of them after the
other on one thread; before a time counts, the images must agree.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before NumPy starts its threads

import numpy as np
import numpy.typing as npt

from hpcexp.workloads.sps.bounce import CAMERA
from hpcexp.workloads.sps.cache import load_sequences
from hpcexp.workloads.sps.config.datasets import GREEN, GREY, BounceDataset
from hpcexp.workloads.sps.dataset import draw_motions, draw_sequences
from hpcexp.workloads.sps.render import render

Floats = npt.NDArray[np.float64]
Bytes = npt.NDArray[np.uint8]

NUM_FRAMES = 20
RAYS_PER_SIDE = 8
BLUE = (0.0, 0.0, 1.0)


@dataclass(frozen=True)
class Case:
    """What is drawn; the peer takes its fraction of the sequences, so as not to take long."""

    title: str
    resolution: int
    radii: tuple[float, ...]
    num_sequences: int


@dataclass(frozen=True)
class Row:
    title: str
    ours: float
    peer: float


def main() -> None:
    arguments = parse_arguments()
    scale = 1 if arguments.smoke else arguments.sequences
    cases = [
        Case("32 × 32, radius 0.5 (the default)", 32, (0.5,), scale),
        Case("32 × 32, radius 1", 32, (1.0,), scale),
        Case("32 × 32, two balls", 32, (0.5, 0.5), scale),
        Case("128 × 128, radius 0.5", 128, (0.5,), max(1, scale // 8)),
    ]
    repeats = 1 if arguments.smoke else 5
    rows = [compare(case, repeats=repeats) for case in cases]
    print(f"{NUM_FRAMES} frames, {RAYS_PER_SIDE}² rays a border pixel, one thread; sequences/s")
    print(f"{'':<36}{'hpcexp':>10}{'NumPy loop':>12}{'ratio':>8}")
    for row in rows:
        print(f"{row.title:<36}{row.ours:>10,.0f}{row.peer:>12,.1f}{row.ours / row.peer:>8.0f}")
    report_cache(scale, repeats=repeats)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--smoke", action="store_true", help="a tiny size, to see that it runs")
    parser.add_argument("--sequences", type=int, default=512, help="sequences drawn by hpcexp")
    return parser.parse_args()


def compare(case: Case, *, repeats: int) -> Row:
    centres = draw_centres(case)
    few = centres[: max(1, case.num_sequences // 64)]
    check_agreement(draw_ours(case, few), draw_by_loop(case, few))
    ours = measure_rate(lambda: draw_ours(case, centres), len(centres), repeats=repeats)
    peer = measure_rate(lambda: draw_by_loop(case, few), len(few), repeats=repeats)
    return Row(title=case.title, ours=ours, peer=peer)


def draw_centres(case: Case) -> Floats:
    """Positions (N, T, B, 3): every ball flies by itself."""
    flights = [
        draw_motions(
            BounceDataset(num_frames=NUM_FRAMES, seed=seed),
            split="train",
            num_sequences=case.num_sequences,
        )[:, :, 0]
        for seed, _ in enumerate(case.radii)
    ]
    return np.stack(flights, axis=2)


def draw_ours(case: Case, centres: Floats) -> Bytes:
    return render(
        centres,
        radii=case.radii,
        colours=[GREEN, BLUE][: len(case.radii)],
        background=GREY,
        camera=CAMERA,
        resolution=case.resolution,
        rays_per_side=RAYS_PER_SIDE,
    )


def draw_by_loop(case: Case, centres: Floats) -> Bytes:
    rays = make_rays(case.resolution)
    frames = [draw_frame(case, rays, frame) for frame in centres.reshape(-1, *centres.shape[2:])]
    size = case.resolution
    return np.stack(frames).reshape(*centres.shape[:2], 3, size, size)


def draw_frame(case: Case, rays: Floats, centres_B3: Floats) -> Bytes:
    """Supersample one frame: every ray belongs to the nearest ball."""
    size, side = case.resolution, RAYS_PER_SIDE
    owner = np.full(len(rays), -1, dtype=np.int8)
    nearest = np.full(len(rays), np.inf)
    for ball, (centre, radius) in enumerate(zip(centres_B3, case.radii, strict=True)):
        to_centre = centre - np.asarray(CAMERA.position)
        along = rays @ to_centre
        discriminant = along**2 - (to_centre @ to_centre - radius**2)
        (hit,) = np.nonzero((discriminant >= 0) & (along > 0))
        distance = along[hit] - np.sqrt(discriminant[hit])
        nearer = distance < nearest[hit]
        owner[hit[nearer]] = ball
        nearest[hit[nearer]] = distance[nearer]
    image = np.tile(np.array(GREY)[:, None, None], (1, size, size))
    for ball, colour in enumerate([GREEN, BLUE][: len(case.radii)]):
        coverage = (owner == ball).reshape(size, side, size, side).mean(axis=(1, 3))
        image += coverage * (np.array(colour) - GREY)[:, None, None]
    return np.floor(255 * image + 0.5).astype(np.uint8)


def make_rays(resolution: int) -> Floats:
    """Unit vectors (H·S·W·S, 3) through the samples of all pixels."""
    num_rays = resolution * RAYS_PER_SIDE
    side = CAMERA.half_width * ((np.arange(num_rays) + 0.5) * 2 / num_rays - 1)
    right, up = np.meshgrid(side, -side)
    rays: Floats = np.stack([right, up, np.ones_like(right)], axis=-1) @ CAMERA.axes()
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    return rays.reshape(-1, 3)


def check_agreement(ours: Bytes, peers: Bytes) -> None:
    """A ray that grazes a ball may fall to either side, so a pixel may differ by a ray's share."""
    difference = np.abs(ours.astype(int) - peers.astype(int)).max()
    if difference > 255 / RAYS_PER_SIDE**2 + 1:
        sys.exit(f"the images differ by {difference} of 255: nothing to compare")


def measure_rate(action: Callable[[], object], num_sequences: int, *, repeats: int) -> float:
    """Sequences per second in the best of `repeats`."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - start)
    return num_sequences / min(seconds)


def report_cache(num_sequences: int, *, repeats: int) -> None:
    settings = BounceDataset()
    with tempfile.TemporaryDirectory() as folder:

        def load() -> object:
            return load_sequences(
                settings, split="train", num_sequences=num_sequences, cache_dir=Path(folder)
            )

        load()
        cached = measure_rate(load, num_sequences, repeats=repeats)
    drawn = measure_rate(
        lambda: draw_sequences(settings, split="train", num_sequences=num_sequences),
        num_sequences,
        repeats=repeats,
    )
    print(f"\nthe default data set, sequences/s: {drawn:,.0f} drawn (flights and images),")
    print(f"{cached:,.0f} from the cache (checksums verified, arrays mapped)")


if __name__ == "__main__":
    main()
