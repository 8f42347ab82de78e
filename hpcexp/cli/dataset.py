"""`hpcexp dataset preview`: what a template's data look like."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from hpcexp.cli.options import json_option, print_json
from hpcexp.errors import UsageError

DEFAULT_NUM = 256
IMAGE_WORKLOADS = ("unmix", "classify")


@click.group()
def dataset() -> None:
    """Look at the data that a template trains on.

    Examples:

    \b
      hpcexp dataset preview templates/two_body.yaml
    """


@dataset.command()
@click.argument("template", type=click.Path(path_type=Path))
@click.option("--profile", metavar="NAME", help="Use this profile of the template.")
@click.option(
    "--set", "overrides", metavar="NAME=VALUE", multiple=True, help="Change the template."
)
@click.option(
    "--split",
    type=click.Choice(["train", "validate", "evaluate"]),
    default="train",
    help="Which sequences.",
)
@click.option(
    "--num",
    type=click.IntRange(min=1),
    default=DEFAULT_NUM,
    help="Sequences whose labels are counted; the first 16 are drawn.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the files go.  [default: previews/ and the template's name]",
)
@json_option
def preview(
    *,
    template: Path,
    profile: str | None,
    overrides: tuple[str, ...],
    split: str,
    num: int,
    output: Path | None,
    as_json: bool,
) -> None:
    """Draw each data set of a template: a contact sheet, an animation, and its labels.

    Of still images: some of each class, and how many there are.

    One set of files for each data set that the template's groups differ in: PNG, GIF, the
    distribution of the true coordinates as PDF and PNG, and their numbers as CSV.

    Examples:

    \b
      hpcexp dataset preview templates/two_body.yaml
      hpcexp dataset preview templates/quickstart.yaml --set params.dataset.kind=one_dim
    """
    from hpcexp.template import load_template

    loaded = load_template(template, profile=profile, overrides=overrides)
    configs = {group.name: loaded.config_for(group) for group in loaded.groups()}
    found = find_datasets(configs)
    if not found:
        raise UsageError(f"{template}: workload {loaded.workload} has no data set to preview")
    directory = output or Path("previews") / loaded.name
    if loaded.workload in IMAGE_WORKLOADS:
        config = next(iter(configs.values()))
        _preview_images(found, directory, config=config, split=split, num=num, as_json=as_json)
        return
    reports = []
    for number, (settings, groups) in enumerate(found):
        # A kind that two of them share needs a number to tell them apart.
        kinds = [s["kind"] for s, _ in found]
        stem = settings["kind"] + (f"_{number}" if kinds.count(settings["kind"]) > 1 else "")
        reports.append(_preview_one(settings, groups, stem, directory, split=split, num=num))
    if as_json:
        print_json({"directory": str(directory), "datasets": reports})
        return
    for report in reports:
        _describe(report)
    click.echo(f"in {directory}/")


def _preview_images(
    found: list[tuple[dict[str, Any], list[str]]],
    directory: Path,
    *,
    config: Mapping[str, Any],
    split: str,
    num: int,
    as_json: bool,
) -> None:
    """A picture for each data set of images, and how many of each class there are."""
    from pydantic import TypeAdapter

    from hpcexp.store.files import write_bytes
    from hpcexp.worker.image_preview import make_image_preview
    from hpcexp.workloads.images.config import ImageDataset

    if split == "evaluate":
        raise UsageError("--split evaluate: image data sets have train and validate")
    adapter: TypeAdapter[ImageDataset] = TypeAdapter(ImageDataset)
    reports = []
    for number, (settings, groups) in enumerate(found):
        stem = settings["kind"] + (f"_{number}" if len(found) > 1 else "")
        made = make_image_preview(
            adapter.validate_python(settings),
            split="train" if split == "train" else "validate",
            count=num,
            num_validate=config["validate_set_size"],
            headline=f"{stem}: {num} images",
        )
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / f"{stem}.png"
        write_bytes(path, made.sheet_png)
        classes = dict(made.class_counts)
        reports.append({"dataset": stem, "groups": groups, "classes": classes, "files": [path]})
        if not as_json:
            counts = ", ".join(f"{name} {count}" for name, count in classes.items())
            click.echo(f"{stem}: {num} images ({counts})\nwrote {path}")
    if as_json:
        print_json({"directory": str(directory), "datasets": reports})


def find_datasets(
    configs: Mapping[str, Mapping[str, Any]],
) -> list[tuple[dict[str, Any], list[str]]]:
    """The different data sets of groups, each with the names of its groups."""
    found: dict[str, tuple[dict[str, Any], list[str]]] = {}
    for name, config in configs.items():
        settings = config.get("dataset")
        if isinstance(settings, dict):
            key = json.dumps(settings, sort_keys=True)
            found.setdefault(key, (settings, []))[1].append(name)
    return list(found.values())


def _preview_one(
    settings: dict[str, Any], groups: list[str], stem: str, directory: Path, *, split: Any, num: int
) -> dict[str, Any]:
    from pydantic import TypeAdapter

    from hpcexp.analysis.figures.drawing import save_drawing
    from hpcexp.analysis.figures.labels import draw_labels
    from hpcexp.store.files import write_bytes
    from hpcexp.worker.preview import make_preview
    from hpcexp.workloads.sps.config.datasets import Dataset

    adapter: TypeAdapter[Dataset] = TypeAdapter(Dataset)
    data = adapter.validate_python(settings)
    headline = f"{stem}: {data.num_frames} frames of {data.resolution} x {data.resolution} pixels"
    made = make_preview(data, split=split, num_sequences=num, headline=headline)
    # Not before there is something to write: sequences that cannot be drawn leave no directory.
    directory.mkdir(parents=True, exist_ok=True)
    sheet, animation = directory / f"{stem}.png", directory / f"{stem}.gif"
    write_bytes(sheet, made.sheet_png)
    write_bytes(animation, made.animation_gif)
    drawing = draw_labels(
        made.labels, data.coordinates, headline=headline, stem=f"{stem}_coordinates"
    )
    written = save_drawing(drawing, plots_dir=directory)
    return {
        "dataset": stem,
        "groups": groups,
        "num_sequences": num,
        "share_of_empty_frames": made.share_empty,
        "coordinates": json.loads(drawing.table.to_json(orient="records")),
        "files": [str(path) for path in (sheet, animation, *written)],
    }


def _describe(report: Mapping[str, Any]) -> None:
    num_groups = len(report["groups"])
    of = f" ({num_groups} groups)" if num_groups > 1 else ""
    click.echo(
        f"{report['dataset']}{of}: {report['num_sequences']} sequences, "
        f"{report['share_of_empty_frames']:.1%} of the frames are empty"
    )
    click.echo("  coordinate       min      mean       max       std  (m)")
    for row in report["coordinates"]:
        numbers = "".join(f"{row[key]:10.3f}" for key in ("min", "mean", "max", "std"))
        click.echo(f"  {row['coordinate']:10s}{numbers}")
    click.echo(f"wrote {', '.join(Path(path).name for path in report['files'])}")
