"""The unmixing workload: data, model, random numbers and metrics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from hpcexp.train.config import TrainConfig
from hpcexp.train.debugging import DebugFacts
from hpcexp.train.inspection import Findings, Request
from hpcexp.train.seeding import RandomStreams
from hpcexp.train.workload import Batch
from hpcexp.workloads.images.config import Inspection
from hpcexp.workloads.images.load import Split, load_images
from hpcexp.workloads.unmix.config import METRIC_NAMES, Config
from hpcexp.workloads.unmix.debugging import describe_for_debugging
from hpcexp.workloads.unmix.inspection import KINDS, check_request, inspect_samples
from hpcexp.workloads.unmix.items import Items, draw_batches
from hpcexp.workloads.unmix.metrics import measure_exact_pairs, measure_r2, measure_spread
from hpcexp.workloads.unmix.objective import Objective
from hpcexp.workloads.unmix.scoring import draw_validation_items, score_items


def build(config: TrainConfig) -> UnmixWorkload:
    """Build the workload of one configuration."""
    assert isinstance(config, Config)
    return UnmixWorkload(config)


class UnmixWorkload:
    """One configuration of learning to unmix images."""

    loss_names = ("unmixing",)
    metric_names = METRIC_NAMES
    inspection_kinds = KINDS

    def __init__(self, config: Config) -> None:
        self.config = config

    def build_model(self) -> Objective:
        """Encoder and decoder, freshly initialised."""
        return Objective(self.config)

    def load_data(self) -> dict[str, dict[str, Tensor]]:
        """Each split's `images`, (N, 3, H, W), uint8."""
        sizes: dict[Split, int] = {
            "train": self.config.train_set_size,
            "validate": self.config.validate_set_size,
        }
        return {split: {"images": self._load(split, size)} for split, size in sizes.items()}

    def _load(self, split: Split, count: int) -> Tensor:
        loaded = load_images(
            self.config.dataset,
            split=split,
            count=count,
            num_validate=self.config.validate_set_size,
        )
        return torch.from_numpy(loaded.images)

    def draw_order(self, streams: RandomStreams, steps: range) -> Tensor:
        """Places of the images of each mixture, (steps, batch, n)."""
        return draw_batches(self.config, streams, steps).rows_IN

    def draw(self, streams: RandomStreams, *, block: int, num_steps: int) -> dict[str, Tensor]:
        """How much of each image is in each mixture: `weights`, (steps, batch, n)."""
        steps = range(block * num_steps, (block + 1) * num_steps)
        return {"weights": draw_batches(self.config, streams, steps).weights_IN}

    def schedule(self, step: int) -> dict[str, float | list[float]]:
        """Constants."""
        del step
        return {"loss_weights": [1.0], "temperature": self.config.temperature}

    def evaluate(
        self, model: nn.Module, data: Batch, streams: RandomStreams
    ) -> Mapping[str, Tensor]:
        """Loss and metrics on mixtures that are the same at every evaluation, all of them."""
        return self.evaluate_drawn(model, data, self.draw_evaluation(data, streams))

    def draw_evaluation(self, data: Batch, streams: RandomStreams) -> dict[str, Tensor]:
        """The mixtures, and the temperature."""
        device = data["images"].device
        items = draw_validation_items(self.config, streams, num_images=len(data["images"]))
        return {
            "rows": items.rows_IN.to(device),
            "weights": items.weights_IN.to(device),
            "temperature": torch.tensor(
                self.config.temperature, dtype=torch.float64, device=device
            ),
        }

    def evaluate_drawn(
        self, model: nn.Module, data: Batch, noise: Mapping[str, Tensor]
    ) -> Mapping[str, Tensor]:
        """What `evaluate` returns, of the mixtures that were drawn."""
        assert isinstance(model, Objective)
        items = Items(noise["rows"], noise["weights"])
        weights_IN, scores_IN = score_items(model, data["images"], items)
        temperature = noise["temperature"].to(weights_IN.dtype)
        target_IN = model.make_target(weights_IN)
        predicted_IN = model.activate(scores_IN, temperature)
        r2 = measure_r2(predicted_IN, target_IN)
        values = (
            model.measure(scores_IN, weights_IN, {"temperature": temperature}),
            1 - r2,
            r2,
            (predicted_IN - target_IN).square().mean(),
            measure_exact_pairs(predicted_IN, weights_IN),
            measure_spread(predicted_IN),
        )
        return dict(zip((*self.loss_names, *self.metric_names), values, strict=True))

    def debug_facts(self) -> DebugFacts:
        """What `hpcexp debug` can use."""
        return describe_for_debugging(self.config)

    @property
    def inspection_settings(self) -> Inspection:
        """How the model is looked into while it trains."""
        return self.config.inspect

    def check_request(self, request: Request) -> None:
        """Raise UsageError for what cannot be shown."""
        check_request(self.config, request)

    def inspect(self, model: nn.Module, request: Request) -> Iterator[Findings]:
        """Mixtures, their sources, and what is predicted of them."""
        assert isinstance(model, Objective)
        with torch.no_grad():
            findings = inspect_samples(model, request)
        yield findings
