"""The RNN that predicts latents, and the RNN that rates sequences.

The cells are written out: torch's have no batching rule, as lanes of one program they
would be run lane by lane. Each is initialised as torch's, uniform within 1 / sqrt(width).

Shapes: N sequences, T frames, P = T - min_context predictions, Z latent dimensions, D
hidden units, L layers, M members of the ensemble.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from hpcexp.workloads.sps.config import Config

Noise = Mapping[str, Tensor]


class Prediction(NamedTuple):
    """Predicted latents, (M, N, P, Z).

    `z` is what was fed back: samples in training where the RNN predicts a distribution, its
    means else. `log_variance` is None where it predicts points.
    """

    z: Tensor
    mean: Tensor
    log_variance: Tensor | None


def list_rnn_noise(
    config: Config, *, num_sequences: int
) -> dict[str, tuple[Literal["normal", "uniform"], tuple[int, ...]]]:
    """Shapes of the random numbers of one training step, by name; empty for the defaults.

    `rnn.dropout` (M, L, N, T - 1, D) uniform in [0, 1); `rnn.output` (M, N, P, Z) normal.
    """
    T, M = config.dataset.num_frames, config.rnn_ensemble
    noise: dict[str, tuple[Literal["normal", "uniform"], tuple[int, ...]]] = {}
    if config.rnn_dropout > 0:
        shape = (M, config.rnn_depth, num_sequences, T - 1, config.rnn_width)
        noise["rnn.dropout"] = ("uniform", shape)
    if config.rnn_variance != "none":
        shape_out = (M, num_sequences, T - config.rnn_min_context, config.latent_dim)
        noise["rnn.output"] = ("normal", shape_out)
    return noise


class TanhCell(nn.Module):
    """h' = tanh(W x + U h + b): torch.nn.RNNCell with its two biases, which add up, as one."""

    def __init__(self, input_dim: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.read = nn.Linear(input_dim, width)
        self.recur = nn.Linear(width, width, bias=False)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -(width**-0.5), width**-0.5)

    def forward(self, input_NI: Tensor, hidden_ND: Tensor, recurrent_ND: Tensor) -> Tensor:
        """The next hidden state, (N, D).

        `recurrent_ND` is the hidden state that the weights read, after dropout.
        """
        del hidden_ND
        return torch.tanh(self.read(input_NI) + self.recur(recurrent_ND))


class GruCell(nn.Module):
    """The gated recurrent unit of Cho et al. 2014, with the equations of torch.nn.GRUCell.

    r = σ(W_r x + U_r h), u = σ(W_u x + U_u h), n = tanh(W_n x + r (U_n h)), each with
    biases, and h' = (1 - u) n + u h.
    """

    def __init__(self, input_dim: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.read = nn.Linear(input_dim, 3 * width)
        self.recur = nn.Linear(width, 3 * width)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -(width**-0.5), width**-0.5)

    def forward(self, input_NI: Tensor, hidden_ND: Tensor, recurrent_ND: Tensor) -> Tensor:
        """The next hidden state, (N, D).

        `recurrent_ND` is the hidden state that the weights read, after dropout; `hidden_ND`
        is carried over as it is.
        """
        reset, update, new = self.read(input_NI).chunk(3, -1)
        reset_h, update_h, new_h = self.recur(recurrent_ND).chunk(3, -1)
        keep = torch.sigmoid(update + update_h)
        candidate = torch.tanh(new + torch.sigmoid(reset + reset_h) * new_h)
        return (1 - keep) * candidate + keep * hidden_ND


CELLS = {"tanh": TanhCell, "gru": GruCell}


class Rnn(nn.Module):
    """One predictor: stacked cells, and a linear layer from the top one to a latent."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        widths = (config.latent_dim, *(config.rnn_width for _ in range(config.rnn_depth)))
        make_cell = CELLS[config.rnn]
        cells = [make_cell(fan_in, config.rnn_width) for fan_in in widths[:-1]]
        self.cells = nn.ModuleList(cells)
        outputs = 2 if config.rnn_variance == "learned" else 1
        self.to_latent = nn.Linear(config.rnn_width, outputs * config.latent_dim)

    def forward(
        self,
        z_NTZ: Tensor,
        is_forced_T: Tensor,
        dropout_LNTD: Tensor | None,
        output_NPZ: Tensor | None,
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Predictions of frames min_context to T - 1: fed back, means, log-variances."""
        config = self.config
        hidden = [z_NTZ.new_zeros(len(z_NTZ), config.rnn_width) for _ in self.cells]
        samples: list[Tensor] = []
        means: list[Tensor] = []
        log_variances: list[Tensor] = []
        for t in range(z_NTZ.shape[1] - 1):
            input_NZ = z_NTZ[:, t]
            if t >= config.rnn_min_context:
                input_NZ = torch.where(is_forced_T[t] > 0.5, input_NZ, samples[-1])
            below = input_NZ
            for layer, cell in enumerate(self.cells):
                recurrent = hidden[layer]
                if dropout_LNTD is not None:
                    kept = dropout_LNTD[layer][:, t] >= config.rnn_dropout
                    recurrent = recurrent * kept / (1 - config.rnn_dropout)
                hidden[layer] = cell(below, hidden[layer], recurrent)
                below = hidden[layer]
            if t < config.rnn_min_context - 1:
                continue
            mean_NZ, log_variance_NZ = self._read_out(below, input_NZ)
            sample_NZ = mean_NZ
            if output_NPZ is not None and log_variance_NZ is not None:
                std_NZ = torch.exp(0.5 * log_variance_NZ)
                sample_NZ = mean_NZ + std_NZ * output_NPZ[:, t - config.rnn_min_context + 1]
            samples.append(sample_NZ)
            means.append(mean_NZ)
            if log_variance_NZ is not None:
                log_variances.append(log_variance_NZ)
        return (
            torch.stack(samples, dim=1),
            torch.stack(means, dim=1),
            torch.stack(log_variances, dim=1) if log_variances else None,
        )

    def _read_out(self, hidden_ND: Tensor, input_NZ: Tensor) -> tuple[Tensor, Tensor | None]:
        outputs = self.to_latent(hidden_ND)
        log_variance_NZ: Tensor | None = None
        if self.config.rnn_variance == "learned":
            outputs, log_variance_NZ = outputs.chunk(2, -1)
        elif self.config.rnn_variance == "fixed":
            log_variance_NZ = torch.full_like(outputs, 2 * math.log(self.config.rnn_std))
        if self.config.rnn_residual is not None:
            outputs = self.config.rnn_residual * input_NZ + outputs
        return outputs, log_variance_NZ


class Dynamics(nn.Module):
    """An ensemble of RNNs, by default of one, that read latents and predict the next ones.

    In training every member runs on its own predictions. In evaluation, too: a member knows
    how its own predictions go wrong, not how the mean of all does; the mean over members
    is taken of whole predictions, and is the one prediction that is reported.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.min_context = config.rnn_min_context
        self.members = nn.ModuleList([Rnn(config) for _ in range(config.rnn_ensemble)])

    def forward(self, z_NTZ: Tensor, is_forced_T: Tensor, noise: Noise | None = None) -> Prediction:
        """Predictions of frames min_context to T - 1, (M, N, P, Z); M is 1 in evaluation.

        The first `min_context` inputs are the given latents. After them the input at time t
        is the given latent where `is_forced_T[t]` is 1, and the RNN's own prediction of it
        where 0. Dropout and samples need the tensors of `list_rnn_noise`; in evaluation mode
        nothing is random.
        """
        noise = noise if noise is not None and self.training else {}
        dropout, output = noise.get("rnn.dropout"), noise.get("rnn.output")
        predictions = [
            member(
                z_NTZ,
                is_forced_T,
                None if dropout is None else dropout[place],
                None if output is None else output[place],
            )
            for place, member in enumerate(self.members)
        ]
        z, mean, log_variance = (
            None if parts[0] is None else torch.stack(parts)
            for parts in zip(*predictions, strict=True)
        )
        assert z is not None
        assert mean is not None
        if self.training or len(self.members) == 1:
            return Prediction(z, mean, log_variance)
        if log_variance is not None:
            log_variance = log_variance.exp().mean(dim=0, keepdim=True).log()
        return Prediction(z.mean(0, keepdim=True), mean.mean(0, keepdim=True), log_variance)


class SequenceEnergy(nn.Module):
    """A tanh RNN that reads a sequence of latents and rates it: low for real ones."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.cell = TanhCell(config.latent_dim, config.energy_rnn.width)
        self.to_energy = nn.Linear(config.energy_rnn.width, 1)

    def forward(self, z_NTZ: Tensor) -> Tensor:
        """The energy of each sequence, (N,)."""
        hidden_ND = z_NTZ.new_zeros(len(z_NTZ), self.cell.width)
        for t in range(z_NTZ.shape[1]):
            hidden_ND = self.cell(z_NTZ[:, t], hidden_ND, hidden_ND)
        energy: Tensor = self.to_energy(hidden_ND)[:, 0]
        return energy
