"""Decoders: from the features of a mixture and of its sources to a score for each source.

A decoder treats all sources alike: other orders of sources give other orders of scores. A new
one is a class and a line in `DECODERS`.

Shapes: mixture_BF, sources_BNF, scores (B, N).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from hpcexp.train.precision import in_full_precision

RIDGE = 1e-4
"""Of least squares, as a part of the mean square of the sources' features."""


class Dot(nn.Module):
    """Inner products: of many features they are large, and a sigmoid of them is 1."""

    def __init__(self, num_features: int, width: int) -> None:
        super().__init__()
        del num_features, width

    def forward(self, mixture_BF: Tensor, sources_BNF: Tensor) -> Tensor:
        """Scores, (B, N)."""
        return (sources_BNF * mixture_BF[:, None]).sum(dim=-1)


class Cosine(Dot):
    """Cosines of the angles, from -1 to 1."""

    def forward(self, mixture_BF: Tensor, sources_BNF: Tensor) -> Tensor:
        """Scores, (B, N)."""
        return torch.cosine_similarity(sources_BNF, mixture_BF[:, None], dim=-1)


class ProductMlp(nn.Module):
    """An MLP of the products of features."""

    def __init__(self, num_features: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(num_features, width), nn.Mish(), nn.Linear(width, 1))

    def forward(self, mixture_BF: Tensor, sources_BNF: Tensor) -> Tensor:
        """Scores, (B, N)."""
        scores: Tensor = self.layers(sources_BNF * mixture_BF[:, None]).squeeze(-1)
        return scores


class PairMlp(nn.Module):
    """An MLP of (a, b, a b, |a - b|) for each source, which then sees the mean over sources."""

    def __init__(self, num_features: int, width: int) -> None:
        super().__init__()
        self.pairs = nn.Sequential(nn.Linear(4 * num_features, width), nn.Mish())
        self.scores = nn.Sequential(nn.Linear(2 * width, width), nn.Mish(), nn.Linear(width, 1))

    def forward(self, mixture_BF: Tensor, sources_BNF: Tensor) -> Tensor:
        """Scores, (B, N)."""
        mixture_BNF = mixture_BF[:, None].expand_as(sources_BNF)
        pairs = (
            mixture_BNF, sources_BNF, mixture_BNF * sources_BNF, (mixture_BNF - sources_BNF).abs(),
        )  # fmt: skip
        hidden_BNW = self.pairs(torch.cat(pairs, dim=-1))
        mean_BNW = hidden_BNW.mean(dim=1, keepdim=True).expand_as(hidden_BNW)
        # Only the last dimension goes: a batch of one stays a batch.
        scores: Tensor = self.scores(torch.cat([hidden_BNW, mean_BNW], dim=-1)).squeeze(-1)
        return scores


class LeastSquares(Dot):
    """The weights with which the sources' features add up to the mixture's; no parameters."""

    @in_full_precision
    def forward(self, mixture_BF: Tensor, sources_BNF: Tensor) -> Tensor:
        """Weights, (B, N), by ridge regression without a bias."""
        gram_BNN = sources_BNF @ sources_BNF.transpose(-1, -2)
        diagonal_BN = gram_BNN.diagonal(dim1=-2, dim2=-1)
        ridge_B1 = RIDGE * diagonal_BN.mean(dim=-1, keepdim=True) + torch.finfo(gram_BNN.dtype).tiny
        matrix_BNN = gram_BNN + torch.diag_embed(ridge_B1.expand_as(diagonal_BN))
        projected_BN1 = sources_BNF @ mixture_BF[..., None]
        weights: Tensor = torch.linalg.solve(matrix_BNN, projected_BN1).squeeze(-1)
        return weights


DECODERS: Mapping[str, Callable[[int, int], nn.Module]] = {
    "dot": Dot,
    "cosine": Cosine,
    "product_mlp": ProductMlp,
    "pair_mlp": PairMlp,
    "least_squares": LeastSquares,
}
