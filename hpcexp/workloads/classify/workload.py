"""The classifier workload: data, model and metrics."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from hpcexp.errors import UsageError
from hpcexp.train.config import TrainConfig
from hpcexp.train.debugging import DebugFacts, InitialLoss
from hpcexp.train.inspection import Findings, ImageGrid, Request
from hpcexp.train.seeding import RandomStreams
from hpcexp.train.step import StepInputs
from hpcexp.train.workload import Batch
from hpcexp.workloads.classify.config import LOSS_NAME, METRIC_NAMES, Config
from hpcexp.workloads.classify.model import Classifier
from hpcexp.workloads.images.config import Inspection
from hpcexp.workloads.images.load import SPLITS, Images, Split, list_classes, load_images

SCORED_AT_ONCE = 256  # images
MIN_CLASSES = 2


def build(config: TrainConfig) -> ClassifyWorkload:
    """Build the workload of one configuration."""
    assert isinstance(config, Config)
    return ClassifyWorkload(config)


class ClassifyWorkload:
    """One configuration of learning to name the class of an image."""

    loss_names = (LOSS_NAME,)
    metric_names = METRIC_NAMES
    inspection_kinds = ("samples",)

    def __init__(self, config: Config) -> None:
        self.config = config

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes of all splits; a label is a place here.

        Raises UsageError where there is nothing to tell apart.
        """
        classes = list_classes(self.config.dataset)
        if len(classes) < MIN_CLASSES:
            raise UsageError(
                f"dataset: {len(classes)} class ({', '.join(classes) or 'no directories'}); put "
                "the images of each class into a directory of its own"
            )
        return classes

    def build_model(self) -> Classifier:
        """Encoder and head, freshly initialised."""
        return Classifier(self.config, num_classes=len(self.classes))

    def load_data(self) -> dict[str, dict[str, Tensor]]:
        """Each split's `images`, (N, 3, H, W), uint8, and `labels`, (N,)."""
        loaded = {split: self._load(split) for split in SPLITS}
        return {
            split: {
                "images": torch.from_numpy(images.images),
                "labels": torch.from_numpy(images.labels),
            }
            for split, images in loaded.items()
        }

    def _load(self, split: Split) -> Images:
        config = self.config
        count = config.train_set_size if split == "train" else config.validate_set_size
        return load_images(
            config.dataset, split=split, count=count, num_validate=config.validate_set_size
        )

    def draw(self, streams: RandomStreams, *, block: int, num_steps: int) -> dict[str, Tensor]:
        """Nothing is random but the order."""
        del streams, block, num_steps
        return {}

    def schedule(self, step: int) -> dict[str, float | list[float]]:
        """Constants."""
        del step
        return {"loss_weights": [1.0]}

    def evaluate(
        self, model: nn.Module, data: Batch, streams: RandomStreams
    ) -> Mapping[str, Tensor]:
        """Cross-entropy, and the share of images that are misnamed."""
        return self.evaluate_drawn(model, data, self.draw_evaluation(data, streams))

    def draw_evaluation(self, data: Batch, streams: RandomStreams) -> dict[str, Tensor]:
        """Nothing is random."""
        del data, streams
        return {}

    def evaluate_drawn(
        self, model: nn.Module, data: Batch, noise: Mapping[str, Tensor]
    ) -> Mapping[str, Tensor]:
        """What `evaluate` returns."""
        assert isinstance(model, Classifier)
        del noise
        scores_NK = _score_all(model, data["images"])
        wrong = (scores_NK.argmax(dim=1) != data["labels"]).to(scores_NK.dtype).mean()
        loss = model.measure(scores_NK, data["labels"])
        return dict(zip((LOSS_NAME, *METRIC_NAMES), (loss, wrong, 1 - wrong), strict=True))

    def debug_facts(self) -> DebugFacts:
        """What `hpcexp debug` can use: equal scores have a cross-entropy of ln K."""
        uniform = math.log(len(self.classes))
        return DebugFacts(
            predict=_predict,
            target=_make_target,
            trivial_loss=uniform,
            initial_loss=InitialLoss(
                0.7 * uniform, 1.5 * uniform, f"ln {len(self.classes)}, all classes alike"
            ),
            min_spread=0.02,
        )

    @property
    def inspection_settings(self) -> Inspection:
        """How the model is looked into while it trains."""
        return self.config.inspect

    def check_request(self, request: Request) -> None:
        """Raise UsageError for an unknown kind or split, or an image that a split has not."""
        unknown = [kind for kind in request.kinds if kind not in self.inspection_kinds]
        if unknown:
            raise UsageError(f"no such kind: {', '.join(unknown)}; there is: samples")
        if request.split is not None and request.split not in SPLITS:
            raise UsageError(f"no such split: {request.split}; there are: {', '.join(SPLITS)}")

    def inspect(self, model: nn.Module, request: Request) -> Iterator[Findings]:
        """Which class is taken for which, with an image of each pair."""
        assert isinstance(model, Classifier)
        split: Split = "train" if request.split == "train" else "validate"
        loaded = self._load(split)
        with torch.no_grad():
            scores = _score_all(model, torch.from_numpy(loaded.images).to(model.head.weight.device))
        predicted = scores.argmax(dim=1).cpu().numpy()
        numbers = {"accuracy": float((predicted == loaded.labels).mean())}
        grid = make_confusion(loaded, predicted, title=f"{split} set")
        yield Findings("samples", numbers, {"grid": grid})


def make_confusion(loaded: Images, predicted: npt.NDArray[np.int64], *, title: str) -> ImageGrid:
    """Rows are true classes, columns predicted ones: the first image of each pair, and a share."""
    num_classes = len(loaded.classes)
    images = np.zeros((num_classes, num_classes, *loaded.images.shape[2:], 3), np.uint8)
    is_shown = np.zeros((num_classes, num_classes), bool)
    labels = []
    for true, name in enumerate(loaded.classes):
        is_true = loaded.labels == true
        for taken_for in range(num_classes):
            places = np.flatnonzero(is_true & (predicted == taken_for))
            if len(places):
                images[true, taken_for] = np.moveaxis(loaded.images[places[0]], 0, -1)
                is_shown[true, taken_for] = True
        share = (predicted[is_true] == true).mean() if is_true.any() else 0.0
        labels.append(f"{name}  {share:.0%} right of {is_true.sum()}")
    return ImageGrid(
        title=f"{title}: an image of each class (rows) that is taken for another (columns)",
        images_RCHW3=images,
        row_labels=labels,
        column_labels=list(loaded.classes),
        is_shown_RC=is_shown,
    )


def _predict(model: nn.Module, inputs: StepInputs) -> Tensor:
    """Probabilities of the classes, (B, K)."""
    assert isinstance(model, Classifier)
    return model.score(inputs.batch).softmax(dim=-1)


def _make_target(model: nn.Module, inputs: StepInputs) -> Tensor:
    assert isinstance(model, Classifier)
    return nn.functional.one_hot(inputs.batch["labels"], model.head.out_features).float()


def _score_all(model: Classifier, images: Tensor) -> Tensor:
    starts = range(0, len(images), SCORED_AT_ONCE)
    return torch.cat([model.score({"images": images[i : i + SCORED_AT_ONCE]}) for i in starts])
