"""Networks may compute in bf16 or TF32; everything else, and a run in fp32, stays as it is."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from hpcexp.errors import UsageError
from hpcexp.train import precision as precision_module
from hpcexp.train.fit import FitResult, Training, fit
from hpcexp.train.lanes import fit_lanes
from hpcexp.train.precision import (
    autocasting,
    check_precision,
    computing_in,
    cpu_has_bf16,
    in_full_precision,
)
from hpcexp.train.seeding import RandomStreams
from hpcexp.train.sink import MemorySink
from hpcexp.train.workload import Workload
from hpcexp.workloads.multitask.workload import MultitaskWorkload
from hpcexp.workloads.unmix.config import Config as UnmixConfig
from hpcexp.workloads.unmix.workload import UnmixWorkload
from tests.train.conftest import MakeWorkload
from tests.workloads.classify.test_workload import build as make_classify
from tests.workloads.multitask.conftest import make_config as make_multitask_config
from tests.workloads.unmix.conftest import TINY as TINY_UNMIX

CPU, GPU = torch.device("cpu"), torch.device("cuda")
MakeAny = Callable[..., Workload]


def train(workload: Workload) -> MemorySink:
    sink = MemorySink()
    result = fit(workload, streams=RandomStreams(0, 0), sink=sink)
    assert result.outcome == "completed"
    return sink


def list_losses(sink: MemorySink, split: str = "train") -> list[float]:
    return [row.values["loss"] for row in sink.rows if row.split == split]


def make_multitask(**changes: Any) -> Workload:
    return MultitaskWorkload(make_multitask_config(**changes))


def make_unmix(**changes: Any) -> Workload:
    return UnmixWorkload(UnmixConfig.model_validate({**TINY_UNMIX, **changes}))


OTHERS: dict[str, tuple[MakeAny, dict[str, Any]]] = {
    "multitask": (make_multitask, {}),
    "multitask, gradients of each task": (make_multitask, {"combine": "pcgrad"}),
    "unmix": (make_unmix, {}),
    "unmix, linear algebra in its decoder": (make_unmix, {"decoder": "least_squares"}),
    "classify, batch norm": (make_classify, {}),
}


@pytest.mark.parametrize("name", OTHERS)
def test_every_workload_trains_in_bf16(name: str) -> None:
    make, changes = OTHERS[name]
    exact, rounded = train(make(**changes)), train(make(precision="bf16", **changes))
    assert list_losses(rounded) == pytest.approx(list_losses(exact), rel=0.1)


ODD: dict[str, dict[str, Any]] = {
    "as it comes": {},
    "batch norm": {"encoder_batch_norm": True},
    "cross entropy of images": {"image_loss": "bce"},
    "every other loss": {
        "loss_weights": {
            "cycle": 1.0,
            "symmetry_consistency": 0.1,
            "sequence_energy": {"real": 1e-3, "fake": 1e-3},
            "supervise": {"vae": {"encode": 1.0, "decode": 1.0}},
        }
    },
}


@pytest.mark.parametrize("odd", ODD)
def test_sps_trains_in_bf16_to_nearly_the_numbers_of_fp32(
    make_workload: MakeWorkload, odd: str
) -> None:
    exact, rounded = (train(make_workload(precision=p, **ODD[odd])) for p in ("fp32", "bf16"))
    assert list_losses(rounded) == pytest.approx(list_losses(exact), rel=0.02)
    assert list_losses(rounded) != list_losses(exact)
    # Evaluations are fp32: that of the untrained model has the same bits.
    assert list_losses(rounded, "validate")[0] == list_losses(exact, "validate")[0]


def test_a_run_in_bf16_keeps_everything_in_fp32(make_workload: MakeWorkload) -> None:
    checkpoint = train(make_workload(precision="bf16")).load_checkpoint()
    assert checkpoint is not None
    state = checkpoint["state"]
    tensors = (*state["parameters"].values(), *state["optimizer"].values())
    assert {tensor.dtype for tensor in tensors} == {torch.float32}


def test_lanes_in_bf16_have_nearly_the_numbers_of_solo_runs(make_workload: MakeWorkload) -> None:
    workloads = [make_workload(precision="bf16", encoder_batch_norm=True) for _ in range(3)]
    sinks = [MemorySink() for _ in workloads]
    trainings = [
        Training(workload, streams=RandomStreams(0, i), sink=sinks[i])
        for i, workload in enumerate(workloads)
    ]
    results = [end.result for end in fit_lanes(trainings)]
    assert all(isinstance(r, FitResult) and r.outcome == "completed" for r in results)
    solo = train(workloads[0])
    assert list_losses(sinks[0]) == pytest.approx(list_losses(solo), rel=0.01)


def test_runs_of_different_precision_are_no_lanes_of_one_program(
    make_workload: MakeWorkload,
) -> None:
    keys = {make_workload(precision=p).config.lane_key for p in ("fp32", "tf32", "bf16")}
    assert len(keys) == 3


def test_tf32_changes_nothing_on_a_cpu_and_says_so(
    make_workload: MakeWorkload, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert list_losses(train(make_workload(precision="tf32"))) == list_losses(
            train(make_workload())
        )
    assert "precision tf32: a CPU has no TF32; it computes in fp32" in caplog.text


def test_what_asks_for_full_precision_has_it_within_bf16() -> None:
    layer, x = nn.Linear(4, 4), torch.randn(2, 4)
    exact = in_full_precision(layer.forward)
    with autocasting("bf16", CPU):
        assert layer(x).dtype == torch.bfloat16
        assert exact(x).dtype == torch.float32
        assert layer(x).dtype == torch.bfloat16
    assert exact(x).dtype == torch.float32


@pytest.mark.parametrize(("asked", "allowed"), [("fp32", False), ("tf32", True), ("bf16", False)])
def test_a_gpu_rounds_to_tf32_only_where_it_is_asked_to(asked: Any, allowed: bool) -> None:
    """Torch's own default lets convolutions do so."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    with computing_in(asked, GPU):
        assert (matmul.allow_tf32, cudnn.allow_tf32) == (allowed, allowed)
    assert (matmul.allow_tf32, cudnn.allow_tf32) == before


class TestHardware:
    def test_bf16_on_a_cpu_without_it_is_warned_of(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(precision_module, "cpu_has_bf16", lambda: False)
        with caplog.at_level(logging.WARNING):
            check_precision("bf16", CPU)
        assert "neither AVX512_BF16 nor AMX" in caplog.text
        assert "precision: fp32 is faster here" in caplog.text

    def test_nothing_is_said_where_there_is_nothing_to_say(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(precision_module, "cpu_has_bf16", lambda: True)
        with caplog.at_level(logging.WARNING):
            check_precision("fp32", CPU)
            check_precision("bf16", CPU)
        assert caplog.text == ""

    def test_cpus_are_asked_for_their_instructions(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("platform.machine", lambda: "x86_64")
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
        assert not cpu_has_bf16()
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
        assert cpu_has_bf16()

    def test_an_old_gpu_refuses_bf16_and_ignores_tf32(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (7, 0))
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Tesla V100")
        with pytest.raises(UsageError, match=r"Tesla V100 .*7\.0.* no bf16 .*set precision: fp32"):
            check_precision("bf16", GPU)
        with caplog.at_level(logging.WARNING):
            check_precision("tf32", GPU)
        assert "has no TF32" in caplog.text

    def test_a_new_gpu_has_both(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (9, 0))
        for asked in ("tf32", "bf16"):
            check_precision(asked, GPU)
        assert caplog.text == ""
