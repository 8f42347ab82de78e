from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from hpcexp.errors import UsageError
from hpcexp.train.fit import FitOptions, fit
from hpcexp.train.seeding import RandomStreams
from hpcexp.train.sink import MemorySink
from hpcexp.workloads.multitask.config.model import Bert
from hpcexp.workloads.multitask.text import PretrainedBert
from hpcexp.workloads.multitask.workload import MultitaskWorkload
from tests.workloads.multitask.conftest import make_config

STREAMS = RandomStreams(0, 0)


@pytest.fixture(scope="module")
def bert_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BERT of random weights, saved as any pretrained one is."""
    transformers = pytest.importorskip("transformers")
    directory = tmp_path_factory.mktemp("bert")
    config = transformers.BertConfig(
        vocab_size=64, hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=8, max_position_embeddings=32,
    )  # fmt: skip
    torch.manual_seed(0)
    transformers.BertModel(config).save_pretrained(directory)
    return directory


def make_workload(bert_dir: Path, *, frozen: bool = False) -> MultitaskWorkload:
    encoder = {"kind": "bert", "path": str(bert_dir), "frozen": frozen}
    return MultitaskWorkload(make_config(model={"text_encoder": encoder}, max_epoch=2))


def test_padding_reaches_no_output_and_a_row_without_text_is_zero(bert_dir: Path) -> None:
    bert = PretrainedBert(Bert(path=str(bert_dir))).train()  # its dropout stays off
    tokens = torch.randint(0, 64, (3, 6), generator=torch.Generator().manual_seed(0))
    mask = torch.arange(6) < torch.tensor([6, 2, 0])[:, None]
    found = bert(tokens, mask)
    assert torch.equal(found, bert(torch.where(mask, tokens, 63), mask))
    assert (found[2] == 0).all()
    assert torch.isfinite(found).all()
    short = bert(tokens[1:2, :2], mask[1:2, :2])
    torch.testing.assert_close(found[1:2, :2], short, rtol=1e-4, atol=1e-5)


def train(workload: MultitaskWorkload, sink: MemorySink, **options: object) -> dict[str, Tensor]:
    fit(workload, streams=STREAMS, sink=sink, options=FitOptions(read_back_every_s=0.0))
    checkpoint = sink.load_checkpoint()
    assert checkpoint is not None
    parameters: dict[str, Tensor] = checkpoint["state"]["parameters"]
    return parameters


def test_a_run_with_bert_resumes_bit_for_bit(bert_dir: Path) -> None:
    whole = train(make_workload(bert_dir), MemorySink())
    sink = MemorySink(interrupt_at_step=3)
    train(make_workload(bert_dir), sink)
    sink.interrupt_at_step = None
    resumed = train(make_workload(bert_dir), sink)
    assert all(torch.equal(whole[k], v) for k, v in resumed.items())


def test_a_frozen_bert_stays_as_it_was_pretrained(bert_dir: Path) -> None:
    pretrained = PretrainedBert(Bert(path=str(bert_dir))).state_dict()
    prefix = "encoders.text.embed."
    for frozen in (True, False):
        trained = train(make_workload(bert_dir, frozen=frozen), MemorySink())
        is_kept = [
            torch.equal(v, pretrained[k.removeprefix(prefix)])
            for k, v in trained.items()
            if k.startswith(prefix)
        ]
        assert is_kept
        assert all(is_kept) == frozen


def test_a_directory_without_a_model_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    with pytest.raises(UsageError, match=r"holds no config.json; give a directory"):
        PretrainedBert(Bert(path=str(tmp_path)))
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UsageError, match=r"model.text_encoder.path"):
        PretrainedBert(Bert(path=str(tmp_path)))


def test_without_transformers_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UsageError, match=r"needs transformers: pip install 'hpcexp\[bert\]'"):
        PretrainedBert(Bert(path=str(tmp_path)))
