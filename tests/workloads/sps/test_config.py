from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from hpcexp.workloads.sps.config import PRIMARY_METRIC, Config
from tests.train.conftest import TINY


def list_faults(**params: Any) -> list[tuple[str, str]]:
    """Where and what is wrong, as pydantic says it."""
    with pytest.raises(ValidationError) as caught:
        Config.model_validate(params)
    return [(".".join(map(str, e["loc"])), e["msg"]) for e in caught.value.errors()]


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
        },
    }
    assert Config().model_dump(include=set(notebook)) == notebook


def test_the_default_data_are_sequences_of_20_frames_of_32_by_32_pixels() -> None:
    dataset = Config().dataset
    assert (dataset.kind, dataset.num_frames, dataset.resolution) == ("bounce", 20, 32)


def test_the_default_symmetry_transforms_nothing_in_a_tenth_of_the_steps() -> None:
    symmetry = Config().symmetry
    assert symmetry.kind == "translate_or_rotate"
    assert (symmetry.translate_std, symmetry.identity_probability) == (1.0, 0.1)


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
        for name, field in o["properties"].items()
        if "description" not in field and "$ref" not in field and name != "kind"
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
        ({"symmetry": {"kind": "rotate"}}, "symmetry.kind"),
        ({"symmetry": {"identity_probability": 1.1}}, "symmetry.identity_probability"),
        ({"symmetry": {"translate_std": -1.0}}, "symmetry.translate_std"),
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
        ({"latent_dim": 1}, "latent_dim"),
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
    faults = list_faults(lr=-1.0, batch_size=0, symmetry={"kind": "none"})
    assert {where for where, _ in faults} == {"lr", "batch_size", "symmetry.kind"}


def test_a_config_does_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Config().lr = 1.0  # type: ignore[misc]


def test_runs_are_judged_by_the_linear_projection_mse_below_one_fifth() -> None:
    assert PRIMARY_METRIC.name == "linear_projection_mse"
    assert PRIMARY_METRIC.success_below == 0.2
    assert PRIMARY_METRIC.cap == 1.0
