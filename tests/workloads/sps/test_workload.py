"""The workload as the training core sees it.

The golden loss trace in `tests/data/sps_loss_trace.json` holds the numbers of ten steps. A
change that is not meant to alter numerics leaves it alone; one that is meant to rewrites it,
and its difference is reviewed:

    HPCEXP_UPDATE_GOLDEN=1 pytest tests/workloads/sps/test_workload.py -k golden
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from hpcexp.train.fit import fit
from hpcexp.train.seeding import RandomStreams
from hpcexp.train.sink import MemorySink
from hpcexp.workloads.sps import workload as workload_module
from hpcexp.workloads.sps.config import Config
from hpcexp.workloads.sps.objective import Objective
from hpcexp.workloads.sps.workload import SpsWorkload, build
from tests.train.conftest import TINY

STREAMS = RandomStreams(0, 0)
LOSS_NAMES = ("self_recon", "predict.image", "predict.z", "kld")
GOLDEN_PATH = Path(__file__).parents[2] / "data" / "sps_loss_trace.json"
UPDATE_VARIABLE = "HPCEXP_UPDATE_GOLDEN"

Data = dict[str, Tensor]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def make(**changes: Any) -> SpsWorkload:
    return SpsWorkload(Config(**{**TINY, **changes}))


def make_model(workload: SpsWorkload) -> Objective:
    with STREAMS.initialising():
        return workload.build_model().double()


def load(workload: SpsWorkload, split: str = "validate") -> Data:
    data = workload.load_data()[split]
    return {"images": data["images"], "positions": data["positions"].double()}


def evaluate(workload: SpsWorkload, model: Objective, data: Data | None = None) -> dict[str, float]:
    with torch.no_grad():
        metrics = workload.evaluate(model.eval(), load(workload) if data is None else data, STREAMS)
    return {name: value.item() for name, value in metrics.items()}


def make_model_with_statistics(workload: SpsWorkload) -> Objective:
    """A model whose batch norms have seen some images."""
    model = make_model(workload).train()
    images = load(workload, "train")["images"].double() / 255
    for start in range(0, len(images), 4):
        model.encode(images[start : start + 4])
    return model


# Data


def test_the_splits_have_the_sizes_and_shapes_that_the_config_asks_for() -> None:
    data = make().load_data()
    assert {split: tensors["images"].shape for split, tensors in data.items()} == {
        "train": (20, 7, 3, 8, 8),
        "validate": (8, 7, 3, 8, 8),
    }
    for tensors in data.values():
        assert tensors["images"].dtype == torch.uint8
        assert tensors["positions"].shape == (*tensors["images"].shape[:2], 3)
        assert tensors["positions"].dtype == torch.float32


def test_a_smaller_training_set_is_the_beginning_of_a_larger_one() -> None:
    small, large = make(train_set_size=6).load_data(), make().load_data()
    assert torch.equal(small["train"]["images"], large["train"]["images"][:6])
    assert torch.equal(small["validate"]["images"], large["validate"]["images"])


# Random numbers


WIDE = {"slices": ["0:2"], "sample": [{"kind": "translate", "std": 50.0}, "rotate"]}


MAPS = {"symmetry.matrix", "symmetry.inverse", "symmetry.offset"}


def draw(workload: SpsWorkload, block: int = 0, streams: RandomStreams = STREAMS) -> Data:
    return workload.draw(streams, block=block, num_steps=5)


def test_each_step_has_its_own_noise_transform_and_coins() -> None:
    shapes = {name: tuple(tensor.shape) for name, tensor in draw(make()).items()}
    assert shapes == {
        "posterior": (5, 4, 7, 3),
        "symmetry.matrix": (5, 1, 3, 3),
        "symmetry.inverse": (5, 1, 3, 3),
        "symmetry.offset": (5, 1, 3),
        "teacher_forcing": (5, 7),
    }


def test_noise_is_standard_normal_and_coins_are_uniform() -> None:
    drawn = make(batch_size=16).draw(STREAMS, block=0, num_steps=64)
    assert drawn["posterior"].mean().item() == pytest.approx(0, abs=0.03)
    assert drawn["posterior"].std().item() == pytest.approx(1, abs=0.03)
    coins = drawn["teacher_forcing"]
    assert 0 <= coins.min() < 0.02
    assert 0.98 < coins.max() < 1
    assert coins.mean().item() == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize(
    ("block", "streams"), [(1, STREAMS), (0, RandomStreams(1, 0)), (0, RandomStreams(0, 1))]
)
def test_a_block_repeats_and_other_blocks_seeds_and_initialisations_differ(
    block: int, streams: RandomStreams
) -> None:
    reference, again = draw(make()), draw(make())
    other = draw(make(), block, streams)
    assert all(torch.equal(reference[k], again[k]) for k in reference)
    assert not any(torch.equal(reference[k], other[k]) for k in reference)


@pytest.mark.parametrize(
    ("changes", "may_differ"),
    [
        ({"lr": 0.1, "loss_weights": {"kld": 1.0}}, set()),
        ({"scheduled_sampling": {"duration": 0.0}}, set()),
        ({"rnn_width": 9, "vae_channels": [2, 3]}, set()),
        ({"symmetry": {"rules": []}}, MAPS),
        ({"symmetry": {"rules": [WIDE]}}, {"symmetry.offset"}),
        ({"batch_size": 8}, {"posterior"}),
        (
            {"latent_dim": 4},
            {"posterior", "symmetry.matrix", "symmetry.inverse", "symmetry.offset"},
        ),
    ],
)
def test_groups_are_paired_a_setting_changes_only_the_random_numbers_that_it_is_about(
    changes: dict[str, Any], may_differ: set[str]
) -> None:
    reference, changed = draw(make()), draw(make(**changes))
    differ = {k for k in reference if not torch.equal(reference[k], changed[k])}
    assert differ == may_differ


# Schedules


def list_forcing(steps: list[int], **changes: Any) -> list[float]:
    workload = make(**changes)
    return [float(workload.schedule(s)["teacher_forcing"]) for s in steps]  # type: ignore[arg-type]


def test_scheduled_sampling_in_steps() -> None:
    sampling = {"duration": 10.0, "unit": "steps"}
    values = list_forcing([0, 1, 5, 9, 10, 11, 29], scheduled_sampling=sampling)
    assert values == pytest.approx([1, 0.9, 0.5, 0.1, 0, 0, 0])


def test_scheduled_sampling_in_epochs() -> None:
    """An epoch of the tiny configuration has five steps."""
    sampling = {"duration": 2.0, "unit": "epochs"}
    values = list_forcing([0, 1, 5, 9, 10, 29], scheduled_sampling=sampling)
    assert values == pytest.approx([1, 0.9, 0.5, 0.1, 0, 0])


def test_scheduled_sampling_as_a_fraction_of_the_whole_run() -> None:
    """Six epochs of five steps: half of the budget is 15 steps."""
    sampling = {"duration": 0.5, "unit": "budget"}
    values = list_forcing([0, 3, 12, 15, 29], scheduled_sampling=sampling)
    assert values == pytest.approx([1, 0.8, 0.2, 0, 0])


def test_a_budget_in_steps_is_what_the_fraction_is_of() -> None:
    sampling = {"duration": 0.5, "unit": "budget"}
    values = list_forcing([0, 4, 20, 39], scheduled_sampling=sampling, max_step=40)
    assert values == pytest.approx([1, 0.8, 0, 0])


@pytest.mark.parametrize("unit", ["steps", "epochs", "budget"])
def test_a_duration_of_0_never_forces(unit: str) -> None:
    sampling = {"duration": 0.0, "unit": unit}
    assert list_forcing([0, 1, 29], scheduled_sampling=sampling) == [0, 0, 0]


def test_a_duration_beyond_the_run_still_forces_at_its_end() -> None:
    values = list_forcing([29], scheduled_sampling={"duration": 2.0, "unit": "budget"})
    assert values == pytest.approx([1 - 29 / 60])


def test_the_loss_weights_are_in_the_order_of_the_losses() -> None:
    weights = {"self_recon": 1.0, "predict": {"image": 2.0, "z": 3.0}, "kld": 4.0}
    workload = make(loss_weights=weights)
    assert workload.loss_names == ("self_recon", "predict.image", "predict.z", "kld")
    assert workload.schedule(0)["loss_weights"] == [1.0, 2.0, 3.0, 4.0]


# Evaluation


def test_an_evaluation_reports_the_losses_then_the_metrics() -> None:
    workload = make()
    assert list(evaluate(workload, make_model(workload))) == [
        *LOSS_NAMES,
        "linear_projection_mse",
        "linear_projection_mse.x",
        "linear_projection_mse.y",
        "linear_projection_mse.height",
    ]


@pytest.mark.parametrize("batch_norm", [False, True])
def test_the_same_parameters_give_the_same_numbers_bit_for_bit(batch_norm: bool) -> None:
    workload = make(encoder_batch_norm=batch_norm)
    model = make_model(workload)
    first = evaluate(workload, model)
    torch.manual_seed(99)
    torch.randn(7)
    assert evaluate(workload, model) == first


def test_evaluating_changes_neither_the_model_nor_the_data() -> None:
    workload = make(encoder_batch_norm=True)
    model, data = make_model_with_statistics(workload).eval(), load(workload)
    before = {k: v.clone() for k, v in {**model.state_dict(), **data}.items()}
    evaluate(workload, model, data)
    after = {**model.state_dict(), **data}
    assert all(torch.equal(before[k], after[k]) for k in before)
    assert not any(module.training for module in model.modules())


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("at_once", [1, 3, 8])
def test_how_many_sequences_are_evaluated_at_once_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, at_once: int, batch_norm: bool
) -> None:
    workload = make(encoder_batch_norm=batch_norm)
    model = make_model_with_statistics(workload)
    reference = evaluate(workload, model)
    monkeypatch.setattr(workload_module, "EVALUATED_AT_ONCE", at_once)
    assert evaluate(workload, model) == pytest.approx(reference, rel=1e-6)


def test_batch_norm_evaluates_with_its_running_statistics() -> None:
    workload = make(encoder_batch_norm=True)
    model = make_model_with_statistics(workload)
    reference = evaluate(workload, model)
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            buffer.add_(0.5)
    assert evaluate(workload, model)["self_recon"] != pytest.approx(reference["self_recon"])


@pytest.mark.parametrize(
    "changes",
    [
        {"symmetry": {"rules": [WIDE], "identity_probability": 0.0}},
        {"scheduled_sampling": {"duration": 100.0}},
        {"loss_weights": {"self_recon": 0.0, "kld": 9.0}},
        {"batch_size": 7},
    ],
)
def test_how_a_model_was_trained_does_not_change_how_it_is_judged(changes: dict[str, Any]) -> None:
    reference = make()
    model = make_model(reference)
    assert evaluate(make(**changes), model) == evaluate(reference, model)


def test_an_evaluation_predicts_without_forcing_and_without_a_symmetry(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    workload = make()
    model, data = make_model(workload), load(workload)
    means, _ = model.encode(data["images"].double() / 255)
    # Without posterior noise, what the RNN reads would be the means themselves.
    monkeypatch.setattr(
        workload,
        "_draw_validation_noise",
        lambda data, streams: {"posterior": torch.zeros_like(means)},
    )
    given: list[tuple[Tensor, ...]] = []
    model.dynamics.register_forward_pre_hook(lambda _m, inputs: given.append(inputs))
    evaluate(workload, model, data)
    ((z_BTZ, is_forced_T, _noise),) = given
    torch.testing.assert_close(z_BTZ, means)
    assert (is_forced_T == 0).all()


class Oracle(Objective):
    """Its encoder gives latents that are set from outside."""

    latents_BTZ: Tensor

    def encode(self, images_BTCHW: Tensor) -> tuple[Tensor, Tensor]:
        return self.latents_BTZ, torch.zeros_like(self.latents_BTZ)


def evaluate_latents(latents_BTZ: Tensor, data: Data) -> dict[str, float]:
    """The metrics of a model whose encoder gives these means."""
    workload = make()
    model = Oracle(workload.config).double()
    model.latents_BTZ = latents_BTZ
    return evaluate(workload, model, data)


def test_an_encoder_that_sees_a_linear_image_of_the_positions_projects_perfectly() -> None:
    data = load(make())
    mixing = torch.tensor([[1.0, 2.0, 0.0], [0.0, -1.0, 0.3], [0.5, 0.0, 1.0]]).double()
    metrics = evaluate_latents(data["positions"] @ mixing + 4, data)
    assert metrics["linear_projection_mse"] < 1e-12


def test_an_encoder_that_sees_one_coordinate_projects_that_one() -> None:
    data = load(make())
    for index, name in enumerate(("x", "y", "height")):
        latents = data["positions"][..., index, None].expand(-1, -1, 3)
        metrics = evaluate_latents(latents, data)
        residuals = {k: metrics[f"linear_projection_mse.{k}"] for k in ("x", "y", "height")}
        assert residuals.pop(name) < 1e-12
        assert min(residuals.values()) > 0.3
        mean = sum(residuals.values()) / 3
        assert metrics["linear_projection_mse"] == pytest.approx(mean)


def test_a_collapsed_encoder_has_a_linear_projection_mse_of_1() -> None:
    data = load(make())
    latents = torch.full_like(data["positions"], 0.1)
    assert evaluate_latents(latents, data)["linear_projection_mse"] == 1


def test_a_network_that_has_become_nan_reports_nan() -> None:
    workload = make()
    model = make_model(workload)
    torch.nn.init.constant_(model.encoder.to_posterior.bias, float("nan"))
    metrics = evaluate(workload, model)
    assert all(value != value for value in metrics.values())


# Training


def test_build_makes_the_workload_of_a_config() -> None:
    config = Config(**TINY)
    assert build(config).config is config


def train(dtype: torch.dtype = torch.float64, **changes: Any) -> MemorySink:
    sink = MemorySink()
    result = fit(make(**changes), streams=STREAMS, sink=sink, dtype=dtype)
    assert result.outcome == "completed"
    return sink


def test_150_steps_reduce_the_self_reconstruction_clearly() -> None:
    sink = train(max_step=150, eval_every=30)
    losses = [r.values["loss.self_recon"] for r in sink.rows if r.split == "validate"]
    assert losses[-1] < 0.3 * losses[0]


def test_a_term_of_weight_0_is_reported_and_trains_nothing() -> None:
    weights = {"predict": {"image": 0.0, "z": 0.0}, "kld": 0.0}
    sink = train(max_step=10, loss_weights=weights)
    for row in sink.rows:
        assert row.values["loss.predict.image"] > 0
        assert row.values["loss.predict.z"] > 0
        assert row.values["loss.kld"] > 0
        expected = 1.31072 * row.values["loss.self_recon"]
        assert row.values["loss"] == pytest.approx(expected)
    checkpoint = sink.load_checkpoint()
    assert checkpoint is not None
    trained = checkpoint["state"]["parameters"]
    for name, parameter in make_model(make()).named_parameters():
        moved = not torch.equal(trained[name], parameter)
        assert moved is not name.startswith("dynamics.")


GOLDEN_SETTINGS: dict[str, dict[str, Any]] = {
    "tiny": {},
    "batch_norm": {"encoder_batch_norm": True, "grad_clip": 0.05, "optimizer": "adamw"},
}


def trace(name: str) -> dict[str, list[dict[str, float]]]:
    """Ten steps in float64, an epoch each, and evaluations before and after them."""
    sink = train(train_set_size=4, max_step=10, eval_every=10, **GOLDEN_SETTINGS[name])
    return {
        split: [dict(row.values) for row in sink.rows if row.split == split]
        for split in ("train", "validate")
    }


def test_ten_steps_give_the_golden_loss_trace() -> None:
    traced = {name: trace(name) for name in GOLDEN_SETTINGS}
    if os.environ.get(UPDATE_VARIABLE) == "1":
        GOLDEN_PATH.parent.mkdir(exist_ok=True)
        GOLDEN_PATH.write_text(json.dumps(traced, indent=1) + "\n", encoding="utf-8")
    golden = json.loads(GOLDEN_PATH.read_text(encoding="utf-8"))
    assert golden.keys() == traced.keys()
    for name, splits in traced.items():
        assert {split: len(rows) for split, rows in splits.items()} == {"train": 10, "validate": 2}
        for split, rows in splits.items():
            for number, (row, expected) in enumerate(zip(rows, golden[name][split], strict=True)):
                assert_close(row, expected, f"{name} {split} row {number}")


def assert_close(row: dict[str, float], expected: dict[str, float], where: str) -> None:
    """Losses to 1e-6. A metric to 1e-4, because it magnifies what float32 noise rounds.

    torch's normal numbers differ in their last bit between CPUs with and without AVX2.
    """
    metrics = {name for name in expected if name.startswith("linear_projection_mse")}
    assert row.keys() == expected.keys(), where
    for name, value in row.items():
        tolerance = 1e-4 if name in metrics else 1e-6
        assert value == pytest.approx(expected[name], rel=tolerance), f"{where}: {name}"
