"""`hpcexp dataset preview`, as a user calls it."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from hpcexp.cli.app import app
from hpcexp.errors import UsageError
from hpcexp.workloads.sps import two_body
from tests.cli.conftest import CommandLine

TEMPLATE = """\
workload: sps
params: {dataset: {resolution: 16}, latent_dim: 6}
grid: {dataset.kind: [bounce, two_body], batch_size: [4, 8]}
"""


@pytest.fixture
def template(hpcexp: CommandLine) -> Path:
    path = hpcexp.directory / "films.yaml"
    path.write_text(TEMPLATE)
    return path


def test_each_data_set_of_the_groups_is_drawn_once(hpcexp: CommandLine, template: Path) -> None:
    said = hpcexp("dataset", "preview", "films.yaml", "--num", "6")
    assert "bounce (2 groups): 6 sequences, 0.0% of the frames are empty" in said
    directory = hpcexp.directory / "previews" / "films"
    assert sorted(path.name for path in directory.iterdir()) == [
        f"{kind}{end}"
        for kind in ("bounce", "two_body")
        for end in (".gif", ".png", "_coordinates.csv", "_coordinates.pdf", "_coordinates.png")
    ]
    with Image.open(directory / "two_body.gif") as animation:
        assert getattr(animation, "n_frames") == 25  # noqa: B009
    table = pd.read_csv(directory / "bounce_coordinates.csv")
    assert table["coordinate"].tolist() == ["x", "y", "height"]
    assert (table["min"] < table["mean"]).all()


def test_numbers_are_printed_as_json(hpcexp: CommandLine, template: Path, tmp_path: Path) -> None:
    changes = ["grid.dataset.kind=[one_dim]", "grid.batch_size=null"]
    options = [text for change in changes for text in ("--set", change)] + ["--num", "3"]
    said = json.loads(
        hpcexp("dataset", "preview", "films.yaml", *options, "--output", str(tmp_path), "--json")
    )
    (report,) = said["datasets"]
    assert (report["dataset"], report["num_sequences"]) == ("one_dim", 3)
    assert report["groups"] == ["dataset.kind=one_dim"]
    assert all(Path(path).exists() for path in report["files"])


def test_a_fault_of_the_template_is_told_and_nothing_is_made(
    hpcexp: CommandLine, template: Path
) -> None:
    said = hpcexp(
        "dataset", "preview", "films.yaml", "--set", "grid.dataset.kind=[cube]", exit_code=2
    )
    assert "cube is not allowed" in said
    assert not (hpcexp.directory / "previews").exists()


def test_sequences_that_cannot_be_drawn_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(two_body, "MAX_BARREN_DRAWS", 10_000)
    monkeypatch.chdir(tmp_path)
    Path("strict.yaml").write_text(
        "workload: sps\nparams: {dataset: {kind: two_body, min_depth_std: 1.0e+3}}\n"
    )
    with pytest.raises(UsageError, match="too strict"):
        app.main(["dataset", "preview", "strict.yaml", "--num", "1"], standalone_mode=False)
    assert not Path("previews").exists()


def test_images_are_previewed_by_class(hpcexp: CommandLine) -> None:
    hpcexp.write("images.yaml", "workload: unmix\nparams: {dataset: {resolution: 8}}\n")
    shown = hpcexp("dataset", "preview", "images.yaml", "--num", "13")
    assert "procedural: 13 images (disc 3, ring 2, square 2" in shown
    assert (hpcexp.directory / "previews" / "images" / "procedural.png").stat().st_size > 1000
    said = hpcexp("dataset", "preview", "images.yaml", "--split", "evaluate", exit_code=2)
    assert "image data sets have train and validate" in said
