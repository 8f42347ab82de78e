"""The optional terms, distances, gradients and variants of the objective."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from hpcexp.train.fit import fit
from hpcexp.train.seeding import RandomStreams
from hpcexp.train.sink import MemorySink
from hpcexp.workloads.sps.config import Config
from hpcexp.workloads.sps.dynamics import Prediction
from hpcexp.workloads.sps.objective import Objective
from hpcexp.workloads.sps.workload import SpsWorkload
from tests.train.conftest import TINY

ZERO_SYMMETRY: dict[str, Any] = {"rules": []}


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def make(**changes: Any) -> SpsWorkload:
    return SpsWorkload(Config.model_validate(TINY | changes))


class Step:
    """One training step's inputs for a workload, in float64, and what the model makes of them."""

    def __init__(self, workload: SpsWorkload, *, step: int = 0) -> None:
        self.workload = workload
        with RandomStreams(0, 0).initialising():
            self.model: Objective = workload.build_model().double().train()
        data = workload.load_data()["train"]
        size = workload.config.batch_size
        self.batch = {
            k: v[:size].double() if v.is_floating_point() else v[:size] for k, v in data.items()
        }
        drawn = workload.draw(RandomStreams(0, 0), block=0, num_steps=1)
        self.noise = {k: v[0].double() if v.is_floating_point() else v[0] for k, v in drawn.items()}
        self.values = {
            k: torch.tensor(v, dtype=torch.float64) for k, v in workload.schedule(step).items()
        }

    def terms(self) -> dict[str, Tensor]:
        losses = self.model(self.batch, self.noise, self.values)
        return dict(zip(self.workload.loss_names, losses, strict=True))

    def trained_by(self, name: str) -> set[str]:
        """The networks that a term gives a gradient to."""
        parameters = dict(self.model.named_parameters())
        gradients = torch.autograd.grad(
            self.terms()[name], list(parameters.values()), allow_unused=True
        )
        return {
            parameter.split(".")[0]
            for parameter, gradient in zip(parameters, gradients, strict=True)
            if gradient is not None and (gradient != 0).any()
        }


def with_weights(**weights: Any) -> dict[str, Any]:
    return {"loss_weights": weights}


# Which terms there are


def test_by_default_only_the_four_terms_of_the_method_are_computed() -> None:
    assert make().loss_names == ("self_recon", "predict.image", "predict.z", "kld")


def test_a_plain_autoencoder_has_no_kl_divergence() -> None:
    workload = make(variational=False)
    assert "kld" not in workload.loss_names
    assert "posterior" not in workload.draw(RandomStreams(0, 0), block=0, num_steps=1)


def test_a_weight_of_0_computes_a_term_and_null_does_not() -> None:
    assert "cycle" in make(**with_weights(cycle=0.0)).loss_names
    assert "cycle" not in make(**with_weights(cycle=None)).loss_names


ALL_TERMS = with_weights(
    supervise={"rnn": 1.0, "vae": {"encode": 1.0, "decode": 1.0}},
    symmetry_consistency=1.0,
    cycle=1.0,
    sequence_energy={"real": 1.0, "fake": 1.0},
    rnn_kld=1.0,
) | {"rnn_variance": "learned", "symmetry": {"identity_probability": 0.0}}

TRAINS = {
    "rnn_kld": {"encoder", "dynamics"},
    "supervise.rnn": {"encoder", "dynamics"},
    "supervise.vae.encode": {"encoder"},
    "supervise.vae.decode": {"decoder"},
    "symmetry_consistency": {"encoder", "dynamics"},
    "cycle": {"encoder", "decoder"},
    "sequence_energy.real": {"encoder", "sequence_energy"},
    "sequence_energy.fake": {"encoder", "sequence_energy"},
}


@pytest.mark.parametrize("name", TRAINS)
def test_an_optional_term_trains_the_networks_that_it_is_made_of(name: str) -> None:
    assert Step(make(**ALL_TERMS)).trained_by(name) == TRAINS[name]


# Supervision


def test_the_truth_is_standardised_by_the_training_set() -> None:
    data = make(**with_weights(supervise={"rnn": 1.0})).load_data()
    truth = data["train"]["truth"].flatten(0, 1)
    torch.testing.assert_close(truth.mean(dim=0), torch.zeros(3), rtol=0, atol=1e-5)
    torch.testing.assert_close(truth.std(dim=0), torch.ones(3))
    positions = data["train"]["positions"].flatten(0, 1)
    validation = (data["validate"]["positions"] - positions.mean(0)) / positions.std(0)
    torch.testing.assert_close(data["validate"]["truth"], validation)
    assert "truth" not in make().load_data()["train"]


def test_supervision_of_the_encoder_is_its_squared_error() -> None:
    step = Step(make(**with_weights(supervise={"vae": {"encode": 1.0}})))
    means, _ = step.model.encode(step.batch["images"].double() / 255)
    expected = (means - step.batch["truth"]).square().mean()
    torch.testing.assert_close(step.terms()["supervise.vae.encode"], expected)


def test_with_x_and_y_alone_the_height_is_free() -> None:
    step = Step(
        make(**with_weights(supervise={"vae": {"encode": 1.0}}), supervise_coordinates="xy")
    )
    before = step.terms()["supervise.vae.encode"]
    step.batch["truth"][..., 2] += 100.0
    assert torch.equal(step.terms()["supervise.vae.encode"], before)
    step.batch["truth"][..., 1] += 1.0
    assert not torch.equal(step.terms()["supervise.vae.encode"], before)


def test_supervision_of_the_decoder_decodes_the_truth() -> None:
    step = Step(make(**with_weights(supervise={"vae": {"decode": 1.0}})))
    decoded = step.model.decode(step.batch["truth"])
    expected = (decoded - step.batch["images"].double() / 255).square().mean()
    torch.testing.assert_close(step.terms()["supervise.vae.decode"], expected)


def test_with_x_and_y_alone_the_decoder_reads_the_encoder_s_height() -> None:
    step = Step(
        make(**with_weights(supervise={"vae": {"decode": 1.0}}), supervise_coordinates="xy")
    )
    assert step.trained_by("supervise.vae.decode") == {"encoder", "decoder"}
    means, _ = step.model.encode(step.batch["images"].double() / 255)
    z = torch.cat([step.batch["truth"][..., :2], means[..., 2:]], dim=-1)
    expected = (step.model.decode(z) - step.batch["images"].double() / 255).square().mean()
    torch.testing.assert_close(step.terms()["supervise.vae.decode"], expected)


def test_supervision_of_the_rnn_compares_its_predictions_with_the_truth() -> None:
    step = Step(make(**with_weights(supervise={"rnn": 1.0}), symmetry=ZERO_SYMMETRY))
    step.values["teacher_forcing"] = torch.tensor(0.0, dtype=torch.float64)
    step.noise["posterior"] = torch.zeros_like(step.noise["posterior"])
    means, _ = step.model.encode(step.batch["images"].double() / 255)
    errors = step.model.predict(means) - step.batch["truth"][:, 3:]
    torch.testing.assert_close(step.terms()["supervise.rnn"], errors.square().mean())


def test_supervision_of_the_rnn_undoes_the_transform_first() -> None:
    changes = {"symmetry": {"identity_probability": 0.0}}
    step = Step(make(**with_weights(supervise={"rnn": 1.0}), **changes))
    seen: list[Prediction] = []
    step.model.dynamics.register_forward_hook(lambda _m, _given, made: seen.append(made))
    loss = step.terms()["supervise.rnn"]
    undone, truth = step.model.symmetry.undo(seen[0].z, step.noise), step.batch["truth"][:, 3:]
    torch.testing.assert_close(loss, (undone - truth).square().mean())
    assert not torch.allclose(undone, seen[0].z)  # otherwise this shows nothing of the transform


# Self-consistency, cycle, energy


def test_without_a_transform_predictions_are_consistent() -> None:
    step = Step(make(**with_weights(symmetry_consistency=1.0), symmetry=ZERO_SYMMETRY))
    assert step.terms()["symmetry_consistency"] == 0


def test_under_a_transform_a_tanh_rnn_is_not_consistent() -> None:
    changes = {"symmetry": {"identity_probability": 0.0}}
    step = Step(make(**with_weights(symmetry_consistency=1.0), **changes))
    inconsistency = step.terms()["symmetry_consistency"]
    assert inconsistency > 1e-4
    noise, symmetry = step.noise, step.model.symmetry
    means, log_variance = step.model.encode(step.batch["images"].double() / 255)
    assert log_variance is not None
    z = means + noise["posterior"] * (0.5 * log_variance).exp()
    forced = (noise["teacher_forcing"] < step.values["teacher_forcing"]).double()
    moved = step.model.dynamics(symmetry.transform(z, noise), forced).z
    plain = step.model.dynamics(z, forced).z
    expected = (symmetry.undo(moved, noise) - plain).square().mean()
    torch.testing.assert_close(inconsistency, expected)


def test_an_evaluation_tells_the_inconsistency_although_it_transforms_nothing_else() -> None:
    workload = make(**with_weights(symmetry_consistency=1.0))
    model = workload.build_model().double().eval()
    data = workload.load_data()["validate"]
    data["positions"] = data["positions"].double()
    first = workload.evaluate(model, data, RandomStreams(0, 0))
    second = workload.evaluate(model, data, RandomStreams(0, 0))
    assert first["symmetry_consistency"] > 1e-5
    assert {k: v.item() for k, v in first.items()} == {k: v.item() for k, v in second.items()}
    plain = make()
    reference = plain.evaluate(model_of(plain, model), data, RandomStreams(0, 0))
    for name in reference:
        assert first[name].item() == reference[name].item()


def model_of(workload: SpsWorkload, other: Objective) -> Objective:
    model = workload.build_model().double().eval()
    model.load_state_dict(other.state_dict(), strict=False)
    return model


def test_the_kl_divergence_of_the_rnn_is_that_of_its_predictions_with_the_transform_undone() -> (
    None
):
    # Translations: a rotation leaves the divergence as it is.
    moved = {"rules": [{"slices": ["0:2"], "sample": ["translate"]}], "identity_probability": 0.0}
    changes = {"rnn_variance": "learned", "symmetry": moved}
    step = Step(make(**with_weights(rnn_kld=1.0), **changes))
    seen: list[Prediction] = []
    step.model.dynamics.register_forward_hook(lambda _m, _given, made: seen.append(made))
    loss = step.terms()["rnn_kld"]
    log_variance = seen[0].log_variance
    assert log_variance is not None
    mean = step.model.symmetry.undo(seen[0].mean, step.noise)
    gaussian = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    standard = torch.distributions.Normal(torch.zeros_like(mean), torch.ones_like(mean))
    expected = torch.distributions.kl_divergence(gaussian, standard).sum(dim=-1).mean()
    torch.testing.assert_close(loss, expected)
    assert not torch.allclose(mean, seen[0].mean)  # otherwise this shows nothing of the transform


def test_the_cycle_loss_is_that_of_encoding_what_was_decoded() -> None:
    step = Step(make(**with_weights(cycle=1.0)))
    means, log_variance = step.model.encode(step.batch["images"].double() / 255)
    assert log_variance is not None
    z = means + step.noise["posterior"] * (0.5 * log_variance).exp()
    again, _ = step.model.encode(step.model.decode(z))
    torch.testing.assert_close(step.terms()["cycle"], (again - z).square().mean())


@pytest.mark.parametrize(
    ("energy", "real", "fake"), [(0.0, 1.0, 1.0), (0.5, 1.5, 0.5), (-3.0, 0.0, 4.0)]
)
def test_real_sequences_should_have_a_low_energy_and_fake_ones_a_high_one(
    energy: float, real: float, fake: float
) -> None:
    step = Step(make(**with_weights(sequence_energy={"real": 1.0, "fake": 1.0})))
    for parameter in step.model.sequence_energy.parameters():
        torch.nn.init.zeros_(parameter)
    torch.nn.init.constant_(step.model.sequence_energy.to_energy.bias, energy)
    terms = step.terms()
    assert terms["sequence_energy.real"].item() == real
    assert terms["sequence_energy.fake"].item() == fake


def test_fake_sequences_are_real_ones_with_noise_of_the_given_size() -> None:
    weights = with_weights(sequence_energy={"real": 1.0, "fake": 1.0})
    step = Step(make(**weights, energy_rnn={"noise_std": 0.5}, symmetry=ZERO_SYMMETRY))
    seen: list[Tensor] = []
    step.model.sequence_energy.register_forward_pre_hook(lambda _m, given: seen.append(given[0]))
    step.terms()
    torch.testing.assert_close(seen[1] - seen[0], 0.5 * step.noise["energy"])


# Distances


@pytest.mark.parametrize("distance", ["l1", "bce"])
def test_the_distance_of_images_is_that_of_the_config(distance: str) -> None:
    step = Step(make(image_loss=distance))
    means, log_variance = step.model.encode(step.batch["images"].double() / 255)
    assert log_variance is not None
    z = means + step.noise["posterior"] * (0.5 * log_variance).exp()
    decoded, truth = step.model.decode(z), step.batch["images"].double() / 255
    expected = {
        "l1": (decoded - truth).abs().mean(),
        "bce": torch.nn.functional.binary_cross_entropy(decoded, truth),
    }
    torch.testing.assert_close(step.terms()["self_recon"], expected[distance])


def test_a_blend_goes_from_one_distance_to_the_other() -> None:
    blend = {"start": "bce", "end": "mse", "begin": 10, "duration": 10, "unit": "steps"}
    pure = {d: Step(make(image_loss=d)).terms()["self_recon"] for d in ("bce", "mse")}
    for step, part in [(0, 0.0), (10, 0.0), (15, 0.5), (20, 1.0), (29, 1.0)]:
        blended = Step(make(image_loss=blend), step=step).terms()["self_recon"]
        torch.testing.assert_close(blended, (1 - part) * pure["bce"] + part * pure["mse"])


def test_an_evaluation_uses_the_distance_at_the_end_of_the_blend() -> None:
    blend = {"start": "bce", "end": "mse", "duration": 1.0}
    data = make().load_data()["validate"]
    blended, plain = make(image_loss=blend), make()
    model = plain.build_model().eval()
    a = blended.evaluate(model_in(blended, model), data, RandomStreams(0, 0))
    b = plain.evaluate(model, data, RandomStreams(0, 0))
    torch.testing.assert_close(a["self_recon"], b["self_recon"])


def model_in(workload: SpsWorkload, other: Objective) -> Objective:
    model = workload.build_model().eval()
    model.load_state_dict(other.state_dict())
    return model


@pytest.mark.parametrize("distance", ["mse", "l1", "cosine"])
def test_the_distance_of_latents_is_that_of_the_config(distance: str) -> None:
    step = Step(make(z_loss=distance, symmetry=ZERO_SYMMETRY))
    seen: list[Prediction] = []
    step.model.dynamics.register_forward_hook(lambda _m, _given, made: seen.append(made))
    loss = step.terms()["predict.z"]
    means, log_variance = step.model.encode(step.batch["images"].double() / 255)
    assert log_variance is not None
    z = means + step.noise["posterior"] * (0.5 * log_variance).exp()
    predicted, target = seen[0].z[0], z[:, 3:]
    similarity = torch.nn.functional.cosine_similarity(predicted, target, dim=-1)
    expected = {
        "mse": (predicted - target).square().mean(),
        "l1": (predicted - target).abs().mean(),
        "cosine": 1 - similarity.mean(),
    }
    torch.testing.assert_close(loss, expected[distance])


# Gradients of the prediction losses


@pytest.mark.parametrize(
    ("stop", "of_z", "of_image"),
    [
        ({}, True, True),
        ({"left": True}, True, True),  # the target still has a gradient
        ({"right": True}, True, True),
        ({"left": True, "right": True}, False, True),
        ({"left": True, "right": True, "left_for": "z_and_image"}, False, False),
        ({"left": True, "left_for": "z_and_image"}, True, False),
    ],
)
def test_where_the_encoder_gets_a_gradient(
    stop: dict[str, Any], of_z: bool, of_image: bool
) -> None:
    step = Step(make(stop_gradient=stop))
    assert ("encoder" in step.trained_by("predict.z")) == of_z
    assert ("encoder" in step.trained_by("predict.image")) == of_image
    assert "dynamics" in step.trained_by("predict.z") & step.trained_by("predict.image")


@pytest.mark.parametrize("side", ["left", "right"])
def test_each_side_is_cut_off_by_itself(side: str) -> None:
    """The gradient of the whole is that of both halves."""

    def gradient(**stop: Any) -> Tensor:
        torch.manual_seed(0)
        step = Step(make(stop_gradient=stop))
        (grad,) = torch.autograd.grad(
            step.terms()["predict.z"], [step.model.encoder.to_posterior.weight], allow_unused=True
        )
        return torch.zeros_like(step.model.encoder.to_posterior.weight) if grad is None else grad

    whole, rest = gradient(), gradient(**{side: True})
    other = gradient(**{"right" if side == "left" else "left": True})
    torch.testing.assert_close(rest + other, whole)
    assert not torch.allclose(rest, whole)


@pytest.mark.parametrize("stop", [{"left": True}, {"right": True}, {"left": True, "right": True}])
def test_stopping_a_gradient_changes_no_loss(stop: dict[str, Any]) -> None:
    torch.manual_seed(0)
    reference = Step(make()).terms()
    torch.manual_seed(0)
    stopped = Step(make(stop_gradient=stop)).terms()
    for name in reference:
        torch.testing.assert_close(stopped[name], reference[name])


# What the RNN reads, and how many it sees


def test_the_rnn_reads_samples_or_means() -> None:
    for kind, is_mean in (("sample", False), ("mean", True)):
        step = Step(make(rnn_input=kind, symmetry=ZERO_SYMMETRY))
        seen: list[Tensor] = []
        step.model.dynamics.register_forward_pre_hook(
            lambda _m, given, seen=seen: seen.append(given[0])
        )
        step.terms()
        means, _ = step.model.encode(step.batch["images"].double() / 255)
        assert torch.allclose(seen[0], means) == is_mean


def test_the_members_of_an_ensemble_pay_each_for_itself() -> None:
    step = Step(make(rnn_ensemble=3))
    total = step.terms()["predict.z"]
    alone = []
    members = list(step.model.dynamics.members)
    for member in members:
        step.model.dynamics.members = torch.nn.ModuleList([member])
        alone.append(step.terms()["predict.z"])
    torch.testing.assert_close(total, torch.stack(alone).mean())


def test_multiplying_the_batch_averages_over_the_augmentations() -> None:
    settings = {"identity_probability": 0.0, "K": 2, "K_mode": "multiply"}
    step = Step(make(symmetry=settings))
    total = step.terms()
    parts = []
    for place in range(2):
        single = Step(make(symmetry={"identity_probability": 0.0}))
        single.model.load_state_dict(step.model.state_dict())
        single.noise |= {
            k: v[place : place + 1] for k, v in step.noise.items() if k.startswith("symmetry.")
        }
        parts.append(single.terms())
    for name in ("predict.image", "predict.z"):
        torch.testing.assert_close(total[name], (parts[0][name] + parts[1][name]) / 2)
    torch.testing.assert_close(total["self_recon"], parts[0]["self_recon"])


def test_under_a_symmetry_of_time_only_reached_frames_cost() -> None:
    time = {"stretch": [2.0]}
    step = Step(make(symmetry={"rules": [], "identity_probability": 0.0, "time": time}))
    before = step.terms()["predict.image"]
    # With T = 7 frames and a context of 3, frames 2 and 3 are reached at half speed.
    for frame, is_reached in [(2, True), (3, True), (0, False), (6, False)]:
        symmetry = step.model.symmetry
        images = torch.zeros(4, 7, 1)
        images[:, frame] = 1.0
        targets = symmetry.select_targets(images, step.noise)
        weights = symmetry.weigh_frames(step.noise)
        assert weights is not None
        assert ((targets[..., 0] * weights).sum() > 0) == is_reached
    assert math.isfinite(before.item())


# Schedules


def test_a_weight_may_be_a_schedule() -> None:
    warm_up = {"end": 1.0, "duration": 4, "unit": "steps"}
    swing = {"kind": "oscillation", "high": 2.0, "period": 8, "unit": "steps"}
    workload = make(**with_weights(kld=warm_up, cycle=swing))
    weights = []
    for step in (0, 2, 4):
        values = workload.schedule(step)["loss_weights"]
        assert isinstance(values, list)
        weights.append(dict(zip(workload.loss_names, values, strict=True)))
    assert [w["kld"] for w in weights] == [0, 0.5, 1]
    assert [w["cycle"] for w in weights] == pytest.approx([0, 1, 2])


def test_a_term_of_weight_0_at_first_trains_nothing_at_first() -> None:
    ramp = {"end": 1.0, "begin": 100, "duration": 1, "unit": "steps"}
    sinks = []
    for weight in (ramp, 0.0):
        sink = MemorySink()
        workload = make(**with_weights(kld=weight), max_epoch=1, max_step=5)
        fit(workload, streams=RandomStreams(0, 0), sink=sink)
        sinks.append(sink)
    first, second = ([r.values["loss.kld"] for r in sink.rows] for sink in sinks)
    assert first == second


# Everything trains


CHOICES: dict[str, list[Any]] = {
    "variational": [True, False],
    "rnn": ["tanh", "gru"],
    "rnn_variance": ["none", "learned", "fixed"],
    "rnn_ensemble": [1, 2],
    "rnn_depth": [1, 2],
    "rnn_dropout": [0.0, 0.3],
    "rnn_residual": [None, 1.0, -1.0],
    "rnn_input": ["sample", "mean"],
    "activation": ["relu", "leaky_relu"],
    "deep_spread": [True, False],
    "encoder_batch_norm": [False, True],
    "decoder_output": ["sigmoid", "tanh"],
    "image_loss": ["mse", "l1"],
    "z_loss": ["mse", "cosine", "l1"],
    "stop_gradient": [
        {},
        {"left": True},
        {"right": True},
        {"left": True, "left_for": "z_and_image"},
    ],
    "symmetry": [
        {},
        {"rules": []},
        {"K": 2},
        {"K": 2, "K_mode": "multiply"},
        {"draw_per": "sequence"},
        {"time": {"reverse_probability": 0.5, "stretch": [0.5, 1.0, 2.0]}},
        {"K": 2, "time": {"stretch": [2.0]}},
    ],
    "loss_weights": [
        {},
        {"supervise": {"rnn": 1.0, "vae": {"encode": 1.0, "decode": 1.0}}},
        {"symmetry_consistency": 1.0, "predict": {"image": 0.0, "z": 0.0}},
        {"cycle": 0.1, "sequence_energy": {"real": 1.0, "fake": 1.0}},
    ],
}


def list_pairs() -> list[dict[str, Any]]:
    """Configurations in which any two values of neighbouring choices meet, and many others."""
    names = list(CHOICES)
    longest = max(len(values) for values in CHOICES.values())
    return [
        {
            name: CHOICES[name][(i * (place + 1) + j) % len(CHOICES[name])]
            for place, name in enumerate(names)
        }
        for i, j in itertools.product(range(3), range(longest))
    ]


@pytest.mark.parametrize("changes", list_pairs(), ids=range(3 * 7))
def test_every_variant_trains_two_steps(changes: dict[str, Any]) -> None:
    workload, sink = make(**changes, max_step=2), MemorySink()
    result = fit(workload, streams=RandomStreams(0, 0), sink=sink)
    assert result.outcome == "completed", result.reason
    assert all(math.isfinite(v) for row in sink.rows for v in row.values.values())
