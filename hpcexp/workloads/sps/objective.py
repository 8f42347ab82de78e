"""The networks and the loss tree of learning by physical symmetry.

A sequence is encoded, its sampled latents are transformed, predicted onwards in time by
the RNN, and the predictions are transformed back: what the RNN learns must hold under
the symmetry. Source: Liu et al. 2023, "Learning Interpretable Low-dimensional
Representation via Physical Symmetry".

Shapes: B sequences of the batch, N sequences that the RNN sees (B, or K B), M members of
the RNN ensemble, T frames, P predicted frames, Z latent dimensions, D true coordinates.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from hpcexp.train.precision import in_full_precision
from hpcexp.workloads.sps.config import Config
from hpcexp.workloads.sps.dynamics import Dynamics, Prediction, SequenceEnergy
from hpcexp.workloads.sps.losses import (
    hinge_fake,
    hinge_real,
    kl_to_standard_normal,
    measure_images,
    measure_latents,
)
from hpcexp.workloads.sps.symmetry import LatentSymmetry, NoSymmetry
from hpcexp.workloads.sps.vae import Decoder, Encoder, sample_posterior

Tensors = Mapping[str, Tensor]
AnySymmetry = LatentSymmetry | NoSymmetry


class Encoded(NamedTuple):
    """A batch and its latents."""

    images: Tensor  # (B, T, C, H, W), from 0 to 1
    mean: Tensor  # (B, T, Z)
    log_variance: Tensor | None
    z: Tensor  # samples of the posterior


class Predicted(NamedTuple):
    """What the RNN made of the latents, with the transform undone."""

    transformed: Tensor  # (N, T, Z), what it read
    raw: Prediction
    z: Tensor  # (M, N, P, Z)
    z_for_latents: Tensor  # the same values, perhaps without gradient to the encoder


class Objective(nn.Module):
    """The networks and the losses that train them."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.dynamics = Dynamics(config)
        if "sequence_energy.real" in config.loss_names:
            self.sequence_energy = SequenceEnergy(config)
        self.symmetry = LatentSymmetry(
            config.symmetry,
            latent_dim=config.latent_dim,
            batch_size=config.batch_size,
            num_frames=config.dataset.num_frames,
            min_context=config.rnn_min_context,
        )

    def forward(self, batch: Tensors, noise: Tensors, values: Tensors) -> Tensor:
        """Unweighted loss terms of a training step, (len(config.loss_names),)."""
        return self.measure(batch, noise, values, symmetry=self.symmetry)[0]

    def measure(
        self,
        batch: Tensors,
        noise: Tensors,
        values: Tensors,
        *,
        symmetry: AnySymmetry,
        consistency: AnySymmetry | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Loss terms and the encoder's means (B, T, Z).

        batch: `images` (B, T, C, H, W), uint8; where supervised `truth` (B, T, D).
        noise: `posterior` (B, T, Z) standard normal; `symmetry.*`; `teacher_forcing` (T,)
        uniform in [0, 1); what `list_rnn_noise` lists; `energy` (N, T, Z) standard normal.
        values: `teacher_forcing`, the probability that a latent is forced; `image_loss`,
        the weight of each of config.image_distances.
        `consistency` is the symmetry of that one term, where it is not that of the others.
        """
        encoded = self._encode_batch(batch, noise)
        predicted = self._predict(encoded, noise, values, symmetry)
        decoded_self, decoded_predicted = self._decode_both(encoded.z, predicted.z)
        weights_NP = symmetry.weigh_frames(noise)
        target = encoded.z.detach() if self.config.stop_gradient.right else encoded.z
        terms = {
            "self_recon": self._compare_images(decoded_self, encoded.images, values),
            "predict.image": self._compare_images(
                decoded_predicted,
                symmetry.select_targets(encoded.images, noise),
                values,
                weights_NP,
            ),
            "predict.z": measure_latents(
                predicted.z_for_latents,
                symmetry.select_targets(target, noise),
                distance=self.config.z_loss,
                weights_NP=weights_NP,
            ),
        }
        if encoded.log_variance is not None:
            terms["kld"] = kl_to_standard_normal(encoded.mean, encoded.log_variance)
        names = self.config.loss_names
        if "rnn_kld" in names:
            terms["rnn_kld"] = self._measure_rnn_kld(predicted, noise, symmetry)
        if self.config.is_supervised:
            terms |= self._supervise(batch, encoded, predicted, noise, values, symmetry)
        if "symmetry_consistency" in names:
            terms["symmetry_consistency"] = self._measure_consistency(
                encoded, noise, values, consistency or symmetry, known=predicted, of=symmetry
            )
        if "cycle" in names:
            again_BTZ, _ = self.encode(decoded_self)
            terms["cycle"] = (again_BTZ - encoded.z).square().mean()
        if "sequence_energy.real" in names:
            terms |= self._measure_energy(predicted.transformed, noise)
        return torch.stack([terms[name] for name in names]), encoded.mean

    def encode(self, images_BTCHW: Tensor) -> tuple[Tensor, Tensor | None]:
        """Posterior mean and log-variance of every frame, each (B, T, Z).

        Images have values from 0 to 1; without a variational encoder there is no variance.
        """
        shape = images_BTCHW.shape[:2]
        mean_NZ, log_variance_NZ = self.encoder(images_BTCHW.flatten(0, 1))
        if log_variance_NZ is None:
            return mean_NZ.unflatten(0, shape), None
        return mean_NZ.unflatten(0, shape), log_variance_NZ.unflatten(0, shape)

    def decode(self, z_BTZ: Tensor) -> Tensor:
        """Images of latents, (B, T, C, H, W)."""
        images: Tensor = self.decoder(z_BTZ.flatten(0, 1)).unflatten(0, z_BTZ.shape[:2])
        return images

    def predict(self, z_BTZ: Tensor) -> Tensor:
        """Frames min_context to T - 1 as the RNN predicts them on its own, (B, P, Z).

        For evaluation mode, in which nothing is random.
        """
        never_T = z_BTZ.new_zeros(z_BTZ.shape[1])
        prediction: Prediction = self.dynamics(z_BTZ, never_T)
        return prediction.z.mean(dim=0)

    # ------------------------------------------------------------------ parts of `measure`

    def _encode_batch(self, batch: Tensors, noise: Tensors) -> Encoded:
        dtype = next(self.parameters()).dtype
        images = batch["images"].to(dtype) / 255
        mean_BTZ, log_variance_BTZ = self.encode(images)
        z_BTZ = sample_posterior(mean_BTZ, log_variance_BTZ, noise.get("posterior"))
        return Encoded(images, mean_BTZ, log_variance_BTZ, z_BTZ)

    def _predict(
        self, encoded: Encoded, noise: Tensors, values: Tensors, symmetry: AnySymmetry
    ) -> Predicted:
        stop = self.config.stop_gradient
        read_BTZ = encoded.mean if self.config.rnn_input == "mean" else encoded.z
        if stop.left and stop.left_for == "z_and_image":
            read_BTZ = read_BTZ.detach()
        transformed, raw, undone = self._run_rnn(read_BTZ, noise, values, symmetry)
        for_latents = undone
        if stop.left and stop.left_for == "z":
            # The same numbers once more, cut off from the encoder: image prediction is not.
            for_latents = self._run_rnn(read_BTZ.detach(), noise, values, symmetry)[2]
        return Predicted(transformed, raw, undone, for_latents)

    # Latents are few, and an RNN feeds on its own rounding errors: fp32 whatever the networks have.
    @in_full_precision
    def _run_rnn(
        self, read_BTZ: Tensor, noise: Tensors, values: Tensors, symmetry: AnySymmetry
    ) -> tuple[Tensor, Prediction, Tensor]:
        is_forced_T = (noise["teacher_forcing"] < values["teacher_forcing"]).to(read_BTZ.dtype)
        transformed_NTZ = symmetry.transform(read_BTZ, noise)
        raw: Prediction = self.dynamics(transformed_NTZ, is_forced_T, noise)
        return transformed_NTZ, raw, symmetry.undo(raw.z, noise)

    def _decode_both(self, z_BTZ: Tensor, predicted_MNPZ: Tensor) -> tuple[Tensor, Tensor]:
        """Images of latents (B, T, ...) and of predictions (M, N, P, ...), in one pass."""
        num_members, num_sequences, num_predicted, _ = predicted_MNPZ.shape
        batch, num_frames, _ = z_BTZ.shape
        runs = num_members * num_sequences // batch
        by_sequence = predicted_MNPZ.reshape(runs, batch, num_predicted, -1).transpose(0, 1)
        decoded = self.decode(torch.cat([z_BTZ, by_sequence.flatten(1, 2)], dim=1))
        image_shape = decoded.shape[2:]
        ahead = decoded[:, num_frames:].reshape(batch, runs, num_predicted, *image_shape)
        shape = (num_members, num_sequences, num_predicted, *image_shape)
        return decoded[:, :num_frames], ahead.transpose(0, 1).reshape(shape)

    @in_full_precision
    def _compare_images(
        self, images: Tensor, targets: Tensor, values: Tensors, weights_NP: Tensor | None = None
    ) -> Tensor:
        distances = [
            measure_images(images, targets, distance=name, weights_NP=weights_NP)
            for name in self.config.image_distances
        ]
        if len(distances) == 1:
            return distances[0]
        return (values["image_loss"] * torch.stack(distances)).sum()

    @in_full_precision
    def _measure_rnn_kld(
        self, predicted: Predicted, noise: Tensors, symmetry: AnySymmetry
    ) -> Tensor:
        log_variance = predicted.raw.log_variance
        assert log_variance is not None
        # The transform is undone for the mean alone: the prior knows no transforms.
        return kl_to_standard_normal(symmetry.undo(predicted.raw.mean, noise), log_variance)

    def _supervise(
        self,
        batch: Tensors,
        encoded: Encoded,
        predicted: Predicted,
        noise: Tensors,
        values: Tensors,
        symmetry: AnySymmetry,
    ) -> dict[str, Tensor]:
        seen = list(self.config.supervised_coordinates)
        truth_BTD, names = batch["truth"], self.config.loss_names
        terms: dict[str, Tensor] = {}
        if "supervise.rnn" in names:
            terms["supervise.rnn"] = measure_latents(
                predicted.z[..., seen],
                symmetry.select_targets(truth_BTD[..., seen], noise),
                distance="mse",
                weights_NP=symmetry.weigh_frames(noise),
            )
        if "supervise.vae.encode" in names:
            errors = encoded.mean[..., seen] - truth_BTD[..., seen]
            terms["supervise.vae.encode"] = errors.square().mean()
        if "supervise.vae.decode" in names:
            columns = [
                truth_BTD[..., place] if place in seen else encoded.mean[..., place]
                for place in range(self.config.latent_dim)
            ]
            decoded = self.decode(torch.stack(columns, dim=-1))
            terms["supervise.vae.decode"] = self._compare_images(decoded, encoded.images, values)
        return terms

    @in_full_precision
    def _measure_consistency(
        self,
        encoded: Encoded,
        noise: Tensors,
        values: Tensors,
        symmetry: AnySymmetry,
        *,
        known: Predicted,
        of: AnySymmetry,
    ) -> Tensor:
        """Predictions under the transform, undone, against those without it.

        Frames of the context, which a transform of time may predict, are compared with the
        latents themselves.
        """
        read_BTZ = encoded.mean if self.config.rnn_input == "mean" else encoded.z
        undone = known.z if of is symmetry else self._run_rnn(read_BTZ, noise, values, symmetry)[2]
        read_NTZ = symmetry.copy(read_BTZ)
        is_forced_T = (noise["teacher_forcing"] < values["teacher_forcing"]).to(read_BTZ.dtype)
        plain: Prediction = self.dynamics(read_NTZ, is_forced_T, noise)
        context = read_NTZ[:, : self.config.rnn_min_context]
        targets = [
            symmetry.select_frames(torch.cat([context, member], dim=1), noise) for member in plain.z
        ]
        return measure_latents(
            undone, torch.stack(targets), distance="mse", weights_NP=symmetry.weigh_frames(noise)
        )

    @in_full_precision
    def _measure_energy(self, transformed_NTZ: Tensor, noise: Tensors) -> dict[str, Tensor]:
        std = self.config.energy_rnn.noise_std
        fake_NTZ = transformed_NTZ + std * noise["energy"]
        return {
            "sequence_energy.real": hinge_real(self.sequence_energy(transformed_NTZ)),
            "sequence_energy.fake": hinge_fake(self.sequence_energy(fake_NTZ)),
        }
