from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from hpcexp.workloads.multitask.config import Config
from tests.workloads.multitask.conftest import make_config

FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"tasks": ["easy", "hard"]}, "tasks: there is no task hard; there are: easy, related"),
    ({"tasks": ["easy", "easy"]}, "names a task twice"),
    ({"weights": {"junc": 0.5}}, "weights: there is no task junc; there are: easy"),
    ({"rows": "dds", "batch_size": 5}, "need a batch_size of at least 6; it is 5"),
    ({"mixture": "dds"}, "mixture dds needs sources"),
    ({"sources": {"a": {"size": 30, "tasks": ["easy"]}}}, "the sizes of sources add up to 30"),
    (
        {"sources": {"a": {"size": 32, "tasks": ["easy", "xor"]}}},
        "none of them has labels of task scaled",
    ),
    (
        {"sources": {"a": {"size": 32, "tasks": ["eazy"]}}},
        "sources.a.tasks: there is no task eazy",
    ),
    ({"batch_size": 1, "model": {"head_norm": "batch"}}, "needs at least two rows"),
    ({"model": {"width": 10, "num_heads": 4}}, "model.width \\(10\\) is not a multiple"),
    (
        {"modalities": {"mode": "modular", "phases": [["text"], ["video"]]}},
        "there are 2 modalities.phases; choose mask or freeze",
    ),
    ({"dataset": {"min_lengths": [9, 2, 2]}}, "dataset.min_lengths of text \\(9\\) is more"),
    (
        {"order": "curriculum", "curriculum": {"probe": 0.5, "pretrain": 0.6}},
        "leave a part for what follows",
    ),
    ({"order": "curriculum", "eval_every": 3}, "ends before the first evaluation"),
    ({"weights": {"easy": 0.0}}, "greater than 0"),
]


@pytest.mark.parametrize(("changes", "message"), FAULTS, ids=[m[:30] for _, m in FAULTS])
def test_what_does_not_fit_together_is_refused_with_the_values_found(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        make_config(**changes)


def test_a_config_goes_through_json_unchanged() -> None:
    config = make_config(
        order="dsg",
        weights={"easy": 0.5},
        sources={"a": {"size": 32, "tasks": ["easy", "xor", "scaled"]}},
        modalities={"phases": [["text"], ["video", "audio"]]},
    )
    assert Config.model_validate_json(config.model_dump_json()) == config


def test_metrics_are_those_of_the_tasks_that_are_trained() -> None:
    names = make_config(tasks=["easy", "scaled"]).metric_names
    assert names == (
        *("mean_error", "error.easy", "error.scaled"),
        *("accuracy.easy", "auc.easy", "f1.easy", "r2.scaled"),
    )
    measured = make_config(tasks=["easy", "scaled"], affinity={"measure": True}).metric_names
    assert [n for n in measured if "affinity" in n] == [
        f"affinity.{i}.{j}" for i in ("easy", "scaled") for j in ("easy", "scaled")
    ]


@pytest.mark.parametrize(
    ("modalities", "used", "built"),
    [
        ({}, "tva", "tva"),
        ({"phases": [["video"]]}, "v", "tva"),
        ({"phases": [["audio"], ["text"]]}, "ta", "tva"),
        ({"mode": "modular", "phases": [["video"]]}, "v", "v"),
        ({"mode": "freeze", "phases": [["video"]]}, "tva", "tva"),
    ],
)
def test_modalities_are_read_and_built_as_the_mode_says(
    modalities: dict[str, Any], used: str, built: str
) -> None:
    settings = make_config(modalities=modalities).modalities
    assert "".join(m[0] for m in settings.used) == used
    assert "".join(m[0] for m in settings.built) == built


def test_what_cannot_share_a_program_says_so() -> None:
    assert make_config(weighting="gradnorm", order="dsg", rows="dds").supports_lanes
    assert not make_config(combine="pcgrad").supports_lanes
    assert (
        make_config(combine="pcgrad").lane_obstacle == "combine pcgrad cannot be mapped over lanes"
    )


def test_budgets_may_differ_between_lanes_unless_a_curriculum_remembers_other_evaluations() -> None:
    together = {make_config(max_epoch=count).lane_key for count in (4, 40)}
    assert len(together) == 1
    curriculum = {"order": "curriculum", "curriculum": {"probe": 0.5}}
    keys = {make_config(**curriculum, max_epoch=count).lane_key for count in (4, 40)}
    assert len(keys) == 2
