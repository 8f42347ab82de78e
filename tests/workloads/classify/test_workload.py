"""Naming the class of an image, with an encoder that was trained on something else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from pydantic import ValidationError
from torch import Tensor

from hpcexp.errors import UsageError
from hpcexp.train.fit import fit
from hpcexp.train.inspection import ImageGrid, Request
from hpcexp.train.seeding import RandomStreams
from hpcexp.train.sink import MemorySink
from hpcexp.train.warm_start import WarmStart
from hpcexp.worker.warm_start import choose_parameters
from hpcexp.workloads.classify.config import Config
from hpcexp.workloads.classify.workload import ClassifyWorkload
from hpcexp.workloads.unmix.config import Config as UnmixConfig
from hpcexp.workloads.unmix.workload import UnmixWorkload
from tests.workloads.unmix.conftest import TINY as TINY_UNMIX

STREAMS = RandomStreams(0, 0)
TINY: dict[str, Any] = {
    "dataset": {"resolution": 8},
    "encoder": {"channels": [4, 8], "strides": [2, 1], "norm": "batch"},
    "train_set_size": 12,
    "validate_set_size": 13,
    "batch_size": 6,
    "max_epoch": 4,
    "weight_decay": 0.1,
    "optimizer": "adamw",
}
SOURCE = {"run": "somewhere", "parameters": ["encoder"]}
FROZEN = {"train_encoder": False, "warm_start": SOURCE}


def build(**changes: Any) -> ClassifyWorkload:
    return ClassifyWorkload(Config.model_validate({**TINY, **changes}))


def train(workload: Any, initial: dict[str, Tensor] | None = None) -> tuple[MemorySink, Any]:
    sink = MemorySink()
    result = fit(workload, streams=STREAMS, sink=sink, initial=initial)
    assert result.outcome == "completed"
    last = sink.load_checkpoint()
    assert last is not None
    return sink, {**last["state"]["parameters"], **last["state"]["buffers"]}


@pytest.fixture(scope="module")
def unmixer() -> dict[str, Tensor]:
    """Parameters and buffers of a model that was trained to unmix."""
    settings = {**TINY_UNMIX, "encoder": TINY["encoder"]}
    _, trained = train(UnmixWorkload(UnmixConfig.model_validate(settings)))
    return dict(trained)


def take_encoder(workload: ClassifyWorkload, source: dict[str, Tensor]) -> dict[str, Tensor]:
    wanted = {k: tuple(v.shape) for k, v in workload.build_model().state_dict().items()}
    settings = WarmStart.model_validate(SOURCE)
    return choose_parameters(settings, wanted, source)


def test_the_encoder_goes_over_whole_and_the_head_is_new(unmixer: dict[str, Tensor]) -> None:
    taken = take_encoder(build(), unmixer)
    assert taken.keys() == {name for name in unmixer if name.startswith("encoder.")}
    assert any("running_mean" in name for name in taken)


def test_an_encoder_that_does_not_fit_is_refused_by_name(unmixer: dict[str, Tensor]) -> None:
    wider = build(encoder={"channels": [4, 9], "strides": [2, 1], "norm": "batch"})
    with pytest.raises(UsageError, match=r"encoder.body.1.0.weight: \(8, 4, 3, 3\) there, \(9, "):
        take_encoder(wider, unmixer)


def test_a_frozen_encoder_keeps_every_bit_its_buffers_included(unmixer: dict[str, Tensor]) -> None:
    workload = build(**FROZEN)
    initial = take_encoder(workload, unmixer)
    _, trained = train(workload, initial)
    assert all(torch.equal(trained[name], tensor) for name, tensor in initial.items())
    with STREAMS.initialising():
        fresh = workload.build_model().state_dict()
    assert not torch.equal(trained["head.weight"], fresh["head.weight"])


def test_a_fine_tuned_encoder_starts_from_the_other_and_moves(unmixer: dict[str, Tensor]) -> None:
    workload = build(warm_start=SOURCE)
    initial = take_encoder(workload, unmixer)
    _, trained = train(workload, initial)
    assert not any(
        torch.equal(trained[name], tensor)
        for name, tensor in initial.items()
        if "num_batches" not in name
    )


def test_a_frozen_encoder_that_has_learned_nothing_is_refused() -> None:
    with pytest.raises(ValidationError, match="freezes an encoder that has learned nothing"):
        build(train_encoder=False)


def test_few_labels_are_of_all_classes() -> None:
    labels = build().load_data()["train"]["labels"]
    assert labels.bincount().tolist() == [2] * 6


def test_labels_mean_the_same_in_both_splits(tmp_path: Path) -> None:
    for split, names in {"train": ["b", "c"], "validate": ["a", "b", "c"]}.items():
        for name in names:
            directory = tmp_path / split / name
            directory.mkdir(parents=True)
            shade = {"a": 0, "b": 100, "c": 200}[name]
            for number in range(2):
                Image.new("RGB", (8, 8), (shade, shade, shade)).save(directory / f"{number}.png")
    paths = {"path": str(tmp_path / "train"), "validate_path": str(tmp_path / "validate")}
    workload = build(
        dataset={"kind": "folder", "resolution": 8, **paths},
        train_set_size=4, validate_set_size=6, batch_size=4,
    )  # fmt: skip
    assert workload.classes == ("a", "b", "c")
    for data in workload.load_data().values():
        assert torch.equal(data["images"][:, 0, 0, 0].long() // 100, data["labels"])


def test_images_of_one_class_are_refused(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "1.png")
    with pytest.raises(UsageError, match="put the images of each class into a directory"):
        build(dataset={"kind": "folder", "path": str(tmp_path)}).build_model()


def test_a_classifier_learns_its_few_images_by_heart() -> None:
    sink, _ = train(build(max_epoch=60, lr=0.02))
    losses = [row.values["loss"] for row in sink.rows if row.split == "train"]
    assert losses[-1] < 0.2 < 1.5 < losses[0]


def test_an_evaluation_counts_every_image() -> None:
    workload = build()
    model = workload.build_model().eval()
    with torch.no_grad():
        model.head.weight.zero_()
        model.head.bias.copy_(torch.tensor([9.0, 0, 0, 0, 0, 0]))  # all are discs
        found = workload.evaluate(model, workload.load_data()["validate"], STREAMS)
    assert found["accuracy"].item() == pytest.approx(3 / 13)
    assert found["error_rate"].item() == pytest.approx(10 / 13)


def test_samples_show_which_class_is_taken_for_which() -> None:
    workload = build()
    request = Request(kinds=("samples",))
    workload.check_request(request)
    (findings,) = workload.inspect(workload.build_model().eval(), request)
    grid = findings.parts["grid"]
    assert isinstance(grid, ImageGrid)
    assert grid.is_shown_RC is not None
    assert 6 <= grid.is_shown_RC.sum() <= 13
    assert grid.column_labels == list(workload.classes)
    with pytest.raises(UsageError, match="no such kind: encoder; there is: samples"):
        workload.check_request(Request(kinds=("encoder",)))
