"""Pictures of a page: which runs they are of, and how much room they take."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import pytest
from PIL import Image

from hpcexp.analysis.frames import load
from hpcexp.analysis.report.pictures import collect_gallery, list_sources
from hpcexp.store.layout import ExperimentDir
from tests.analysis.builder import Fate, build_experiment
from tests.browser.pictures import draw_eval_pictures

MSE = {"lr=1_rand_0": 0.5, "lr=1_rand_1": 0.1, "lr=1_rand_2": 0.9, "lr=1_rand_10": 0.3}
RUNS = ["lr=1_rand_0", "lr=1_rand_1", "lr=1_rand_2", "lr=1_rand_10"]


@pytest.fixture
def experiment(tmp_path: Path) -> ExperimentDir:
    made = build_experiment(
        tmp_path, {"lr": [1]}, rand_inits=11, fate=lambda run: Fate(mse=MSE.get(run.name, 0.4))
    )
    draw_eval_pictures(made, RUNS)
    return made


def decode(address: str) -> Image.Image:
    kind, _, text = address.partition(";base64,")
    assert kind == "data:image/webp"
    return Image.open(io.BytesIO(base64.b64decode(text)))


def test_the_median_run_comes_first_then_the_best_and_the_worst(experiment: ExperimentDir) -> None:
    gallery = collect_gallery(load(experiment))
    assert (gallery.num_shown, gallery.num_found) == (8, 8)
    stills = [p.run for p in gallery.kinds["decoder"] if p.animation is None]
    assert stills[:3] == [
        "lr=1_rand_10, median of its group",
        "lr=1_rand_1, best of its group",
        "lr=1_rand_2, worst of its group",
    ]
    first = gallery.kinds["decoder"][0]
    assert first.alt == "decoder, grid of lr=1_rand_10, the median run of its group (1)"


def test_a_run_whose_name_begins_another_ones_is_not_mistaken(experiment: ExperimentDir) -> None:
    found = list_sources(experiment, [run.name for run in load(experiment).plan.runs])
    assert {(s.run, s.part) for s in found} == {
        (run, part) for run in RUNS for part in ("grid", "animation")
    }


def test_an_animation_keeps_its_frames_and_has_a_still(experiment: ExperimentDir) -> None:
    gallery = collect_gallery(load(experiment))
    film = next(p for p in gallery.kinds["decoder"] if p.animation is not None)
    assert film.animation is not None
    assert getattr(decode(film.animation), "n_frames", 1) == 6
    assert not getattr(decode(film.still), "is_animated", False)


def test_there_is_only_so_much_room(experiment: ExperimentDir) -> None:
    gallery = collect_gallery(load(experiment), max_bytes=120_000)
    addresses = [a for p in gallery.kinds["decoder"] for a in (p.still, p.animation or "")]
    assert 0 < sum(len(a) for a in addresses) * 3 / 4 < 125_000
    assert 0 < gallery.num_shown < gallery.num_found


def test_a_picture_that_cannot_be_read_is_left_out(experiment: ExperimentDir) -> None:
    directory = experiment.eval_dir("last")
    path = directory.part_path("decoder", run="lr=1_rand_10", part="grid", suffix="png")
    path.write_bytes(b"no picture")
    assert collect_gallery(load(experiment)).num_shown == 7


def test_of_what_a_run_showed_while_it_trained_the_newest_counts(experiment: ExperimentDir) -> None:
    run_dir = experiment.run("lr=1_rand_0")
    run_dir.inspection_dir.mkdir()
    for epoch in (5, 20):
        Image.new("RGB", (2000, 10)).save(
            run_dir.inspection_path("trajectory", epoch=epoch, part="latents", suffix="png")
        )
    (picture,) = collect_gallery(load(experiment)).kinds["trajectory"]
    assert picture.title == "trajectory, latents (while it trained, epoch 20)"
    assert decode(picture.still).size == (960, 5)
