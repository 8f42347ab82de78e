from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from hpcexp.train.fit import fit
from hpcexp.train.seeding import RandomStreams
from hpcexp.train.sink import MemorySink, Row
from hpcexp.workloads.multitask.model import Hca, Head
from hpcexp.workloads.multitask.workload import MultitaskWorkload, build
from tests.workloads.multitask.conftest import MakeWorkload, make_config

STREAMS = RandomStreams(0, 0)
GOLDEN_PATH = Path(__file__).parents[2] / "data" / "multitask_loss_trace.json"


def train(make_workload: MakeWorkload, **changes: Any) -> MemorySink:
    sink = MemorySink()
    result = fit(make_workload(**changes), streams=STREAMS, sink=sink)
    assert result.outcome == "completed", result.reason
    return sink


def get_rows(sink: MemorySink, split: str) -> list[Row]:
    return [row for row in sink.rows if row.split == split]


def test_it_trains(make_workload: MakeWorkload) -> None:
    sink = train(
        make_workload,
        tasks=["easy", "related"],
        dataset={"max_lengths": [5, 8, 4], "min_lengths": [2, 8, 2], "feature_widths": [6, 5]},
        train_set_size=512, batch_size=32, max_epoch=6, lr=0.01,
    )  # fmt: skip
    errors = [row.values["mean_error"] for row in get_rows(sink, "validate")]
    assert errors[-1] < 0.3 < 0.4 < errors[0]


def test_the_first_steps_give_the_golden_trace(make_workload: MakeWorkload) -> None:
    """`HPCEXP_UPDATE_GOLDEN=1 pytest -k golden` rewrites it; the difference is to be reviewed."""
    sink = MemorySink()
    workload = make_workload(order="dsg_round_robin", weighting="gradnorm", model={"dropout": 0.2})
    fit(workload, streams=STREAMS, sink=sink, dtype=torch.float64)
    trace = [
        [r.values[f"loss.{t}"] for t in workload.config.tasks] for r in get_rows(sink, "train")
    ]
    if os.environ.get("HPCEXP_UPDATE_GOLDEN"):
        GOLDEN_PATH.write_text(json.dumps(trace, indent=1) + "\n")
    torch.testing.assert_close(
        torch.tensor(trace), torch.tensor(json.loads(GOLDEN_PATH.read_text())), rtol=1e-6, atol=0
    )


def test_an_evaluation_repeats_bit_for_bit_and_changes_no_model(
    make_workload: MakeWorkload,
) -> None:
    workload = make_workload(affinity={"measure": True}, model={"head_norm": "batch"})
    with STREAMS.initialising():
        model = workload.build_model().eval()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    data = workload.load_data()["validate"]
    with torch.no_grad():
        first, second = (workload.evaluate(model, data, STREAMS) for _ in range(2))
    assert list(first) == [*workload.loss_names, *workload.metric_names]
    assert all(torch.equal(first[k], v) for k, v in second.items())
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())


def test_an_evaluation_in_parts_is_that_of_the_whole(
    make_workload: MakeWorkload, monkeypatch: pytest.MonkeyPatch
) -> None:
    workload = make_workload()
    model, data = workload.build_model().eval(), workload.load_data()["validate"]
    whole = workload.evaluate(model, data, STREAMS)
    monkeypatch.setattr("hpcexp.workloads.multitask.workload.EVALUATED_AT_ONCE", 7)
    parts = workload.evaluate(model, data, STREAMS)
    for name, value in whole.items():
        torch.testing.assert_close(parts[name], value, rtol=1e-4, atol=1e-5)


def test_an_evaluation_weighs_only_rows_with_a_label(make_workload: MakeWorkload) -> None:
    workload = make_workload()
    model, data = workload.build_model().eval(), workload.load_data()["validate"]
    some = {**data, "labels": data["labels"].clone()}
    some["labels"][5:, 0] = torch.nan
    first_five = workload.evaluate(model, {k: v[:5] for k, v in data.items()}, STREAMS)
    found = workload.evaluate(model, some, STREAMS)
    torch.testing.assert_close(found["easy"], first_five["easy"])


def test_the_raw_form_of_learned_weights_warns(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "hpcexp.worker"):
        build(make_config(weighting="raw"))
    assert "ill-posed" in caplog.text


def test_losses_keep_no_graph_and_the_best_is_a_copy(make_workload: MakeWorkload) -> None:
    """State that lasts must hold neither graphs nor the live tensors themselves."""
    sink = train(make_workload, weighting="gradnorm", rows="dds", order="dsg")
    checkpoint = sink.load_checkpoint()
    assert checkpoint is not None
    tensors: list[Tensor] = []

    def collect(tree: Any) -> None:
        for value in tree.values():
            collect(value) if isinstance(value, dict) else tensors.append(value)

    collect(checkpoint["state"])
    assert not any(t.requires_grad or t.grad_fn for t in tensors)
    best = checkpoint["best"]["mean_error"]
    assert best["step"] <= checkpoint["step"]
    storage = {t.data_ptr() for t in checkpoint["state"]["parameters"].values()}
    if best["step"] < checkpoint["step"]:
        assert storage.isdisjoint(t.data_ptr() for t in best["parameters"].values())


class Overflows(MultitaskWorkload):
    """Its head for xor computes infinity minus infinity."""

    def build_model(self) -> Hca:
        model = super().build_model()
        head = cast(Head, model.heads["xor"])
        first = cast(nn.Linear, head.hidden[0])
        with torch.no_grad():
            first.weight.fill_(1e38)
            first.bias.fill_(3e38)
        return model


def test_a_run_that_is_not_finite_ends_with_the_module_and_the_step() -> None:
    result = fit(Overflows(make_config()), streams=STREAMS, sink=MemorySink())
    assert result.outcome == "diverged"
    assert "loss xor became NaN at step 0" in result.reason
    assert "first in the output of heads.xor" in result.reason


def test_training_sees_the_labels_of_each_source_alone(make_workload: MakeWorkload) -> None:
    workload = make_workload(
        sources={
            "a": {"size": 20, "tasks": ["easy"]},
            "b": {"size": 12, "tasks": ["xor", "scaled"]},
        }
    )
    labels = workload.load_data()["train"]["labels"]
    assert (~labels[:20].isnan()).all(dim=0).tolist() == [True, False, False]
    assert labels[:20, 1:].isnan().all()
    assert (~labels[20:].isnan()).all(dim=0).tolist() == [False, True, True]
    assert not workload.load_data()["validate"]["labels"].isnan().any()


def test_modalities_come_one_at_a_time(make_workload: MakeWorkload) -> None:
    workload = make_workload(modalities={"phases": [["text"], ["video"], ["audio"]]})
    num_steps = workload.config.num_steps
    at = [workload.schedule(step)["modalities"] for step in (0, num_steps // 2, num_steps - 1, 999)]
    assert at == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1]]


def test_a_frozen_modality_is_read_but_does_not_move(make_workload: MakeWorkload) -> None:
    sink = train(make_workload, modalities={"mode": "freeze", "phases": [["video"]]})
    first = make_workload().build_model
    with STREAMS.initialising():
        start = first().state_dict()
    checkpoint = sink.load_checkpoint()
    assert checkpoint is not None
    for name, tensor in checkpoint["state"]["parameters"].items():
        is_frozen = name.split(".")[1] in ("text", "audio")
        assert torch.equal(tensor, start[name]) == is_frozen, name
