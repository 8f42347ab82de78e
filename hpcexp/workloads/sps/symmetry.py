"""Symmetry transforms of the latent as affine maps: z -> A z + b.

Because every transform is a matrix and a vector, which transform a step uses is data and
not a branch: runs with other symmetries are lanes of one program.

Shapes: S steps, A instances of the transform within a step, B sequences of a batch, N
sequences that the RNN sees (B, or K B where each is augmented K times), T frames, P
predicted frames, Z latent dimensions, n dimensions of a slice.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from hpcexp.workloads.sps.config.symmetry import Rotate, SliceSet, Symmetry, Transform, Translate
from hpcexp.workloads.sps.haar import draw_rotations
from hpcexp.workloads.sps.time_symmetry import draw_variants, make_time_maps

Noise = Mapping[str, Tensor]


class AffineMaps(NamedTuple):
    """Invertible maps on latents of Z dimensions: (count, Z, Z), (count, Z, Z), (count, Z)."""

    matrix: Tensor
    inverse: Tensor
    offset: Tensor


class LatentSymmetry:
    """Draws the transforms of steps, applies them to latents and undoes them on predictions."""

    def __init__(
        self,
        symmetry: Symmetry,
        *,
        latent_dim: int,
        batch_size: int,
        num_frames: int,
        min_context: int,
    ) -> None:
        self.symmetry, self.latent_dim, self.min_context = symmetry, latent_dim, min_context
        self.copies = symmetry.K if symmetry.K_mode == "multiply" else 1
        self.num_sequences = batch_size * self.copies
        per_sequence = symmetry.draw_per == "sequence"
        self.num_instances = self.num_sequences if per_sequence else symmetry.K
        self.has_time = not symmetry.time.is_trivial
        self.time_maps = (
            make_time_maps(symmetry.time, num_frames=num_frames, min_context=min_context)
            if self.has_time
            else None
        )

    def draw(self, generator: torch.Generator, *, num_steps: int) -> dict[str, Tensor]:
        """The transforms of `num_steps` steps; first dimensions (S, A)."""
        count = num_steps * self.num_instances
        is_identity = _uniform(count, generator) < self.symmetry.identity_probability
        maps = draw_maps(
            self.symmetry.rules,
            generator,
            is_identity=is_identity,
            latent_dim=self.latent_dim,
            turns=self._list_turns().repeat(num_steps),
        )
        drawn = {f"symmetry.{name}": tensor for name, tensor in maps._asdict().items()}
        if self.time_maps is not None:
            variant = draw_variants(self.symmetry.time, generator, is_identity=is_identity)
            play, play_back, frames, is_reached = (part[variant] for part in self.time_maps)
            drawn["symmetry.time_in"], drawn["symmetry.time_out"] = play, play_back
            drawn["symmetry.time_index"], drawn["symmetry.time_mask"] = frames, is_reached
        return {k: v.unflatten(0, (num_steps, self.num_instances)) for k, v in drawn.items()}

    def transform(self, z_BTZ: Tensor, noise: Noise) -> Tensor:
        """What the RNN reads, (N, T, Z); with K_mode multiply all of the batch K times."""
        z_NTZ = self.copy(z_BTZ)
        matrix, offset = self._select(noise, "matrix"), self._select(noise, "offset")
        if offset.dim() == 1:
            transformed = apply_map(z_NTZ, matrix, offset)
        else:
            transformed = z_NTZ @ matrix.transpose(-1, -2) + offset[:, None]
        return self._select(noise, "time_in") @ transformed if self.has_time else transformed

    def undo(self, predicted: Tensor, noise: Noise) -> Tensor:
        """Predictions (..., N, P, Z) as they would be without the transform."""
        inverse, offset = self._select(noise, "inverse"), self._select(noise, "offset")
        if offset.dim() == 1:
            undone = undo_map(predicted, inverse, offset)
        else:
            undone = (predicted - offset[:, None]) @ inverse.transpose(-1, -2)
        return self._select(noise, "time_out") @ undone if self.has_time else undone

    def select_targets(self, values_BT: Tensor, noise: Noise) -> Tensor:
        """What each undone prediction is compared with, (N, P, ...), out of values (B, T, ...)."""
        if not self.has_time:
            return self.copy(values_BT[:, self.min_context :])
        return self.select_frames(self.copy(values_BT), noise)

    def select_frames(self, values_NT: Tensor, noise: Noise) -> Tensor:
        """`select_targets` of values that are copied already, (N, T, ...)."""
        if not self.has_time:
            return values_NT[:, self.min_context :]
        index = self._expand(noise["symmetry.time_index"])
        index = index.broadcast_to(values_NT.shape[0], index.shape[-1])
        rest = values_NT.shape[2:]
        index = index.reshape(*index.shape, *(1 for _ in rest)).expand(*index.shape, *rest)
        return values_NT.gather(1, index)

    def weigh_frames(self, noise: Noise) -> Tensor | None:
        """Weights (N, P) whose sum with a loss is its mean over the frames that are reached.

        None where there is no symmetry of time: all frames are. Where no frame of the batch is
        reached the weights are 0.
        """
        if not self.has_time:
            return None
        mask = self._expand(noise["symmetry.time_mask"])
        mask_NP = mask.broadcast_to(self.num_sequences, mask.shape[-1])
        return mask_NP / mask_NP.sum().clamp(min=1)

    def copy(self, values_B: Tensor) -> Tensor:
        """Values of the batch, (B, ...), once for each augmentation of it: (N, ...)."""
        if self.copies == 1:
            return values_B
        return values_B.repeat(self.copies, *(1 for _ in values_B.shape[1:]))

    def _list_turns(self) -> Tensor:
        """Whose turn it is in each instance, (A,), to be taken modulo the number of transforms.

        Both augmentations and the sequences of one count, so that every sequence of a batch
        which is multiplied meets every transform.
        """
        per_augmentation = self.num_instances // self.symmetry.K
        instance = torch.arange(self.num_instances)
        return instance // per_augmentation + instance % per_augmentation

    def _select(self, noise: Noise, name: str) -> Tensor:
        return self._expand(noise[f"symmetry.{name}"])

    def _expand(self, instances: Tensor) -> Tensor:
        """One for each of the N sequences; a single instance stays single, without N."""
        if self.num_instances == 1:
            return instances[0]
        if self.num_instances == self.num_sequences:
            return instances
        return instances.repeat_interleave(self.num_sequences // self.num_instances, dim=0)


class NoSymmetry:
    """Nothing is transformed: how a model is evaluated."""

    def __init__(self, *, min_context: int) -> None:
        self.min_context = min_context

    def copy(self, values_B: Tensor) -> Tensor:
        """The values."""
        return values_B

    def transform(self, z_BTZ: Tensor, noise: Noise) -> Tensor:
        """The latents."""
        del noise
        return z_BTZ

    def undo(self, predicted: Tensor, noise: Noise) -> Tensor:
        """The predictions."""
        del noise
        return predicted

    def select_targets(self, values_BT: Tensor, noise: Noise) -> Tensor:
        """Frames from `min_context` on, (B, P, ...)."""
        del noise
        return values_BT[:, self.min_context :]

    select_frames = select_targets

    def weigh_frames(self, noise: Noise) -> Tensor | None:
        """None: all frames are reached."""
        del noise
        return None


def draw_maps(
    rules: tuple[SliceSet, ...],
    generator: torch.Generator,
    *,
    is_identity: Tensor,
    latent_dim: int,
    turns: Tensor,
) -> AffineMaps:
    """Draw the maps of the rules one after the other, in float64.

    `is_identity` and `turns` (whole numbers, which `in_turn` reads) are (count,). All random
    numbers are drawn in any case, so that two settings of one shape use the same. The matrix
    is a product of rotations: its inverse is its transpose.
    """
    count = len(is_identity)
    matrix = torch.eye(latent_dim, dtype=torch.float64).repeat(count, 1, 1)
    offset = torch.zeros(count, latent_dim, dtype=torch.float64)
    for rule in rules:
        transforms = rule.transforms
        chosen = (_uniform(count, generator) * len(transforms)).long()
        if rule.in_turn:
            chosen = turns % len(transforms)
        for place, transform in enumerate(transforms):
            is_drawn = torch.ones_like(is_identity) if rule.compose else chosen == place
            turn, shift = _draw_transform(
                transform, rule, generator, is_active=is_drawn & ~is_identity, latent_dim=latent_dim
            )
            matrix = turn @ matrix
            offset = (turn @ offset[..., None])[..., 0] + shift
    return AffineMaps(matrix, matrix.transpose(1, 2).contiguous(), offset)


def _draw_transform(
    transform: Transform,
    rule: SliceSet,
    generator: torch.Generator,
    *,
    is_active: Tensor,
    latent_dim: int,
) -> tuple[Tensor, Tensor]:
    """Matrix (count, Z, Z) and offset (count, Z) of one transform on all slices of its rule."""
    count, width = len(is_active), rule.width
    num_drawn = 1 if rule.instances == "shared" else len(rule.slices)
    turn = torch.eye(latent_dim, dtype=torch.float64).repeat(count, 1, 1)
    shift = torch.zeros(count, latent_dim, dtype=torch.float64)
    if isinstance(transform, Translate):
        normal = torch.randn(count, num_drawn, width, generator=generator, dtype=torch.float64)
        for place, part in enumerate(rule.parsed):
            drawn = normal[:, min(place, num_drawn - 1)] * transform.std
            shift[:, part] = is_active[:, None] * drawn
    elif isinstance(transform, Rotate):
        rotations = draw_rotations(
            count * num_drawn, width, generator, reflections=transform.reflections
        ).reshape(count, num_drawn, width, width)
        for place, part in enumerate(rule.parsed):
            block = turn[:, part, part]
            drawn = rotations[:, min(place, num_drawn - 1)]
            block.copy_(torch.where(is_active[:, None, None], drawn, block))
    return turn, shift


def apply_map(z: Tensor, matrix_ZZ: Tensor, offset_Z: Tensor) -> Tensor:
    """A z + b for every latent (..., Z)."""
    return z @ matrix_ZZ.transpose(-1, -2) + offset_Z


def undo_map(z: Tensor, inverse_ZZ: Tensor, offset_Z: Tensor) -> Tensor:
    """A⁻¹ (z - b) for every latent (..., Z)."""
    return (z - offset_Z) @ inverse_ZZ.transpose(-1, -2)


def _uniform(count: int, generator: torch.Generator) -> Tensor:
    return torch.rand(count, generator=generator, dtype=torch.float64)
