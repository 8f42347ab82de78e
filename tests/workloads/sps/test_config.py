from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from hpcexp.template.faults import find_faults
from hpcexp.workloads.sps.config import PRIMARY_METRIC, Config
from hpcexp.workloads.sps.config.symmetry import Rotate, Translate
from tests.train.conftest import TINY


def list_faults(**params: Any) -> list[tuple[str, str]]:
    """Where and what is wrong, as a template's author is told."""
    faults = find_faults(Config, params, noun="hyperparameter")
    return [(".".join(map(str, fault.names)), fault.message) for fault in faults]


# Defaults


def test_the_defaults_are_those_of_the_notebook() -> None:
    notebook = {
        "max_epoch": 4000,
        "max_step": None,
        "batch_size": 16,
        "train_set_size": 128,
        "optimizer": "adam",
        "lr": 1e-3,
        "weight_decay": 0.0,
        "grad_clip": None,
        "vae_channels": (64, 128, 256),
        "encoder_batch_norm": False,
        "latent_dim": 3,
        "rnn_width": 32,
        "rnn_min_context": 5,
        "loss_weights": {
            "self_recon": 1.31072,
            "predict": {"image": 2.62144, "z": 3.84e-3},
            "kld": 3.2e-7,
            "supervise": {"vae": {}},
            "sequence_energy": {},
        },
    }
    defaults = Config().model_dump(include=set(notebook), exclude_none=True)
    assert defaults == {k: v for k, v in notebook.items() if v is not None}


def test_the_default_data_are_sequences_of_20_frames_of_32_by_32_pixels() -> None:
    dataset = Config().dataset
    assert (dataset.kind, dataset.num_frames, dataset.resolution) == ("bounce", 20, 32)


def test_the_default_symmetry_transforms_nothing_in_a_tenth_of_the_steps() -> None:
    symmetry = Config().symmetry
    assert symmetry.identity_probability == 0.1
    (rule,) = symmetry.rules
    assert rule.slices == ("0:2",)
    assert rule.sample == (Translate(std=1.0), Rotate(reflections=True))


def test_the_defaults_make_a_whole_valid_config() -> None:
    assert Config.model_validate(Config().model_dump(mode="json")) == Config()


def test_a_config_survives_json() -> None:
    config = Config(**TINY)
    assert Config.model_validate(json.loads(config.model_dump_json())) == config


def test_every_hyperparameter_says_what_it_is() -> None:
    """Descriptions reach `hpcexp` help and the JSON schema of templates."""
    schema = Config.model_json_schema()
    objects = [schema, *schema["$defs"].values()]
    undescribed = [
        f"{o['title']}.{name}"
        for o in objects
        for name, field in o.get("properties", {}).items()
        if not {"anyOf", "oneOf"} & set(field)
        and "description" not in field
        and "$ref" not in field
        and name != "kind"
    ]
    assert undescribed == []


# Budgets


def test_an_epoch_counts_full_batches_only() -> None:
    config = Config(train_set_size=20, batch_size=6, max_epoch=10)
    assert (config.steps_per_epoch, config.num_steps, config.num_epochs) == (3, 30, 10)


def test_the_notebook_trains_8_steps_an_epoch() -> None:
    config = Config()
    assert (config.steps_per_epoch, config.num_steps, config.num_epochs) == (8, 32_000, 4000)


@pytest.mark.parametrize(
    ("max_step", "num_epochs"), [(1, 1), (3, 1), (4, 2), (30, 10), (31, 11), (3000, 1000)]
)
def test_a_budget_in_steps_replaces_the_epochs_and_may_end_within_one(
    max_step: int, num_epochs: int
) -> None:
    config = Config(train_set_size=20, batch_size=6, max_epoch=10, max_step=max_step)
    assert (config.num_steps, config.num_epochs) == (max_step, num_epochs)


def test_a_batch_may_be_the_whole_training_set() -> None:
    assert Config(train_set_size=16, batch_size=16).steps_per_epoch == 1


# Faults


def test_a_batch_larger_than_the_training_set_is_a_fault() -> None:
    ((_, message),) = list_faults(batch_size=129)
    assert "batch_size (129) is larger than train_set_size (128)" in message


def test_a_resolution_that_does_not_halve_evenly_is_a_fault() -> None:
    ((_, message),) = list_faults(dataset={"resolution": 36})
    assert "dataset.resolution (36) is not a multiple of 8" in message
    assert "each of the 3 vae_channels halves the image" in message


@pytest.mark.parametrize("min_context", [20, 21])
def test_a_context_that_leaves_no_frame_to_predict_is_a_fault(min_context: int) -> None:
    ((_, message),) = list_faults(rnn_min_context=min_context)
    assert f"rnn_min_context ({min_context}) leaves no frame to predict" in message
    assert "dataset.num_frames (20)" in message


def test_the_largest_context_leaves_one_frame() -> None:
    assert Config(rnn_min_context=19).rnn_min_context == 19


@pytest.mark.parametrize(
    ("params", "where"),
    [
        ({"batch_sise": 16}, "batch_sise"),
        ({"dataset": {"resolutoin": 32}}, "dataset.resolutoin"),
        ({"loss_weights": {"predict": {"x": 1.0}}}, "loss_weights.predict.x"),
        ({"symmetry": {"rules": [{"slices": ["0:2"]}]}}, "symmetry.rules.0"),
        ({"symmetry": {"identity_probability": 1.1}}, "symmetry.identity_probability"),
        ({"symmetry": {"K": 0}}, "symmetry.K"),
        ({"scheduled_sampling": {"unit": "minutes"}}, "scheduled_sampling.unit"),
        ({"scheduled_sampling": {"duration": -0.1}}, "scheduled_sampling.duration"),
        ({"loss_weights": {"kld": -1e-9}}, "loss_weights.kld"),
        ({"loss_weights": {"kld": float("nan")}}, "loss_weights.kld"),
        ({"lr": "1e-3"}, "lr"),
        ({"lr": 0.0}, "lr"),
        ({"lr": float("inf")}, "lr"),
        ({"grad_clip": 0.0}, "grad_clip"),
        ({"max_step": 0}, "max_step"),
        ({"batch_size": 16.5}, "batch_size"),
        ({"batch_size": True}, "batch_size"),
        ({"encoder_batch_norm": 1}, "encoder_batch_norm"),
        ({"latent_dim": 0}, "latent_dim"),
        ({"vae_channels": []}, "vae_channels"),
        ({"vae_channels": [8, 0]}, "vae_channels.1"),
        ({"vae_channels": [8, 16.0]}, "vae_channels.1"),
        ({"dataset": {"resolution": 4}}, "dataset.resolution"),
        ({"optimizer": "lion"}, "optimizer"),
    ],
)
def test_a_fault_is_found_where_it_is(params: dict[str, Any], where: str) -> None:
    assert [location for location, _ in list_faults(**params)] == [where]


def test_faults_of_several_fields_are_found_together() -> None:
    faults = list_faults(lr=-1.0, batch_size=0, symmetry={"draw_per": "frame"})
    assert {where for where, _ in faults} == {"lr", "batch_size", "symmetry.draw_per"}


def test_a_config_does_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Config().lr = 1.0  # type: ignore[misc]


def test_runs_are_judged_by_the_linear_projection_mse_below_one_fifth() -> None:
    assert PRIMARY_METRIC.name == "linear_projection_mse"
    assert PRIMARY_METRIC.success_below == 0.2
    assert PRIMARY_METRIC.cap == 1.0


# Rules across hyperparameters


TWO_BODY = {"kind": "two_body", "centre_of_mass": "random"}
SUPERVISED = {"supervise": {"vae": {"encode": 1.0}}}
RULE = {"slices": ["0:3"], "compose": ["rotate"]}


@pytest.mark.parametrize(
    ("params", "message"),
    [
        (
            {"symmetry": {"rules": [RULE]}, "latent_dim": 2},
            "latent_dim (2) is less than 3, up to which the slices of symmetry.rules reach",
        ),
        (
            {"symmetry": {"K": 3}},
            "batch_size (16) is not a multiple of symmetry.K (3); choose another, or "
            "K_mode: multiply",
        ),
        (
            {"symmetry": {"time": {"stretch": [1.0, 4.0]}}, "rnn_min_context": 18},
            "symmetry.time.stretch 4 leaves nothing to learn from: no frame falls into the "
            "RNN's predictions, 18 to 19; choose a ratio nearer to 1, or a smaller rnn_min_context",
        ),
        (
            {"dataset": TWO_BODY, "loss_weights": SUPERVISED},
            "latent_dim (3) is less than the 6 true coordinates that loss_weights.supervise needs",
        ),
        (
            {"decoder_output": "tanh", "image_loss": {"start": "mse", "end": "bce", "duration": 1}},
            "image_loss bce needs values from 0 to 1; choose decoder_output: sigmoid",
        ),
        (
            {"loss_weights": {"rnn_kld": 1.0}},
            "loss_weights.rnn_kld needs a distribution; set rnn_variance to learned or fixed",
        ),
        (
            {"loss_weights": {"sequence_energy": {"real": 1.0}}},
            "loss_weights.sequence_energy: give both real and fake, or neither; 0 leaves one "
            "out of the sum",
        ),
        (
            {"vae_kernel": [4, 4]},
            "vae_kernel has 2 values, vae_channels has 3; give one for each convolution, or one "
            "number for all",
        ),
        (
            {"vae_kernel": 1},
            "convolution 1 has kernel 1, stride 2, padding 1: vae_kernel must be at least "
            "vae_stride and at least twice vae_padding",
        ),
    ],
)
def test_values_that_do_not_fit_together_are_told_by_name(
    params: dict[str, Any], message: str
) -> None:
    assert [told for _, told in list_faults(**params)] == [message]


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (
            {"slices": ["0:2"]},
            "give one of sample (one of the transforms), compose (all of them) and in_turn "
            "(one for each augmentation)",
        ),
        (
            {"slices": ["0:2"], "sample": ["rotate"], "in_turn": ["rotate"]},
            "give one of sample (one of the transforms), compose (all of them) and in_turn "
            "(one for each augmentation)",
        ),
        (
            {"slices": ["0:2"], "in_turn": ["translate", "rotate"]},
            "K (1) is not a multiple of 2: each augmentation takes one of the 2 transforms of "
            "in_turn, and each of them is to come equally often",
        ),
        (
            {"slices": ["0:2", "2:5"], "sample": ["rotate"]},
            "slices 0:2, 2:5 differ in width; use two entries",
        ),
        (
            {"slices": ["2"], "sample": ["rotate"]},
            "'2' is not a slice of the latent; write one such as 0:2",
        ),
        (
            {"slices": ["1:3", "0:2"], "sample": ["rotate"]},
            "slices 0:2 and 1:3 overlap; use two entries, which are applied one after the other",
        ),
    ],
)
def test_a_rule_that_makes_no_sense_is_told(rule: dict[str, Any], message: str) -> None:
    assert [told for _, told in list_faults(symmetry={"rules": [rule]})] == [message]


def test_a_transform_goes_by_its_name_or_with_its_settings() -> None:
    rule = {"slices": ["0:2"], "sample": ["rotate", {"kind": "translate", "std": 2.0}]}
    config = Config.model_validate({"symmetry": {"rules": [rule]}})
    assert config.symmetry.rules[0].sample == (Rotate(), Translate(std=2.0))


@pytest.mark.parametrize(
    ("dataset", "coordinates"),
    [
        ({}, ("x", "y", "height")),
        ({"kind": "one_dim"}, ("x",)),
        ({"kind": "two_body"}, ("x_1", "y_1", "height_1")),
        (TWO_BODY, ("x_1", "y_1", "height_1", "x_2", "y_2", "height_2")),
    ],
)
def test_each_data_set_names_its_coordinates(
    dataset: dict[str, Any], coordinates: tuple[str, ...]
) -> None:
    config = Config.model_validate({"dataset": dataset, "latent_dim": 6})
    assert config.dataset.coordinates == coordinates
    assert config.metric_names == (
        "linear_projection_mse",
        *(f"linear_projection_mse.{name}" for name in coordinates),
    )


def test_supervision_of_x_and_y_leaves_out_every_height() -> None:
    changes = {"dataset": TWO_BODY, "latent_dim": 6, "supervise_coordinates": "xy"}
    assert Config.model_validate(changes).supervised_coordinates == (0, 1, 3, 4)


def test_a_run_may_be_stopped_where_it_skips_too_many_steps() -> None:
    rule = {"kind": "threshold", "metric": "skipped_steps", "split": "train", "above": 5}
    Config.model_validate({"stop": [rule], "on_divergence": "skip"})
    ((_, told),) = list_faults(stop=[rule])
    assert "train has no metric skipped_steps; it has: loss, " in told
