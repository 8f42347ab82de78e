"""Hierarchical cross-attention (HCA) over text, video and audio, with one head for each task.

Every modality is encoded by a BiLSTM, attends to the two others one after the other, and is
pooled; the three are concatenated. What stands in the padding reaches no output.

Shapes: B samples, T time steps, W width, L tasks, M modalities (text, video, audio).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from hpcexp.workloads.multitask.attention import AdditivePooling, CrossAttention, drop
from hpcexp.workloads.multitask.config import Config
from hpcexp.workloads.multitask.config.datasets import MODALITIES, Modality
from hpcexp.workloads.multitask.config.model import Bert
from hpcexp.workloads.multitask.losses import measure_losses, weigh_rows
from hpcexp.workloads.multitask.recurrence import BiLstmWeights, run_layer
from hpcexp.workloads.multitask.text import make_text_encoder

ATTENDS_TO: Mapping[Modality, tuple[Modality, Modality]] = {
    "text": ("video", "audio"),
    "audio": ("video", "text"),
    "video": ("text", "audio"),
}
"""The order in which each modality attends to the others."""


class Encoder(nn.Module):
    """The weights of one modality before it meets the others."""

    def __init__(self, config: Config, modality: Modality) -> None:
        super().__init__()
        shape, dataset = config.model, config.dataset
        if modality == "text":
            self.embed = make_text_encoder(shape.text_encoder, vocabulary=dataset.vocabulary)
            input_width = self.embed.width
        else:
            input_width = dataset.feature_widths[MODALITIES.index(modality) - 1]
        # A BERT has read the context already.
        num_layers = 0 if _is_bert(config, modality) else shape.lstm_layers
        widths = [input_width] + [2 * shape.lstm_width] * num_layers
        self.lstm = nn.ModuleList(
            BiLstmWeights(width, shape.lstm_width) for width in widths[:num_layers]
        )
        self.num_layers = num_layers
        self.norm_in = nn.LayerNorm(widths[-1])
        self.project = nn.Linear(widths[-1], shape.width)
        self.norm_out = nn.LayerNorm(shape.width)

    def get_layer(self, depth: int) -> BiLstmWeights:
        """One layer of the BiLSTM."""
        layer = self.lstm[depth]
        assert isinstance(layer, BiLstmWeights)
        return layer


class Block(nn.Module):
    """One modality attends to the two others with one cross-attention, and is pooled."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        width = config.model.width
        self.attend = CrossAttention(width, config.model.num_heads)
        self.norm_first = nn.LayerNorm(width)
        self.norm_second = nn.LayerNorm(width)
        self.pool = AdditivePooling(width)


class Head(nn.Module):
    """From the pooled modalities to one number: a logit, or a prediction."""

    def __init__(self, input_width: int, config: Config) -> None:
        super().__init__()
        widths = (input_width, *config.model.head_widths)
        norms = {"none": nn.Identity, "layer": nn.LayerNorm, "batch": nn.BatchNorm1d}
        make_norm = norms[config.model.head_norm]
        self.hidden = nn.ModuleList(nn.Linear(*pair) for pair in itertools.pairwise(widths))
        self.norms = nn.ModuleList(make_norm(width) for width in widths[1:])
        self.out = nn.Linear(widths[-1], 1)
        self.dropout = config.model.head_dropout

    def forward(self, x_BW: Tensor, *, seed: Tensor | None, place: int) -> Tensor:
        """The output, (B,)."""
        for layer, norm in zip(self.hidden, self.norms, strict=True):
            x_BW = torch.relu(norm(layer(x_BW)))
            x_BW = _drop_if_training(x_BW, probability=self.dropout, seed=seed, place=place)
            place += 1
        output: Tensor = self.out(x_BW)
        return output.squeeze(-1)


class Hca(nn.Module):
    """The model and the losses of its tasks."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config, self.tasks = config, config.tasks
        self.modalities = config.modalities.built
        self.encoders = nn.ModuleDict({m: Encoder(config, m) for m in self.modalities})
        self.blocks = nn.ModuleDict({m: Block(config) for m in self.modalities})
        width = len(MODALITIES) * config.model.width
        owners = dict.fromkeys(self.owners.values())
        self.heads = nn.ModuleDict({task: Head(width, config) for task in owners})
        self.is_binary = [config.dataset.task_kinds[task] == "binary" for task in self.tasks]

    @property
    def owners(self) -> dict[str, str]:
        """Task -> the task whose head it uses: its own, but for tied ones."""
        tied = self.config.dataset.tied_heads
        return {t: tied[t] if tied.get(t) in self.tasks else t for t in self.tasks}

    @property
    def balance_layer(self) -> tuple[str, ...]:
        """Names of the parameters of the last layer that all tasks share."""
        return tuple(
            f"blocks.{m}.norm_second.{part}" for m in self.modalities for part in ("weight", "bias")
        )

    @property
    def shared_names(self) -> tuple[str, ...]:
        """Names of the parameters that every task reads."""
        return tuple(n for n, _ in self.named_parameters() if not n.startswith("heads."))

    def list_readers(self, name: str) -> tuple[str, ...]:
        """The tasks that read a parameter."""
        if not name.startswith("heads."):
            return tuple(self.tasks)
        owner = name.split(".")[1]
        return tuple(task for task, head in self.owners.items() if head == owner)

    def forward(
        self, batch: Mapping[str, Tensor], noise: Mapping[str, Tensor], values: Mapping[str, Tensor]
    ) -> Tensor:
        """Unweighted losses of the tasks, (L,): means over the rows that each is trained on.

        A strategy says which rows these are (`row_weights`, (B, L)); without one, all with a label.
        """
        outputs_BL = self.predict(batch, modalities_M=values["modalities"], seed=noise["seed"])
        losses_BL = measure_losses(outputs_BL, batch["labels"], is_binary=self.is_binary)
        weights_BL = values.get("row_weights")
        if weights_BL is None:
            weights_BL = weigh_rows((~batch["labels"].isnan()).to(losses_BL.dtype))
        return (weights_BL * losses_BL).sum(dim=0)

    def predict(
        self, batch: Mapping[str, Tensor], *, modalities_M: Tensor, seed: Tensor | None = None
    ) -> Tensor:
        """Logits and predictions, (B, L). `modalities_M` is 1 for those that are read, else 0."""
        pooled_BW = self.pool(batch, modalities_M=modalities_M, seed=seed)
        owners = self.owners
        outputs = {
            task: head(pooled_BW, seed=seed, place=1000 * (index + 1))
            for index, (task, head) in enumerate(self.heads.items())
        }
        return torch.stack([outputs[owners[task]] for task in self.tasks], dim=1)

    def pool(
        self, batch: Mapping[str, Tensor], *, modalities_M: Tensor, seed: Tensor | None = None
    ) -> Tensor:
        """The three pooled modalities side by side, (B, 3 W): what all heads read."""
        lengths = {m: batch[f"{m}_length"] for m in self.modalities}
        masks = {
            m: (torch.arange(batch[m].shape[1], device=batch[m].device) < lengths[m][:, None])
            & (modalities_M[MODALITIES.index(m)] > 0)
            for m in self.modalities
        }
        encoded = self._encode(batch, lengths, masks, seed)
        pooled = [
            self._attend_and_pool(m, encoded, masks, seed)
            if m in self.modalities
            else torch.zeros_like(next(iter(encoded.values()))[:, 0])
            for m in MODALITIES
        ]
        return torch.cat(pooled, dim=-1)

    def _encode(
        self,
        batch: Mapping[str, Tensor],
        lengths: Mapping[Modality, Tensor],
        masks: Mapping[Modality, Tensor],
        seed: Tensor | None,
    ) -> dict[Modality, Tensor]:
        encoders = {m: cast(Encoder, self.encoders[m]) for m in self.modalities}
        states: dict[Modality, Tensor] = {
            m: encoder.embed(batch[m], masks[m]) if m == "text" else batch[m]
            for m, encoder in encoders.items()
        }
        for depth in range(self.config.model.lstm_layers):
            names = [m for m, encoder in encoders.items() if encoder.num_layers > depth]
            if names:
                layers = [encoders[m].get_layer(depth) for m in names]
                outputs = run_layer(layers, [states[m] for m in names], [lengths[m] for m in names])
                states |= dict(zip(names, outputs, strict=True))
        probability, encoded = self.config.model.dropout, {}
        for m, encoder in encoders.items():
            place = 10 * MODALITIES.index(m)
            x = encoder.norm_in(states[m])
            x = _drop_if_training(x, probability=probability, seed=seed, place=place)
            x = encoder.norm_out(encoder.project(x))
            x = _drop_if_training(x, probability=probability, seed=seed, place=place + 1)
            encoded[m] = x * masks[m][..., None]
        return encoded

    def _attend_and_pool(
        self,
        modality: Modality,
        encoded: Mapping[Modality, Tensor],
        masks: Mapping[Modality, Tensor],
        seed: Tensor | None,
    ) -> Tensor:
        block, own = cast(Block, self.blocks[modality]), encoded[modality]
        attended, place = own, 10 * MODALITIES.index(modality) + 2
        for other, norm in zip(
            ATTENDS_TO[modality], (block.norm_first, block.norm_second), strict=True
        ):
            if other in encoded:
                found = block.attend(attended, encoded[other], masks[other])
                found = _drop_if_training(
                    found, probability=self.config.model.dropout, seed=seed, place=place
                )
            else:
                found = torch.zeros_like(own)
            attended, place = norm(own + found), place + 1
        pooled: Tensor = block.pool(attended, masks[modality])
        return pooled


def list_parameter_modalities(names: Sequence[str]) -> list[Modality | None]:
    """The modality that each parameter belongs to; None for heads."""
    parts = [name.split(".") for name in names]
    return [_as_modality(p[1]) if p[0] in ("encoders", "blocks") else None for p in parts]


def _as_modality(name: str) -> Modality:
    return MODALITIES[[str(m) for m in MODALITIES].index(name)]


def _drop_if_training(x: Tensor, *, probability: float, seed: Tensor | None, place: int) -> Tensor:
    return x if seed is None else drop(x, probability=probability, seed=seed, place=place)


def _is_bert(config: Config, modality: Modality) -> bool:
    return modality == "text" and isinstance(config.model.text_encoder, Bert)
