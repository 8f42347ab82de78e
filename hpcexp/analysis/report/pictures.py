"""Pictures and animations of runs, made small enough for a page that holds them all."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from PIL import Image, ImageSequence, UnidentifiedImageError

from hpcexp.analysis.frames import Results
from hpcexp.store.layout import ExperimentDir

MAX_BYTES = 1_200_000
"""Of all pictures of a page; as text they take a third more."""
MAX_WIDTH, MAX_ANIMATION_WIDTH = 960, 420
MAX_FRAMES = 40
QUALITY, ANIMATION_QUALITY = 82, 55
SUFFIXES = {".png", ".gif"}
_INSPECTION = re.compile(r"(?P<kind>[a-z_]+)_epoch_(?P<epoch>\d+)_(?P<part>.+)")


@dataclass(frozen=True)
class Source:
    """A file that shows something of a run; `origin` says when and of which parameters."""

    path: Path
    run: str
    kind: str
    part: str
    origin: str

    @property
    def is_animated(self) -> bool:
        """Whether it is a GIF."""
        return self.path.suffix == ".gif"


@dataclass(frozen=True)
class Picture:
    """A picture as `data:` addresses; an animation also has the still that stands for it."""

    title: str
    alt: str
    run: str
    group: str
    width: int
    height: int
    still: str
    animation: str | None


@dataclass(frozen=True)
class Gallery:
    """Pictures by kind; how many there were room for, of how many."""

    kinds: Mapping[str, Sequence[Picture]]
    num_shown: int
    num_found: int


def collect_gallery(results: Results, *, max_bytes: int = MAX_BYTES) -> Gallery:
    """Pictures of the runs that stand for their groups, as long as there is room.

    The median run of every group comes first, with one picture of each kind, then the best and
    the worst one; animations come after all stills. What cannot be read is left out.
    """
    sources = list_sources(results.experiment, [run.name for run in results.plan.runs])
    groups = {run.name: run.group for run in results.plan.runs}
    titles = dict(zip(results.group_axis.names, results.group_axis.labels, strict=True))
    kinds: dict[str, list[Picture]] = {}
    left, num_shown = max_bytes, 0
    for source, rank in _order(sources, results):
        group = groups[source.run]
        made = _make_picture(source, rank, group=group, label=titles[group])
        if made is None:
            continue
        picture, num_bytes = made
        if num_bytes > left:
            if left < max_bytes / 20:
                break
            continue
        left -= num_bytes
        num_shown += 1
        kinds.setdefault(source.kind, []).append(picture)
    return Gallery(kinds, num_shown, len(sources))


def list_sources(experiment: ExperimentDir, runs: Iterable[str]) -> list[Source]:
    """Pictures of `hpcexp eval`, and the newest ones that runs made while they trained."""
    return [*_list_eval(experiment, list(runs)), *_list_inspections(experiment, runs)]


def _list_eval(experiment: ExperimentDir, runs: Sequence[str]) -> Iterator[Source]:
    longest_first = sorted(runs, key=len, reverse=True)
    for path in sorted(experiment.eval_dir("*").path.parent.glob("*/*/*")):
        if path.suffix not in SUFFIXES or path.name.startswith("."):
            continue
        run = next((run for run in longest_first if path.stem.startswith(f"{run}_")), None)
        if run is not None:
            label, kind = path.parts[-3], path.parts[-2]
            yield Source(path, run, kind, path.stem[len(run) + 1 :], f"eval {label}")


def _list_inspections(experiment: ExperimentDir, runs: Iterable[str]) -> Iterator[Source]:
    for run in runs:
        newest: dict[tuple[str, str, str], tuple[int, Path]] = {}
        for path in experiment.run(run).inspection_dir.glob("*_epoch_*"):
            found = _INSPECTION.fullmatch(path.stem)
            if found is None or path.suffix not in SUFFIXES:
                continue
            key, epoch = (found["kind"], found["part"], path.suffix), int(found["epoch"])
            newest[key] = max(newest.get(key, (-1, path)), (epoch, path))
        for (kind, part, _), (epoch, path) in sorted(newest.items()):
            yield Source(path, run, kind, part, f"while it trained, epoch {epoch}")


def _order(sources: Sequence[Source], results: Results) -> list[tuple[Source, str]]:
    """Sources with the rank of their run, the most telling ones first."""
    ranks = _rank_runs(results, {source.run for source in sources})
    order = ["median", "best", "worst", ""]
    ranked = [(source, ranks.get(source.run, "")) for source in sources]
    return sorted(
        ranked,
        key=lambda pair: (
            pair[0].is_animated and pair[1] != "median",
            order.index(pair[1]),
            pair[0].is_animated,
            pair[0].origin != "eval last",
        ),
    )


def _rank_runs(results: Results, shown: set[str]) -> dict[str, str]:
    """Of each group's runs that have pictures: the median one, the best and the worst."""
    runs = results.runs[results.runs["run"].isin(list(shown))]
    final, latest = (runs[f"{which}.{results.metric.name}"] for which in ("final", "latest"))
    named: dict[str, str] = {}
    for _, group in runs.assign(value=final.fillna(latest)).groupby("group", observed=True):
        ordered = _sort_names(group)
        for place, name in ((-1, "worst"), (0, "best"), ((len(ordered) - 1) // 2, "median")):
            named[ordered[place]] = name
    return named


def _sort_names(group: pd.DataFrame) -> list[str]:
    return [str(name) for name in group.sort_values("value", kind="stable")["run"]]


def _make_picture(
    source: Source, rank: str, *, group: str, label: str
) -> tuple[Picture, int] | None:
    """The picture and the bytes that it takes; None where it cannot be read."""
    with suppress(OSError, UnidentifiedImageError, ValueError):
        with Image.open(source.path) as image:
            still = _encode_still(image)
            animation = _encode_animation(image) if source.is_animated else None
            width, height = image.size
        what = f"{source.kind}, {source.part.replace('_', ' ')}"
        of = f"the {rank} run of its group" if rank else "a run"
        picture = Picture(
            title=f"{what} ({source.origin})",
            alt=f"{what} of {source.run}, {of} ({label})",
            run=f"{source.run}{f', {rank} of its group' if rank else ''}",
            group=group,
            width=width,
            height=height,
            still=_as_address(still),
            animation=None if animation is None else _as_address(animation),
        )
        return picture, len(still) + len(animation or b"")
    return None


def _encode_still(image: Image.Image) -> bytes:
    """The first frame as WebP."""
    buffer = io.BytesIO()
    width = MAX_ANIMATION_WIDTH if getattr(image, "is_animated", False) else MAX_WIDTH
    _shrink(image, width).save(buffer, format="webp", quality=QUALITY, method=4)
    return buffer.getvalue()


def _encode_animation(image: Image.Image) -> bytes:
    """All frames as an animated WebP, a fifth of the GIF; of very many only every second one."""
    every = -(-getattr(image, "n_frames", 1) // MAX_FRAMES)
    frames, durations = [], []
    for number, frame in enumerate(ImageSequence.Iterator(image)):
        duration = int(frame.info.get("duration", 100))
        if number % every == 0:
            frames.append(_shrink(frame, MAX_ANIMATION_WIDTH))
            durations.append(duration)
        else:
            durations[-1] += duration
    buffer = io.BytesIO()
    frames[0].save(
        buffer,
        format="webp",
        save_all=True,
        append_images=frames[1:],
        duration=durations,
        loop=0,
        quality=ANIMATION_QUALITY,
        method=3,
    )
    return buffer.getvalue()


def _shrink(image: Image.Image, width: int) -> Image.Image:
    colours = image.convert("RGB")
    if colours.width <= width:
        return colours
    size = (width, max(1, round(colours.height * width / colours.width)))
    return colours.resize(size, Image.Resampling.LANCZOS)


def _as_address(webp: bytes) -> str:
    return f"data:image/webp;base64,{base64.b64encode(webp).decode()}"
