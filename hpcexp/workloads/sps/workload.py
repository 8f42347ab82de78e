"""The physical-symmetry workload: data, model, random numbers, schedules and metrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from hpcexp.train.config import TrainConfig
from hpcexp.train.schedule import get_value
from hpcexp.train.seeding import RandomStreams
from hpcexp.train.workload import Batch
from hpcexp.workloads.sps.cache import load_sequences
from hpcexp.workloads.sps.config import Config
from hpcexp.workloads.sps.linear_projection import measure_linear_projection
from hpcexp.workloads.sps.objective import LOSS_NAMES, Objective
from hpcexp.workloads.sps.symmetry import draw_maps

COORDINATES = ("x", "y", "height")
EVALUATED_AT_ONCE = 64  # sequences


def build(config: TrainConfig) -> SpsWorkload:
    """Build the workload of one configuration."""
    assert isinstance(config, Config)
    return SpsWorkload(config)


class SpsWorkload:
    """One configuration of self-supervised learning by physical symmetry."""

    loss_names = LOSS_NAMES
    metric_names = (
        "linear_projection_mse",
        *(f"linear_projection_mse.{c}" for c in COORDINATES),
    )

    def __init__(self, config: Config) -> None:
        self.config = config
        self.loss_weights = [
            config.loss_weights.self_recon,
            config.loss_weights.predict.image,
            config.loss_weights.predict.z,
            config.loss_weights.kld,
        ]

    def build_model(self) -> Objective:
        """Networks and losses, freshly initialised."""
        return Objective(self.config)

    def load_data(self) -> dict[str, dict[str, Tensor]]:
        """Each split's `images` (N, T, C, H, W), uint8, and `positions` (N, T, 3) in metres."""
        return {
            "train": self._load_split("train", self.config.train_set_size),
            "validate": self._load_split("validate", self.config.validate_set_size),
        }

    def _load_split(self, split: Literal["train", "validate"], size: int) -> dict[str, Tensor]:
        sequences = load_sequences(
            self.config.dataset,  # type: ignore[arg-type]
            split=split,
            num_sequences=size,
        )
        return {
            "images": torch.from_numpy(sequences.images),
            "positions": torch.from_numpy(sequences.positions),
        }

    def draw(self, streams: RandomStreams, *, block: int, num_steps: int) -> dict[str, Tensor]:
        """Posterior noise, symmetry transforms and teacher-forcing coins of a block of steps."""
        config = self.config
        maps = draw_maps(
            config.symmetry,
            streams.generator("transform", block),
            num_steps=num_steps,
            latent_dim=config.latent_dim,
        )
        num_frames = config.dataset.num_frames
        shape = (num_steps, config.batch_size, num_frames, config.latent_dim)
        return {
            "posterior": torch.randn(shape, generator=streams.generator("posterior", block)),
            "matrix": maps.matrix_SZZ,
            "inverse": maps.inverse_SZZ,
            "offset": maps.offset_SZ,
            "teacher_forcing": torch.rand(
                num_steps, num_frames, generator=streams.generator("teacher_forcing", block)
            ),
        }

    def schedule(self, step: int) -> dict[str, float | list[float]]:
        """The loss weights and the probability of teacher forcing."""
        return {
            "loss_weights": [get_value(w, step, budget=self.config) for w in self.loss_weights],
            "teacher_forcing": self._teacher_forcing(step),
        }

    def _teacher_forcing(self, step: int) -> float:
        return self.config.scheduled_sampling.probability(step, budget=self.config)

    def evaluate(
        self, model: nn.Module, data: Batch, streams: RandomStreams
    ) -> Mapping[str, Tensor]:
        """Losses with free-running prediction and no symmetry, and linear projection MSE."""
        assert isinstance(model, Objective)
        noise_NTZ = self._draw_validation_noise(data, streams)
        num_sequences = len(data["images"])
        losses: list[Tensor] = []
        means: list[Tensor] = []
        for start in range(0, num_sequences, EVALUATED_AT_ONCE):
            part = slice(start, start + EVALUATED_AT_ONCE)
            batch = {"images": data["images"][part]}
            terms, mean_BTZ = self._measure(model, batch, noise_NTZ[part])
            losses.append(terms * (len(batch["images"]) / num_sequences))
            means.append(mean_BTZ)
        residuals = measure_linear_projection(
            torch.cat(means).flatten(0, 1), data["positions"].flatten(0, 1)
        )
        terms = torch.stack(losses).sum(dim=0)
        values = torch.cat([terms.to(residuals.dtype), residuals.mean().reshape(1), residuals])
        return dict(zip((*self.loss_names, *self.metric_names), values, strict=True))

    def _measure(self, model: Objective, batch: Batch, noise_BTZ: Tensor) -> tuple[Tensor, Tensor]:
        latent_dim = self.config.latent_dim
        identity = torch.eye(latent_dim, dtype=noise_BTZ.dtype, device=noise_BTZ.device)
        noise = {
            "posterior": noise_BTZ,
            "matrix": identity,
            "inverse": identity,
            "offset": identity.new_zeros(latent_dim),
            "teacher_forcing": identity.new_zeros(self.config.dataset.num_frames),
        }
        return model.measure(batch, noise, {"teacher_forcing": identity.new_zeros(())})

    def _draw_validation_noise(self, data: Batch, streams: RandomStreams) -> Tensor:
        shape = (*data["positions"].shape[:2], self.config.latent_dim)
        drawn = torch.randn(shape, generator=streams.generator("validate"))
        return drawn.to(data["positions"])
