"""Images from a directory: JPEG and PNG of any size and colour mode, as RGB of one size."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from hpcexp.errors import UsageError
from hpcexp.workloads.images.config import ImageFolder

logger = logging.getLogger(__name__)

SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})
MAX_NAMED = 5
_SIXTEEN_BIT = ("I", "I;16", "I;16B", "I;16L")
# Pillow raises SyntaxError for a broken PNG, and ValueError for some broken headers.
_BROKEN = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)


def list_images(directory: Path) -> list[Path]:
    """All image files below a directory, sorted by their path.

    Raises UsageError where there is no such directory, or no image in it.
    """
    if not directory.is_dir():
        raise UsageError(
            f"dataset: there is no directory {directory.absolute()}; a relative path begins "
            "where the job runs: write the whole path"
        )
    found = sorted(p for p in directory.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    if not found:
        raise UsageError(
            f"dataset: {directory} has no image; looked for {', '.join(sorted(SUFFIXES))}"
        )
    return found


def find_class(path: Path, directory: Path) -> str:
    """The first directory below `directory` that an image lies in; empty for none."""
    parts = path.relative_to(directory).parts
    return parts[0] if len(parts) > 1 else ""


@dataclass(frozen=True)
class Read:
    """Images (N, 3, H, W), the places of their files among those given, and what is broken."""

    images: npt.NDArray[np.uint8]
    places: tuple[int, ...]
    broken: tuple[str, ...]


def read_images(
    paths: Sequence[Path], *, count: int, settings: ImageFolder, wanted_for: str
) -> Read:
    """The first `count` images that can be read; the broken ones are not yet named.

    Raises UsageError where there are fewer, and for the first broken one where the settings
    want that.
    """
    images: list[npt.NDArray[np.uint8]] = []
    kept: list[int] = []
    broken: list[str] = []
    for place, path in enumerate(paths):
        if len(images) == count:
            break
        try:
            images.append(read_image(path, size=settings.size, resize=settings.resize))
            kept.append(place)
        except _BROKEN as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            broken.append(f"{path} ({reason})")
            if settings.on_broken == "fail":
                raise UsageError(
                    f"dataset: cannot read {broken[0]}; mend or remove it, or set "
                    "dataset.on_broken: skip"
                ) from error
    if len(images) < count:
        warn_of_broken(broken)
        left_out = f" ({len(broken)} cannot be read)" if broken else ""
        raise UsageError(
            f"{wanted_for} is {count}, but there are {len(images)} images{left_out}; ask for fewer"
        )
    return Read(np.stack(images), tuple(kept), tuple(broken))


def warn_of_broken(broken: Sequence[str]) -> None:
    """Name the files that could not be read, if there are any."""
    if broken:
        logger.warning("%d images cannot be read: %s", len(broken), "; ".join(_name_some(broken)))


def read_image(path: Path, *, size: tuple[int, int], resize: str) -> npt.NDArray[np.uint8]:
    """One image, (3, H, W): what is transparent is white, and turned as its camera says.

    Raises OSError, SyntaxError or ValueError where the file is broken.
    """
    height, width = size
    with Image.open(path) as opened:
        opened.draft("RGB", (2 * width, 2 * height))  # a JPEG is decoded small, where it is large
        rgb = to_rgb(ImageOps.exif_transpose(opened))
    target = (width, height)  # Pillow's order
    if resize == "stretch":
        fitted = rgb.resize(target, Image.Resampling.BILINEAR, reducing_gap=2.0)
    else:
        fitted = ImageOps.fit(rgb, target, Image.Resampling.BILINEAR)
    return np.moveaxis(np.asarray(fitted), -1, 0)


def to_rgb(image: Image.Image) -> Image.Image:
    """Grey, palette, CMYK, 16 bits or with transparency: three channels of 8 bits."""
    if image.mode in _SIXTEEN_BIT:
        image = Image.fromarray((np.asarray(image, np.int64) >> 8).clip(0, 255).astype(np.uint8))
    if "transparency" in image.info or image.mode in ("RGBA", "LA", "PA", "RGBa", "La"):
        layered = image.convert("RGBA")
        image = Image.new("RGBA", layered.size, "white")
        image.alpha_composite(layered)
    return image.convert("RGB")


def _name_some(names: Sequence[str]) -> Iterator[str]:
    yield from names[:MAX_NAMED]
    if len(names) > MAX_NAMED:
        yield f"and {len(names) - MAX_NAMED} more"
