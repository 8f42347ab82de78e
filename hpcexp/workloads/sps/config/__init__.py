"""Hyperparameters of the physical-symmetry workload. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from hpcexp.train.config import TrainConfig
from hpcexp.train.metric import Metric
from hpcexp.train.schedule import Oscillation, Ramp, count_steps
from hpcexp.workloads.sps.config.datasets import BounceDataset, Dataset
from hpcexp.workloads.sps.config.inspection import Inspection
from hpcexp.workloads.sps.config.losses import (
    EnergyRnn,
    ImageLoss,
    ImageLossBlend,
    LossWeights,
    StopGradient,
)
from hpcexp.workloads.sps.config.sampling import LinearSampling, Sampling
from hpcexp.workloads.sps.config.symmetry import Symmetry, list_played_frames

PerLayer = PositiveInt | Annotated[tuple[PositiveInt, ...], Field(strict=False, min_length=1)]
PaddingPerLayer = (
    NonNegativeInt | Annotated[tuple[NonNegativeInt, ...], Field(strict=False, min_length=1)]
)

PRIMARY_METRIC = Metric(
    name="linear_projection_mse",
    title="linear projection MSE (validation)",
    success_below=0.2,
    cap=1.0,
    success_title="disentanglement success",
)


class Config(TrainConfig):
    """Hyperparameters of one run of the physical-symmetry workload."""

    # Videos, weights, probabilities and transforms reach a step as tensors; of what kind they
    # were is seen in their shapes alone, which `lane_shape` says.
    lane_free: ClassVar[dict[str, Any]] = TrainConfig.lane_free | dict.fromkeys(
        ("dataset", "loss_weights", "scheduled_sampling", "image_loss", "symmetry", "inspect"), True
    )

    dataset: Dataset = BounceDataset()

    vae_channels: Annotated[tuple[PositiveInt, ...], Field(strict=False, min_length=1)] = Field(
        default=(64, 128, 256), description="Channels of the encoder's convolutions."
    )
    vae_kernel: PerLayer = Field(
        default=4, description="Kernel size of the convolutions: one, or one for each."
    )
    vae_stride: PerLayer = Field(
        default=2, description="Stride of the convolutions: one, or one for each."
    )
    vae_padding: PaddingPerLayer = Field(
        default=1, description="Padding of the convolutions: one, or one for each."
    )
    variational: bool = Field(
        default=True, description="A variational autoencoder, or (false) a plain one."
    )
    encoder_batch_norm: bool = Field(
        default=False, description="Batch norm after each convolution of the encoder."
    )
    activation: Literal["relu", "leaky_relu"] = Field(
        default="relu", description="Between the layers; leaky with slope 0.01 below zero."
    )
    deep_spread: bool = Field(
        default=True,
        description="Fully connected layers (16, 32, 64) before the decoder's convolutions, or "
        "(false) one linear layer.",
    )
    decoder_output: Literal["sigmoid", "tanh"] = Field(
        default="sigmoid",
        description="The decoder's last layer; images are from 0 to 1 with either.",
    )
    latent_dim: int = Field(default=3, ge=1, description="Dimensions of the latent z.")

    rnn: Literal["tanh", "gru"] = Field(default="tanh", description="Cell of the RNN.")
    rnn_width: int = Field(default=32, ge=1, description="Hidden units of each layer of the RNN.")
    rnn_depth: int = Field(default=1, ge=1, description="Layers of the RNN.")
    rnn_residual: float | None = Field(
        default=None,
        description="c in z' = c z + RNN(z): 1 is identity plus what is learned, -1 the negative "
        "identity; null: z' = RNN(z).",
    )
    rnn_dropout: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Dropout of the hidden state that a cell reads; not of z, not of the output.",
    )
    rnn_ensemble: int = Field(
        default=1,
        ge=1,
        description="RNNs that learn side by side, each with its own prediction losses; an "
        "evaluation takes the mean of their predictions.",
    )
    rnn_min_context: int = Field(
        default=5, ge=1, description="Latents that the RNN reads before it predicts."
    )
    rnn_input: Literal["sample", "mean"] = Field(
        default="sample", description="The RNN reads samples of the posterior, or its means."
    )
    rnn_variance: Literal["none", "learned", "fixed"] = Field(
        default="none",
        description="The RNN predicts a point, or a Gaussian from which training samples: with "
        "learned variance (vvrnn) or the fixed one of rnn_std (vvrnn_static).",
    )
    rnn_std: float = Field(
        default=0.1,
        gt=0,
        description="Standard deviation of a prediction where rnn_variance is fixed.",
    )

    symmetry: Symmetry = Symmetry()
    scheduled_sampling: Sampling = LinearSampling()

    loss_weights: LossWeights = LossWeights()
    image_loss: ImageLoss = Field(
        default="mse", description="Distance of images, or a blend from one to another."
    )
    z_loss: Literal["mse", "l1", "cosine"] = Field(
        default="mse",
        description="Distance of predicted latents: squared, absolute, or 1 - cosine similarity.",
    )
    supervise_coordinates: Literal["all", "xy"] = Field(
        default="all", description="The true coordinates that supervision sees."
    )
    energy_rnn: EnergyRnn = EnergyRnn()
    stop_gradient: StopGradient = StopGradient()

    inspect: Inspection = Inspection()
    keep_best: Annotated[tuple[str, ...], Field(strict=False)] = Field(
        default=(PRIMARY_METRIC.name,),
        description="Validation metrics of which the checkpoint with the smallest value is kept.",
    )

    @property
    def layer_shapes(self) -> tuple[tuple[int, int, int], ...]:
        """Kernel, stride and padding of each of the encoder's convolutions."""
        given = (self.vae_kernel, self.vae_stride, self.vae_padding)
        return _list_layer_shapes(given, len(self.vae_channels))

    @property
    def image_sides(self) -> tuple[int, ...]:
        """Width in pixels before the encoder's first convolution and after each of them."""
        sides = [self.dataset.resolution]
        for kernel, stride, padding in self.layer_shapes:
            sides.append((sides[-1] + 2 * padding - kernel) // stride + 1)
        return tuple(sides)

    @model_validator(mode="after")
    def _layers_agree(self) -> Config:
        count = len(self.vae_channels)
        for name in ("vae_kernel", "vae_stride", "vae_padding"):
            given = getattr(self, name)
            if not isinstance(given, int) and len(given) != count:
                raise ValueError(
                    f"{name} has {len(given)} values, vae_channels has {count}; "
                    "give one for each convolution, or one number for all"
                )
        for layer, (kernel, stride, padding) in enumerate(self.layer_shapes, start=1):
            if kernel < stride or 2 * padding > kernel:
                raise ValueError(
                    f"convolution {layer} has kernel {kernel}, stride {stride}, padding {padding}: "
                    "vae_kernel must be at least vae_stride and at least twice vae_padding"
                )
        return self

    @model_validator(mode="after")
    def _shapes_fit(self) -> Config:
        sides = self.image_sides
        if min(sides) < 1:
            raise ValueError(
                f"dataset.resolution ({self.dataset.resolution}) is too small for "
                f"{len(self.vae_channels)} vae_channels: the convolutions leave nothing of it"
            )
        halves = self.layer_shapes == ((4, 2, 1),) * len(self.vae_channels)
        if halves and self.dataset.resolution % 2 ** len(self.vae_channels):
            shrink = 2 ** len(self.vae_channels)
            raise ValueError(
                f"dataset.resolution ({self.dataset.resolution}) is not a multiple of {shrink}: "
                f"each of the {len(self.vae_channels)} vae_channels halves the image"
            )
        if self.rnn_min_context >= self.dataset.num_frames:
            raise ValueError(
                f"rnn_min_context ({self.rnn_min_context}) leaves no frame to predict of "
                f"dataset.num_frames ({self.dataset.num_frames})"
            )
        return self

    @model_validator(mode="after")
    def _symmetry_fits(self) -> Config:
        needed = self.symmetry.latent_dim_needed
        if needed > self.latent_dim:
            raise ValueError(
                f"latent_dim ({self.latent_dim}) is less than {needed}, up to which the slices of "
                "symmetry.rules reach"
            )
        K = self.symmetry.K
        if self.symmetry.K_mode == "divide" and self.batch_size % K:
            raise ValueError(
                f"batch_size ({self.batch_size}) is not a multiple of symmetry.K ({K}); choose "
                "another, or K_mode: multiply"
            )
        num_frames, min_context = self.dataset.num_frames, self.rnn_min_context
        for ratio in self.symmetry.time.stretch:
            if not list_played_frames(ratio, num_frames=num_frames, min_context=min_context):
                raise ValueError(
                    f"symmetry.time.stretch {ratio:g} leaves nothing to learn from: no frame falls "
                    f"into the RNN's predictions, {min_context} to {num_frames - 1}; choose a "
                    "ratio nearer to 1, or a smaller rnn_min_context"
                )
        return self

    @model_validator(mode="after")
    def _losses_fit(self) -> Config:
        weights, coordinates = self.loss_weights, self.dataset.coordinates
        if self.decoder_output == "tanh" and "bce" in self.image_distances:
            raise ValueError(
                "image_loss bce needs values from 0 to 1; choose decoder_output: sigmoid"
            )
        supervised = (weights.supervise.rnn, weights.supervise.vae.encode)
        if any(
            w is not None for w in (*supervised, weights.supervise.vae.decode)
        ) and self.latent_dim < len(coordinates):
            raise ValueError(
                f"latent_dim ({self.latent_dim}) is less than the {len(coordinates)} true "
                "coordinates that loss_weights.supervise needs"
            )
        if weights.rnn_kld is not None and self.rnn_variance == "none":
            raise ValueError(
                "loss_weights.rnn_kld needs a distribution; set rnn_variance to learned or fixed"
            )
        if (weights.sequence_energy.real is None) != (weights.sequence_energy.fake is None):
            raise ValueError(
                "loss_weights.sequence_energy: give both real and fake, or neither; 0 leaves one "
                "out of the sum"
            )
        return self

    @model_validator(mode="after")
    def _inspected_sequences_exist(self) -> Config:
        wanted, kinds = self.inspect.sequences, self.inspect.kinds
        sizes = {name: getattr(self, name) for name in ("train_set_size", "validate_set_size")}
        if self.inspect.every is not None and "prediction" in kinds:
            for name, size in sizes.items():
                if wanted > size:
                    raise ValueError(
                        f"inspect.sequences ({wanted}) is more than {name} ({size}); draw fewer, "
                        "or leave prediction out of inspect.kinds"
                    )
        return self

    @property
    def optional_weights(self) -> dict[str, float | Ramp | Oscillation | None]:
        """Weights of the terms that are computed only where they are given, by name."""
        weights = self.loss_weights
        return {
            "rnn_kld": weights.rnn_kld,
            "supervise.rnn": weights.supervise.rnn,
            "supervise.vae.encode": weights.supervise.vae.encode,
            "supervise.vae.decode": weights.supervise.vae.decode,
            "symmetry_consistency": weights.symmetry_consistency,
            "cycle": weights.cycle,
            "sequence_energy.real": weights.sequence_energy.real,
            "sequence_energy.fake": weights.sequence_energy.fake,
        }

    @property
    def loss_names(self) -> tuple[str, ...]:
        """Names of the loss terms that are computed, in the order of the tree."""
        always = ("self_recon", "predict.image", "predict.z")
        kld = ("kld",) if self.variational else ()
        given = (name for name, weight in self.optional_weights.items() if weight is not None)
        return (*always, *kld, *given)

    @property
    def metric_names(self) -> tuple[str, ...]:
        """Names of what an evaluation reports besides the loss terms."""
        name = PRIMARY_METRIC.name
        return (name, *(f"{name}.{coordinate}" for coordinate in self.dataset.coordinates))

    @property
    def metric_columns(self) -> Mapping[str, tuple[str, ...]]:
        """Columns of the rows of each split that rules may be about."""
        losses = ("loss", *(f"loss.{name}" for name in self.loss_names))
        skipped = ("skipped_steps",) if self.on_divergence.kind == "skip" else ()
        return {
            "train": (*losses, "grad_norm", *skipped),
            "validate": (*losses, *self.metric_names),
        }

    def list_budget_dependents(self) -> tuple[str, ...]:
        """Also a blend that is not complete at the end, which every evaluation looks ahead to."""
        found = super().list_budget_dependents()
        blend = self.image_loss
        if isinstance(blend, ImageLossBlend) and "image_loss" not in found:
            complete = count_steps(blend.begin + blend.duration, blend.unit, budget=self)
            found += ("image_loss",) if complete > self.num_steps else ()
        return found

    @property
    def lane_shape(self) -> Mapping[str, Any]:
        """Shapes of the videos and of the transforms, and which terms there are."""
        dataset, symmetry = self.dataset, self.symmetry
        return {
            "video": [dataset.resolution, dataset.num_frames, dataset.coordinates],
            "loss_names": self.loss_names,
            "image_distances": self.image_distances,
            "symmetry": [symmetry.K, symmetry.K_mode, symmetry.draw_per],
            "has_time": not symmetry.time.is_trivial,
        }

    @property
    def is_supervised(self) -> bool:
        """Whether a loss term reads the true coordinates."""
        return any(name.startswith("supervise.") for name in self.loss_names)

    @property
    def image_distances(self) -> tuple[str, ...]:
        """The distances of images that are ever in force, each once."""
        given = self.image_loss
        if isinstance(given, ImageLossBlend):
            return tuple(dict.fromkeys((given.start, given.end)))
        return (given,)

    @property
    def supervised_coordinates(self) -> tuple[int, ...]:
        """Indices of the true coordinates, and of the latents, that supervision sees."""
        names = self.dataset.coordinates
        wanted = (
            names
            if self.supervise_coordinates == "all"
            else [name for name in names if name.split("_")[0] in ("x", "y")]
        )
        return tuple(names.index(name) for name in wanted)


@cache
def _list_layer_shapes(
    given: tuple[int | tuple[int, ...], ...], count: int
) -> tuple[tuple[int, int, int], ...]:
    """Kernel, stride and padding of each of `count` layers; one number is that of all.

    Kept, since thousands of groups share them, and each asks several times.
    """
    per_layer = [(g,) * count if isinstance(g, int) else g for g in given]
    return tuple(zip(*per_layer, strict=True))
