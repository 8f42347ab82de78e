"""From text tokens to vectors: a table that is learned, or a pretrained BERT."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from hpcexp.errors import UsageError
from hpcexp.workloads.multitask.config.model import Bert, TextEncoder

HOW_TO_INSTALL = "pip install 'hpcexp[bert]'"


class TokenTable(nn.Module):
    """One vector for each token."""

    def __init__(self, vocabulary: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.vectors = nn.Embedding(vocabulary, width)

    def forward(self, tokens_BT: Tensor, mask_BT: Tensor) -> Tensor:
        """Vectors, (B, T, width)."""
        del mask_BT  # a token's vector depends on no other token
        vectors: Tensor = self.vectors(tokens_BT)
        return vectors


class PretrainedBert(nn.Module):
    """The last hidden states of a BERT, which sees no padding.

    Its dropout is off: it would draw from torch's global generator, and a resumed run would
    draw other numbers.
    """

    def __init__(self, settings: Bert) -> None:
        super().__init__()
        self.bert = load_bert(settings.path)
        self.width: int = self.bert.config.hidden_size

    def forward(self, tokens_BT: Tensor, mask_BT: Tensor) -> Tensor:
        """Vectors, (B, T, width)."""
        # A row without a token attends to its first place, or its softmax would be 0 / 0.
        visible_BT = mask_BT.clone()
        visible_BT[:, 0] = True
        found = self.bert(input_ids=tokens_BT * mask_BT, attention_mask=visible_BT.long())
        states: Tensor = found.last_hidden_state
        return states * mask_BT[..., None]


def make_text_encoder(settings: TextEncoder, *, vocabulary: int) -> TokenTable | PretrainedBert:
    """The encoder that the settings ask for."""
    if isinstance(settings, Bert):
        return PretrainedBert(settings)
    return TokenTable(vocabulary, settings.width)


def load_bert(path: str) -> Any:
    """A BERT without dropout, from local files alone.

    Raises UsageError where transformers is not installed, or the directory holds no model.
    """
    try:
        from transformers import AutoModel
    except ImportError as error:
        raise UsageError(f"model.text_encoder bert needs transformers: {HOW_TO_INSTALL}") from error
    if not (Path(path) / "config.json").is_file():
        raise UsageError(
            f"model.text_encoder.path: {path} holds no config.json; give a directory that "
            "save_pretrained of transformers has written"
        )
    try:
        return AutoModel.from_pretrained(
            path,
            local_files_only=True,
            add_pooling_layer=False,
            attn_implementation="eager",
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )
    except (OSError, ValueError, TypeError) as error:
        raise UsageError(
            f"model.text_encoder.path: {path}: {str(error).splitlines()[0]}"
        ) from error
