"""Shape of the multimodal model, and which modalities it learns from. Imports no torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveInt, model_validator

from hpcexp.train.hyperparameters import Hyperparameters
from hpcexp.train.schedule import with_default_kind
from hpcexp.workloads.multitask.config.datasets import MODALITIES, Modality


class Embedding(Hyperparameters):
    """Text tokens are embedded by a table that is learned with the rest."""

    kind: Literal["embedding"] = "embedding"
    width: int = Field(default=32, ge=1, description="Width of a token's vector.")


class Bert(Hyperparameters):
    """Text tokens are embedded by a pretrained BERT; needs `pip install hpcexp[bert]`."""

    kind: Literal["bert"] = "bert"
    path: str = Field(
        min_length=1, description="Directory that save_pretrained of transformers has written."
    )
    frozen: bool = Field(default=False, description="Leave its parameters as they are.")


TextEncoder = Annotated[
    Annotated[Embedding | Bert, Field(discriminator="kind")], with_default_kind("embedding")
]


class Model(Hyperparameters):
    """Hierarchical cross-attention over text, video and audio.

    Of the original: width 768, num_heads 12, lstm_width 512, lstm_layers 2, head_widths
    [200, 40, 20], head_norm batch, dropout 0.2, head_dropout 0.3.
    """

    width: int = Field(default=32, ge=1, description="Width of every modality after its encoder.")
    num_heads: int = Field(default=4, ge=1, description="Heads of the cross-attention.")
    lstm_width: int = Field(default=16, ge=1, description="Hidden units in each direction.")
    lstm_layers: int = Field(default=1, ge=1, description="Layers of each BiLSTM.")
    text_encoder: TextEncoder = Embedding()
    head_widths: Annotated[tuple[PositiveInt, ...], Field(strict=False)] = Field(
        default=(32,), description="Hidden layers of each task's head; empty: a linear head."
    )
    head_norm: Literal["none", "layer", "batch"] = Field(
        default="layer", description="Norm after each hidden layer of a head."
    )
    dropout: float = Field(
        default=0.0, ge=0, lt=1, description="Dropout after encoders and cross-attention."
    )
    head_dropout: float = Field(default=0.0, ge=0, lt=1, description="Dropout within the heads.")

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> Model:
        if self.width % self.num_heads:
            raise ValueError(
                f"model.width ({self.width}) is not a multiple of model.num_heads "
                f"({self.num_heads})"
            )
        return self


Phase = Annotated[tuple[Modality, ...], Field(strict=False, min_length=1)]


class Modalities(Hyperparameters):
    """Which modalities are learned from, all the time or one after the other.

    `mask`: the others are zero after their encoder, and are not attended to. `modular`: their
    encoders are not in the model. `freeze`: all are read, but only the encoders of those named
    (and the heads) change.
    """

    mode: Literal["mask", "modular", "freeze"] = Field(
        default="mask", description="What is done with modalities that are not named."
    )
    phases: Annotated[tuple[Phase, ...], Field(strict=False, min_length=1)] = Field(
        default=(MODALITIES,),
        description="Modalities of each phase; phases share the budget equally.",
    )

    @model_validator(mode="after")
    def _modular_has_one_phase(self) -> Modalities:
        if self.mode == "modular" and len(self.phases) > 1:
            raise ValueError(
                f"modalities.mode modular leaves encoders out of the model for good, but there "
                f"are {len(self.phases)} modalities.phases; choose mask or freeze, or one phase "
                "and warm_start for the next"
            )
        return self

    @property
    def used(self) -> tuple[Modality, ...]:
        """The modalities of all phases together; an evaluation reads these."""
        if self.mode == "freeze":
            return MODALITIES
        return tuple(name for name in MODALITIES if any(name in phase for phase in self.phases))

    @property
    def built(self) -> tuple[Modality, ...]:
        """The modalities whose encoders are in the model."""
        return self.used if self.mode == "modular" else MODALITIES
