"""The model: encoder, decoder, activation and loss.

Shape suffixes: B batch, N sources, C, H, W image, F features.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from hpcexp.train.workload import Batch
from hpcexp.workloads.images.encoder import build_encoder, count_features
from hpcexp.workloads.unmix.config import Config
from hpcexp.workloads.unmix.decoders import DECODERS
from hpcexp.workloads.unmix.items import mix


class Objective(nn.Module):
    """Scores of sources, and the loss that trains them."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.encoder = build_encoder(config.encoder)
        num_features = count_features(self.encoder, size=config.dataset.size)
        self.decoder = DECODERS[config.decoder](num_features, config.decoder_width)

    def forward(
        self, batch: Batch, noise: Mapping[str, Tensor], values: Mapping[str, Tensor]
    ) -> Tensor:
        """The unweighted loss, (1,)."""
        scores_BN = self.score(batch, noise)
        return self.measure(scores_BN, noise["weights"], values).reshape(1)

    def score(self, batch: Batch, noise: Mapping[str, Tensor]) -> Tensor:
        """Scores before the activation, (B, N), of `images` (B, N, C, H, W), uint8."""
        weights_BN = noise["weights"]
        mixture, sources = mix(
            batch["images"].to(weights_BN.dtype) / 255, weights_BN, kind=self.config.items
        )
        features = self.encode(mixture, sources)
        # Of the weights' type, whatever the networks compute in.
        scores: Tensor = self.decoder(*(f.to(weights_BN.dtype) for f in features))
        return scores.to(weights_BN.dtype)

    def encode(self, mixture_BCHW: Tensor, sources_BNCHW: Tensor) -> tuple[Tensor, Tensor]:
        """Features of the mixture, (B, F), and of the sources, (B, N, F)."""
        size, n = sources_BNCHW.shape[:2]
        if self.config.encode == "per_image":
            sources = [self.encoder(sources_BNCHW[:, slot]) for slot in range(n)]
            return self.encoder(mixture_BCHW), torch.stack(sources, dim=1)
        together = torch.cat([mixture_BCHW, sources_BNCHW.flatten(0, 1)])
        features = self.encoder(together)
        return features[:size], features[size:].unflatten(0, (size, n))

    def activate(self, scores_BN: Tensor, temperature: Tensor) -> Tensor:
        """Predictions of the target, (B, N)."""
        if self.config.activation == "sigmoid":
            return torch.sigmoid(scores_BN)
        if self.config.activation == "softmax":
            return torch.softmax(scores_BN / temperature, dim=-1)
        return scores_BN

    def make_target(self, weights_BN: Tensor) -> Tensor:
        """What is to be predicted, (B, N)."""
        if self.config.target == "presence":
            return (weights_BN > 0).to(weights_BN.dtype)
        return weights_BN

    def measure(
        self, scores_BN: Tensor, weights_BN: Tensor, values: Mapping[str, Tensor]
    ) -> Tensor:
        """The loss of scores, a scalar; cross-entropies in nats."""
        target_BN = self.make_target(weights_BN)
        if self.config.loss == "bce":
            return nn.functional.binary_cross_entropy_with_logits(scores_BN, target_BN)
        if self.config.loss == "soft_cross_entropy":
            share_BN = target_BN / target_BN.sum(dim=-1, keepdim=True)
            log_BN = torch.log_softmax(scores_BN / values["temperature"], dim=-1)
            return -(share_BN * log_BN).sum(dim=-1).mean()
        predicted_BN = self.activate(scores_BN, values["temperature"])
        return (predicted_BN - target_BN).square().mean()
