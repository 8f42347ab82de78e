from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from hpcexp.workloads.multitask.config.datasets import MODALITIES
from hpcexp.workloads.multitask.model import Hca
from tests.workloads.multitask.conftest import MakeWorkload, make_config

ALL = torch.ones(3)
ORIGINAL = {
    "width": 768,
    "num_heads": 12,
    "lstm_width": 512,
    "lstm_layers": 2,
    "head_widths": [200, 40, 20],
    "head_norm": "batch",
    "dropout": 0.2,
    "head_dropout": 0.3,
}


def build(**changes: Any) -> Hca:
    torch.manual_seed(0)
    return Hca(make_config(**changes)).eval()


@pytest.fixture
def batch(make_workload: MakeWorkload) -> dict[str, Tensor]:
    return make_workload().load_data()["validate"]


def spoil(batch: dict[str, Tensor], modality: str) -> dict[str, Tensor]:
    """The batch with other things in a modality's padding."""
    features = batch[modality]
    is_padding = torch.arange(features.shape[1]) >= batch[f"{modality}_length"][:, None]
    other = 63 if modality == "text" else -99.0
    is_padding = is_padding.reshape(*is_padding.shape, *(1,) * (features.dim() - 2))
    return {**batch, modality: torch.where(is_padding, other, features)}


@pytest.mark.parametrize("modality", MODALITIES)
@pytest.mark.parametrize("num_layers", [1, 2])
def test_what_stands_in_the_padding_changes_no_output(
    batch: dict[str, Tensor], modality: str, num_layers: int
) -> None:
    model = build(model={"lstm_layers": num_layers})
    spoiled = spoil(batch, modality)
    assert not torch.equal(spoiled[modality], batch[modality])
    before, after = (model.predict(b, modalities_M=ALL) for b in (batch, spoiled))
    assert torch.equal(before, after)


@pytest.mark.parametrize("modality", MODALITIES)
def test_an_empty_sequence_is_as_no_such_modality_and_has_finite_gradients(
    batch: dict[str, Tensor], modality: str
) -> None:
    model = build()
    empty = {**batch, f"{modality}_length": torch.zeros_like(batch[f"{modality}_length"])}
    found = model.predict(empty, modalities_M=ALL)
    without = torch.tensor([float(m != modality) for m in MODALITIES])
    torch.testing.assert_close(found, model.predict(batch, modalities_M=without))
    gradients = torch.autograd.grad(
        found.sum(), list(model.parameters()), allow_unused=True, materialize_grads=True
    )
    assert all(torch.isfinite(g).all() for g in gradients)


def test_with_all_sequences_empty_outputs_are_finite(batch: dict[str, Tensor]) -> None:
    empty = {k: torch.zeros_like(v) if "length" in k else v for k, v in batch.items()}
    assert torch.isfinite(build().predict(empty, modalities_M=ALL)).all()


def test_every_modality_reaches_every_output(batch: dict[str, Tensor]) -> None:
    model = build()
    before = model.predict(batch, modalities_M=ALL)
    for modality in MODALITIES:
        changed = dict(batch)
        changed[modality] = batch[modality].flip(0)
        after = model.predict(changed, modalities_M=ALL)
        assert ((before - after).abs() > 1e-7).any(dim=0).all(), modality


def test_a_row_depends_on_no_other_row(batch: dict[str, Tensor]) -> None:
    model = build()
    together = model.predict(batch, modalities_M=ALL)
    alone = model.predict({k: v[3:4] for k, v in batch.items()}, modalities_M=ALL)
    torch.testing.assert_close(together[3:4], alone)


# Heads


def test_a_single_task_model_has_no_other_head() -> None:
    names = build(tasks=["xor"]).state_dict()
    assert {n.split(".")[1] for n in names if n.startswith("heads.")} == {"xor"}


def test_every_parameter_is_shared_or_of_a_head_and_is_registered() -> None:
    model = build(tasks=["easy", "anti", "junk"])
    names = {name for name, _ in model.named_parameters()}
    of_heads = {name for name in names if name.startswith("heads.")}
    assert set(model.shared_names) | of_heads == names
    assert not set(model.shared_names) & of_heads
    assert set(model.balance_layer) <= set(model.shared_names)


def test_opposed_tasks_share_one_head(batch: dict[str, Tensor]) -> None:
    model = build(tasks=["easy", "anti", "junk"])
    outputs = model.predict(batch, modalities_M=ALL)
    assert torch.equal(outputs[:, 0], outputs[:, 1])
    assert set(model.list_readers("heads.easy.out.weight")) == {"easy", "anti"}
    assert model.list_readers("heads.junk.out.weight") == ("junk",)
    alone = build(tasks=["anti"]).state_dict()
    assert any(name.startswith("heads.anti.") for name in alone)


# Modalities


def test_a_masked_modality_is_neither_pooled_nor_attended_to(batch: dict[str, Tensor]) -> None:
    model = build()
    only_video = torch.tensor([0.0, 1.0, 0.0])
    before = model.predict(batch, modalities_M=only_video)
    other = {**batch, "text": batch["text"].flip(0), "audio": batch["audio"].flip(0)}
    assert torch.equal(before, model.predict(other, modalities_M=only_video))
    pooled = model.pool(batch, modalities_M=only_video)
    assert (pooled[:, :8] == 0).all()
    assert (pooled[:, 16:] == 0).all()


def test_a_modular_model_is_the_masked_one_without_the_other_encoders(
    batch: dict[str, Tensor],
) -> None:
    whole = build()
    part = build(modalities={"mode": "modular", "phases": [["video"]]})
    assert not any("text" in name or "audio" in name for name in part.state_dict())
    # Pretrained weights of the whole model load into the part, and back.
    missing, unexpected = part.load_state_dict(whole.state_dict(), strict=False)
    assert not missing
    assert all(n.split(".")[1] in ("text", "audio") for n in unexpected)
    only_video = torch.tensor([0.0, 1.0, 0.0])
    torch.testing.assert_close(
        part.predict(batch, modalities_M=only_video),
        whole.predict(batch, modalities_M=only_video),
    )


# Shapes


def test_the_original_s_dimensions_are_hyperparameters(make_workload: MakeWorkload) -> None:
    config = make_config(model=ORIGINAL)
    with torch.device("meta"):
        model = Hca(config)
    head = [tuple(p.shape) for n, p in model.named_parameters() if n.startswith("heads.xor.hidden")]
    assert head[0] == (200, 2304)
    assert model.get_parameter("blocks.text.attend.query.weight").shape == (768, 768)
    assert model.get_parameter("encoders.video.lstm.1.input").shape == (2, 1024, 2048)


@pytest.mark.parametrize("norm", ["none", "layer", "batch"])
def test_every_norm_of_the_heads_trains_and_evaluates(
    make_workload: MakeWorkload, batch: dict[str, Tensor], norm: str
) -> None:
    model = build(model={"head_norm": norm, "head_widths": [4, 3]})
    assert torch.isfinite(model.predict(batch, modalities_M=ALL)).all()
    one_row = {k: v[:1] for k, v in batch.items()}
    assert torch.isfinite(model.predict(one_row, modalities_M=ALL)).all()


def test_dropout_is_in_force_with_a_seed_and_not_without(batch: dict[str, Tensor]) -> None:
    model = build(model={"dropout": 0.5, "head_dropout": 0.5})
    outputs = [
        model.predict(batch, modalities_M=ALL, seed=None if s is None else torch.tensor(s))
        for s in (None, None, 1, 1, 2)
    ]
    assert torch.equal(outputs[0], outputs[1])
    assert torch.equal(outputs[2], outputs[3])
    assert not torch.allclose(outputs[0], outputs[2])
    assert not torch.allclose(outputs[2], outputs[4])
