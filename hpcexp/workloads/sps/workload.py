"""The physical-symmetry workload: data, model, random numbers, schedules and metrics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from hpcexp.train.config import TrainConfig
from hpcexp.train.debugging import DebugFacts
from hpcexp.train.inspection import Findings, Request
from hpcexp.train.schedule import Oscillation, Ramp, get_value
from hpcexp.train.seeding import RandomStreams
from hpcexp.train.workload import Batch
from hpcexp.workloads.sps import inspection
from hpcexp.workloads.sps.cache import load_sequences
from hpcexp.workloads.sps.config import Config
from hpcexp.workloads.sps.config.inspection import Inspection
from hpcexp.workloads.sps.config.losses import ImageLossBlend
from hpcexp.workloads.sps.dataset import Split
from hpcexp.workloads.sps.debugging import describe_for_debugging
from hpcexp.workloads.sps.dynamics import list_rnn_noise
from hpcexp.workloads.sps.linear_projection import measure_linear_projection
from hpcexp.workloads.sps.objective import Objective
from hpcexp.workloads.sps.symmetry import LatentSymmetry, NoSymmetry

EVALUATED_AT_ONCE = 64  # sequences
IMAGE_LOSS_AT_END = "image_loss"


def build(config: TrainConfig) -> SpsWorkload:
    """Build the workload of one configuration."""
    assert isinstance(config, Config)
    return SpsWorkload(config)


class SpsWorkload:
    """One configuration of self-supervised learning by physical symmetry."""

    inspection_kinds = tuple(inspection.KINDS)

    def __init__(self, config: Config) -> None:
        self.config = config
        self.loss_names = config.loss_names
        self.metric_names = config.metric_names
        weights = config.loss_weights
        given: dict[str, float | Ramp | Oscillation | None] = {
            "self_recon": weights.self_recon,
            "predict.image": weights.predict.image,
            "predict.z": weights.predict.z,
            "kld": weights.kld,
            **config.optional_weights,
        }
        # What is not given is not among the names.
        self.loss_weights = [given[name] or 0.0 for name in config.loss_names]

    def build_model(self) -> Objective:
        """Networks and losses, freshly initialised."""
        return Objective(self.config)

    def load_data(self) -> dict[str, dict[str, Tensor]]:
        """Each split's `images` (N, T, C, H, W), uint8, and `positions` (N, T, D) in metres.

        Where the model is supervised also `truth` (N, T, D): the positions, standardised by
        the mean and the standard deviation of the training set.
        """
        data = {
            "train": self._load_split("train", self.config.train_set_size),
            "validate": self._load_split("validate", self.config.validate_set_size),
        }
        if self.config.is_supervised:
            flat = data["train"]["positions"].flatten(0, 1)
            mean, std = flat.mean(dim=0), flat.std(dim=0)
            for split in data.values():
                split["truth"] = (split["positions"] - mean) / std
        return data

    def _load_split(self, split: Split, size: int) -> dict[str, Tensor]:
        sequences = load_sequences(self.config.dataset, split=split, num_sequences=size)
        return {
            "images": torch.from_numpy(sequences.images),
            "positions": torch.from_numpy(sequences.positions),
        }

    def draw(self, streams: RandomStreams, *, block: int, num_steps: int) -> dict[str, Tensor]:
        """All random numbers of a block of steps, each from a stream of its own."""
        config, symmetry = self.config, self._make_symmetry(self.config.batch_size)
        num_frames = config.dataset.num_frames
        latents = (num_frames, config.latent_dim)
        normal: dict[str, tuple[int, ...]] = {}
        uniform: dict[str, tuple[int, ...]] = {"teacher_forcing": (num_frames,)}
        if config.variational:
            normal["posterior"] = (config.batch_size, *latents)
        if "sequence_energy.real" in config.loss_names:
            normal["energy"] = (symmetry.num_sequences, *latents)
        rnn_noise = list_rnn_noise(config, num_sequences=symmetry.num_sequences)
        for name, (kind, shape) in rnn_noise.items():
            (normal if kind == "normal" else uniform)[name] = shape
        return {
            **symmetry.draw(streams.generator("transform", block), num_steps=num_steps),
            **{
                name: torch.randn(num_steps, *shape, generator=streams.generator(name, block))
                for name, shape in normal.items()
            },
            **{
                name: torch.rand(num_steps, *shape, generator=streams.generator(name, block))
                for name, shape in uniform.items()
            },
        }

    def schedule(self, step: int) -> dict[str, float | list[float]]:
        """The loss weights, the probability of teacher forcing, and the blend of image losses."""
        config = self.config
        values: dict[str, float | list[float]] = {
            "loss_weights": [get_value(w, step, budget=config) for w in self.loss_weights],
            "teacher_forcing": config.scheduled_sampling.probability(step, budget=config),
        }
        blend = config.image_loss
        if isinstance(blend, ImageLossBlend) and len(config.image_distances) > 1:
            ramp = Ramp(end=1.0, begin=blend.begin, duration=blend.duration, unit=blend.unit)
            part = ramp.value(step, budget=config)
            values["image_loss"] = [1 - part, part]
        return values

    def evaluate(
        self, model: nn.Module, data: Batch, streams: RandomStreams
    ) -> Mapping[str, Tensor]:
        """Losses with free-running prediction and no symmetry, and linear projection MSE.

        The one term that is about a symmetry has transforms that are the same at every
        evaluation.
        """
        return self.evaluate_drawn(model, data, self.draw_evaluation(data, streams))

    def draw_evaluation(self, data: Batch, streams: RandomStreams) -> dict[str, Tensor]:
        """Noise of a whole split, and the blend of image losses at the end of training."""
        like = data["positions"]
        at_end = self.schedule(self.config.num_steps).get("image_loss", [1.0])
        noise = self._draw_validation_noise(data, streams)
        return {**noise, IMAGE_LOSS_AT_END: like.new_tensor(at_end)}

    def evaluate_drawn(
        self, model: nn.Module, data: Batch, noise: Mapping[str, Tensor]
    ) -> Mapping[str, Tensor]:
        """The same of what was drawn."""
        assert isinstance(model, Objective)
        of_sequences = {k: v for k, v in noise.items() if k != IMAGE_LOSS_AT_END}
        num_sequences = len(data["images"])
        losses: list[Tensor] = []
        means: list[Tensor] = []
        for start in range(0, num_sequences, EVALUATED_AT_ONCE):
            part = slice(start, start + EVALUATED_AT_ONCE)
            batch = {k: v[part] for k, v in data.items() if k in ("images", "truth")}
            terms, mean_BTZ = self._measure(
                model,
                batch,
                {name: tensor[part] for name, tensor in of_sequences.items()},
                image_loss=noise[IMAGE_LOSS_AT_END],
            )
            losses.append(terms * (len(batch["images"]) / num_sequences))
            means.append(mean_BTZ)
        residuals = measure_linear_projection(
            torch.cat(means).flatten(0, 1), data["positions"].flatten(0, 1)
        )
        terms = torch.stack(losses).sum(dim=0)
        values = torch.cat([terms.to(residuals.dtype), residuals.mean().reshape(1), residuals])
        return dict(zip((*self.loss_names, *self.metric_names), values, strict=True))

    def debug_facts(self) -> DebugFacts:
        """What `hpcexp debug` can use."""
        images = self._load_split("train", min(self.config.train_set_size, EVALUATED_AT_ONCE))
        first = [get_value(weight, 0, budget=self.config) for weight in self.loss_weights]
        return describe_for_debugging(
            self.config,
            images["images"],
            weights=dict(zip(self.loss_names, first, strict=True)),
        )

    @property
    def inspection_settings(self) -> Inspection:
        """How the model is looked into while it trains."""
        return self.config.inspect

    def check_request(self, request: Request) -> None:
        """Raise UsageError for what cannot be shown."""
        inspection.check_request(self.config, request)

    def inspect(self, model: nn.Module, request: Request) -> Iterator[Findings]:
        """Findings of each kind that is asked for; nothing is random."""
        assert isinstance(model, Objective)
        yield from inspection.inspect(model, request)

    def _measure(
        self, model: Objective, batch: Batch, noise: Mapping[str, Tensor], *, image_loss: Tensor
    ) -> tuple[Tensor, Tensor]:
        like = next(model.parameters())
        return model.measure(
            batch,
            {**noise, "teacher_forcing": like.new_zeros(self.config.dataset.num_frames)},
            {"teacher_forcing": like.new_zeros(()), "image_loss": image_loss},
            symmetry=NoSymmetry(min_context=self.config.rnn_min_context),
            consistency=self._make_validation_symmetry(len(batch["images"])),
        )

    def _draw_validation_noise(self, data: Batch, streams: RandomStreams) -> dict[str, Tensor]:
        """Noise of a whole split, the first dimension its sequences."""
        num_sequences, num_frames = data["positions"].shape[:2]
        shape = (num_sequences, num_frames, self.config.latent_dim)
        noise = {}
        if self.config.variational:
            noise["posterior"] = torch.randn(shape, generator=streams.generator("validate"))
        if "sequence_energy.real" in self.loss_names:
            noise["energy"] = torch.randn(shape, generator=streams.generator("validate.energy"))
        if "symmetry_consistency" in self.loss_names:
            symmetry = self._make_validation_symmetry(num_sequences)
            drawn = symmetry.draw(streams.generator("validate.transform"), num_steps=1)
            noise |= {name: tensor[0] for name, tensor in drawn.items()}
        like = data["positions"]
        return {
            k: v.to(like.device, like.dtype if v.is_floating_point() else None)
            for k, v in noise.items()
        }

    def _make_symmetry(self, batch_size: int) -> LatentSymmetry:
        return LatentSymmetry(
            self.config.symmetry,
            latent_dim=self.config.latent_dim,
            batch_size=batch_size,
            num_frames=self.config.dataset.num_frames,
            min_context=self.config.rnn_min_context,
        )

    def _make_validation_symmetry(self, num_sequences: int) -> LatentSymmetry:
        """A transform for each sequence, never the identity."""
        changes = {"draw_per": "sequence", "K": 1, "identity_probability": 0.0}
        return LatentSymmetry(
            self.config.symmetry.model_copy(update=changes),
            latent_dim=self.config.latent_dim,
            batch_size=num_sequences,
            num_frames=self.config.dataset.num_frames,
            min_context=self.config.rnn_min_context,
        )
