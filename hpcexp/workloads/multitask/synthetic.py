"""The synthetic multimodal data set: eight tasks whose structure is known.

Latents z_c (shared by all modalities, 2 numbers), z_t, z_v and z_a (each modality's own, 3
numbers) are standard normal. Video and audio show a linear mix of z_c and their own in half of
their time steps, under noise; text shows noisy values of z_c and z_t, in 8 levels, as tokens
among distractors. `docs/multitask.md` says what each task asks.

Samples are drawn in chunks from generators of their own: a larger data set begins with the
samples of a smaller one.

Shapes: N samples, T time steps, F features.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from hpcexp.train.seeding import derive_seed
from hpcexp.workloads.multitask.config.datasets import MODALITIES, SyntheticDataset

CHUNK = 256
NUM_SHARED, NUM_OWN = 2, 3
FIRST_TOKEN, NUM_LEVELS = 2, 8
"""Tokens 0 and 1 are kept for padding and for what is unknown."""
INFORMATIVE = 0.6  # of the tokens
FEATURE_NOISE, TOKEN_NOISE = 0.5, 0.3
FLIPPED = 0.25
RARE_THRESHOLD = 1.555  # of a standard normal: 6 % are above
SCALE = 100.0


def draw_samples(
    settings: SyntheticDataset, *, split: str, num_samples: int, tasks: Sequence[str]
) -> dict[str, Tensor]:
    """Features, lengths and labels of the first samples of a split.

    Returns text (N, T) int64, video and audio (N, T, F), each with its `_length` (N,), and
    `labels` (N, len(tasks)).
    """
    mixings = _draw_world(settings)
    chunks = [
        _draw_chunk(settings, mixings, seed=derive_seed(settings.seed, split, index))
        for index in range(-(-num_samples // CHUNK))
    ]
    data = {k: torch.cat([c[k] for c in chunks])[:num_samples] for k in chunks[0]}
    labels = {name: data.pop(f"label.{name}") for name in settings.task_kinds}
    return {**data, "labels": torch.stack([labels[name] for name in tasks], dim=1)}


def _draw_world(settings: SyntheticDataset) -> list[Tensor]:
    """How video and audio mix the latents they show: matrices (5, F)."""
    generator = torch.Generator().manual_seed(derive_seed(settings.seed, "world"))
    num_latents = NUM_SHARED + NUM_OWN
    return [
        torch.randn(num_latents, width, generator=generator) / math.sqrt(num_latents)
        for width in settings.feature_widths
    ]


def _draw_chunk(
    settings: SyntheticDataset, mixings: Sequence[Tensor], *, seed: int
) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shared = torch.randn(CHUNK, NUM_SHARED, generator=generator)
    own: dict[str, Tensor] = {
        name: torch.randn(CHUNK, NUM_OWN, generator=generator) for name in MODALITIES
    }
    data: dict[str, Tensor] = {}
    limits = zip(MODALITIES, settings.min_lengths, settings.max_lengths, strict=True)
    for index, (name, shortest, longest) in enumerate(limits):
        latents = torch.cat([shared, own[name]], dim=1)
        if name == "text":
            shown = _draw_tokens(latents, longest, settings.vocabulary, generator)
        else:
            shown = _draw_features(latents, mixings[index - 1], longest, generator)
        length = torch.randint(shortest, longest + 1, (CHUNK,), generator=generator)
        is_there = torch.arange(longest) < length[:, None]
        data[name] = shown * is_there.reshape(*is_there.shape, *(1,) * (shown.dim() - 2))
        data[f"{name}_length"] = length
    return data | _label(own, generator)


def _draw_tokens(
    latents: Tensor, num_steps: int, vocabulary: int, generator: torch.Generator
) -> Tensor:
    num_samples, num_latents = latents.shape
    shape = (num_samples, num_steps)
    which = torch.randint(num_latents, shape, generator=generator)
    value = latents.gather(1, which) + TOKEN_NOISE * torch.randn(shape, generator=generator)
    # Quantiles of a normal distribution: every level is as frequent.
    spread = math.sqrt(1 + TOKEN_NOISE**2)
    quantiles = torch.arange(1, NUM_LEVELS) / NUM_LEVELS
    level = torch.bucketize(value, spread * torch.special.ndtri(quantiles))
    informative = FIRST_TOKEN + NUM_LEVELS * which + level
    first_distractor = FIRST_TOKEN + NUM_LEVELS * num_latents
    distractor = torch.randint(first_distractor, vocabulary, shape, generator=generator)
    is_informative = torch.rand(shape, generator=generator) < INFORMATIVE
    return torch.where(is_informative, informative, distractor)


def _draw_features(
    latents: Tensor, mixing: Tensor, num_steps: int, generator: torch.Generator
) -> Tensor:
    num_samples, width = len(latents), mixing.shape[1]
    noise = FEATURE_NOISE * torch.randn(num_samples, num_steps, width, generator=generator)
    is_shown = torch.rand(num_samples, num_steps, 1, generator=generator) < 0.5
    return noise + is_shown * (latents @ mixing)[:, None]


def _label(own: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
    """The labels of all tasks, floating-point."""
    text, video, audio = (own[name] for name in MODALITIES)
    easy = video[:, 0] > 0
    is_flipped = torch.rand(len(easy), generator=generator) < FLIPPED
    coin = torch.rand(len(easy), generator=generator) < 0.5
    labels = {
        "easy": easy,
        "related": 0.9 * video[:, 0] + 0.436 * video[:, 1] > 0,
        "noisy": easy ^ is_flipped,
        "xor": text[:, 0] * audio[:, 0] > 0,
        "rare": audio[:, 1] > RARE_THRESHOLD,
        "scaled": SCALE * audio[:, 0],
        "junk": coin,
        "anti": ~easy,
    }
    return {f"label.{name}": label.to(torch.float32) for name, label in labels.items()}
