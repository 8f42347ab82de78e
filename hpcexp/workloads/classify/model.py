"""An encoder with a linear head.

Shapes: B images, C, H, W, F features, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from hpcexp.train.workload import Batch
from hpcexp.workloads.classify.config import Config
from hpcexp.workloads.images.encoder import build_encoder, count_features


class Classifier(nn.Module):
    """Scores of classes, and their cross-entropy."""

    def __init__(self, config: Config, *, num_classes: int) -> None:
        super().__init__()
        self.config = config
        self.encoder = build_encoder(config.encoder)
        num_features = count_features(self.encoder, size=config.dataset.size)
        self.head = nn.Linear(num_features, num_classes)
        if not config.train_encoder:
            self.encoder.requires_grad_(False)
        self.train()

    def train(self, mode: bool = True) -> Classifier:
        """As any module; a frozen encoder stays in evaluation mode, so that no buffer moves."""
        super().train(mode)
        if not self.config.train_encoder:
            self.encoder.eval()
        return self

    def forward(
        self, batch: Batch, noise: Mapping[str, Tensor], values: Mapping[str, Tensor]
    ) -> Tensor:
        """The unweighted loss, (1,)."""
        del noise, values
        return self.measure(self.score(batch), batch["labels"]).reshape(1)

    def score(self, batch: Batch) -> Tensor:
        """Scores before the softmax, (B, K), of `images` (B, C, H, W), uint8."""
        images = batch["images"].to(self.head.weight.dtype) / 255
        scores: Tensor = self.head(self.encoder(images))
        return scores

    def measure(self, scores_BK: Tensor, labels_B: Tensor) -> Tensor:
        """Cross-entropy in nats, a scalar."""
        return nn.functional.cross_entropy(
            scores_BK, labels_B, label_smoothing=self.config.label_smoothing
        )
