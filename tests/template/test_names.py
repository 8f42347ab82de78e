"""Did you mean ...?"""

from __future__ import annotations

import pytest

from hpcexp.template.names import describe_alternatives, suggest

KNOWN = ["lr", "batch_size", "vae_channels", "loss_weights", "loss_weights.predict",
         "loss_weights.predict.z", "loss_weights.predict.image", "max_epoch"]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("batch_sise", "batch_size"),
        ("batch-size", "batch_size"),
        ("BATCH_SIZE", "batch_size"),
        ("channels", "vae_channels"),
        ("z", "loss_weights.predict.z"),
        ("predict.z", "loss_weights.predict.z"),
        ("loss_weight.predict.z", "loss_weights.predict.z"),
        ("loss_weights.z", "loss_weights.predict.z"),
        ("epoch", "max_epoch"),
    ],
)
def test_the_nearest_name_comes_first(name: str, nearest: str) -> None:
    assert suggest(name, KNOWN)[0] == nearest


def test_a_name_in_other_words_is_found_by_its_description() -> None:
    assert suggest("learning_rate", KNOWN, meanings={"lr": "Learning rate."}) == ["lr"]


def test_nothing_near_is_no_suggestion() -> None:
    assert suggest("colour", KNOWN) == []


def test_without_a_suggestion_the_names_are_listed() -> None:
    assert describe_alternatives("colour", ["a", "b"]) == "; there are: a, b"
    assert describe_alternatives("colour", []) == ""
    assert describe_alternatives("x", [f"name{i}" for i in range(40)]).endswith("name11, ...")
