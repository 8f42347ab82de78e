from __future__ import annotations

import pytest
import torch
from torch import Tensor

from hpcexp.workloads.multitask.config.datasets import SYNTHETIC_TASKS, SyntheticDataset
from hpcexp.workloads.multitask.synthetic import CHUNK, draw_samples

TASKS = tuple(SYNTHETIC_TASKS)


def draw(num_samples: int, *, split: str = "train", seed: int = 0) -> dict[str, Tensor]:
    settings = SyntheticDataset(seed=seed)
    return draw_samples(settings, split=split, num_samples=num_samples, tasks=TASKS)


@pytest.fixture(scope="module")
def many() -> dict[str, Tensor]:
    return draw(4000)


@pytest.fixture(scope="module")
def labels(many: dict[str, Tensor]) -> dict[str, Tensor]:
    return dict(zip(TASKS, many["labels"].T, strict=True))


def test_the_same_seed_repeats_and_another_seed_or_split_differs() -> None:
    first = draw(300)
    assert all(torch.equal(first[k], v) for k, v in draw(300).items())
    for other in (draw(300, seed=1), draw(300, split="validate")):
        assert not torch.equal(first["video"], other["video"])
        assert not torch.equal(first["labels"], other["labels"])


def test_a_larger_set_begins_with_the_smaller_one() -> None:
    small, large = draw(10), draw(CHUNK + 10)
    assert all(torch.equal(large[k][:10], v) for k, v in small.items())
    assert len(large["labels"]) == CHUNK + 10


def test_lengths_are_uniform_and_what_lies_behind_them_is_zero(many: dict[str, Tensor]) -> None:
    for name, shortest, longest in (("text", 4, 24), ("video", 3, 12), ("audio", 3, 16)):
        length = many[f"{name}_length"]
        assert [length.min().item(), length.max().item()] == [shortest, longest]
        assert length.double().mean().item() == pytest.approx((shortest + longest) / 2, rel=0.03)
        assert many[name].shape[1] == longest
        padding = torch.arange(longest) >= length[:, None]
        assert (many[name][padding] == 0).all()
        assert (many[name][~padding] != 0).any()


def test_labels_are_as_frequent_as_documented(labels: dict[str, Tensor]) -> None:
    shares = {name: labels[name].double().mean().item() for name in TASKS if name != "scaled"}
    for name in ("easy", "related", "noisy", "xor", "junk", "anti"):
        assert shares[name] == pytest.approx(0.5, abs=0.03), name
    assert shares["rare"] == pytest.approx(0.06, abs=0.015)
    assert labels["scaled"].std().item() == pytest.approx(100, rel=0.05)


def test_tasks_are_related_as_their_names_say(labels: dict[str, Tensor]) -> None:
    easy = labels["easy"]
    assert torch.equal(labels["anti"], 1 - easy)
    assert (labels["noisy"] == easy).double().mean().item() == pytest.approx(0.75, abs=0.03)
    # The angle between 0.9 v0 + 0.436 v1 and v0 is 25.8 degrees.
    assert (labels["related"] == easy).double().mean().item() == pytest.approx(0.857, abs=0.03)
    for name in ("xor", "junk", "rare"):
        assert (labels[name] == easy).double().mean().item() == pytest.approx(0.5, abs=0.04)


def fit_linear(features: Tensor, target: Tensor) -> float:
    """R² of a least-squares fit, on the second half of the rows."""
    features = torch.cat([features, torch.ones(len(features), 1)], dim=1)
    half = len(features) // 2
    solution = torch.linalg.lstsq(features[:half], target[:half, None]).solution
    error = (features[half:] @ solution)[:, 0] - target[half:]
    return 1 - float(error.var() / target[half:].var())


def test_each_modality_holds_what_its_tasks_need(
    many: dict[str, Tensor], labels: dict[str, Tensor]
) -> None:
    mean = {n: many[n].sum(dim=1) / many[f"{n}_length"][:, None] for n in ("video", "audio")}
    assert fit_linear(mean["audio"], labels["scaled"]) > 0.6
    assert abs(fit_linear(mean["video"], labels["scaled"])) < 0.05
    assert fit_linear(mean["video"], labels["easy"]) > 0.4
    assert abs(fit_linear(mean["audio"], labels["easy"])) < 0.05


def test_xor_is_in_no_modality_alone_but_in_text_and_audio_together(
    many: dict[str, Tensor], labels: dict[str, Tensor]
) -> None:
    """Tokens of dimension 2 (the first of text's own) are 18 to 25, in order of their level."""
    text, length = many["text"], many["text_length"]
    is_own = (text >= 18) & (text < 26)
    level = ((text - 21.5) * is_own).sum(dim=1) / length
    audio = many["audio"].sum(dim=1) / many["audio_length"][:, None]
    for alone in (level[:, None], audio):
        assert abs(fit_linear(alone, labels["xor"])) < 0.05
    assert fit_linear(level[:, None] * audio, labels["xor"]) > 0.1


def test_tokens_are_of_the_vocabulary_and_most_carry_something(many: dict[str, Tensor]) -> None:
    text = many["text"]
    is_there = torch.arange(24) < many["text_length"][:, None]
    tokens = text[is_there]
    assert [tokens.min().item(), tokens.max().item()] == [2, 63]
    assert (tokens < 42).double().mean().item() == pytest.approx(0.6, abs=0.02)


def test_only_the_labels_that_are_asked_for_come_in_that_order() -> None:
    settings = SyntheticDataset()
    some = draw_samples(settings, split="train", num_samples=50, tasks=("junk", "easy"))
    everything = draw(50)["labels"]
    expected = everything[:, [TASKS.index("junk"), TASKS.index("easy")]]
    assert torch.equal(some["labels"], expected)
