"""The multi-task workload: data, model, random numbers, schedules and metrics."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from hpcexp.train.config import TrainConfig
from hpcexp.train.debugging import DebugFacts
from hpcexp.train.inspection import Findings, Request
from hpcexp.train.seeding import RandomStreams
from hpcexp.train.workload import Batch
from hpcexp.workloads.multitask.affinity import measure_affinity
from hpcexp.workloads.multitask.config import PRIMARY_METRIC, Config
from hpcexp.workloads.multitask.config.datasets import MODALITIES, FilesDataset
from hpcexp.workloads.multitask.config.inspection import Inspection
from hpcexp.workloads.multitask.debugging import describe_for_debugging
from hpcexp.workloads.multitask.files import load_files
from hpcexp.workloads.multitask.inspection import KINDS, check_request, inspect
from hpcexp.workloads.multitask.losses import measure_losses, weigh_rows
from hpcexp.workloads.multitask.metrics import measure_task
from hpcexp.workloads.multitask.model import Hca
from hpcexp.workloads.multitask.strategy.order import find_task_phase
from hpcexp.workloads.multitask.strategy.strategy import FACTORS, MultitaskStrategy
from hpcexp.workloads.multitask.strategy.weighting import list_factors
from hpcexp.workloads.multitask.synthetic import draw_samples

logger = logging.getLogger("hpcexp.worker")

EVALUATED_AT_ONCE = 256  # rows


def build(config: TrainConfig) -> MultitaskWorkload:
    """Build the workload of one configuration."""
    assert isinstance(config, Config)
    if config.weighting == "raw":
        logger.warning(
            "weighting raw is ill-posed: the gradient of a weight is its loss, so weights fall "
            "without end; softmax and uncertainty are not"
        )
    return MultitaskWorkload(config)


class MultitaskWorkload:
    """One configuration of several tasks learned by one model."""

    inspection_kinds = KINDS

    def __init__(self, config: Config) -> None:
        self.config = config
        self.loss_names = config.tasks
        self.metric_names = config.metric_names
        self.is_binary = [config.dataset.task_kinds[task] == "binary" for task in config.tasks]

    def build_model(self) -> Hca:
        """The model, freshly initialised."""
        return Hca(self.config)

    def make_strategy(self, model: nn.Module) -> MultitaskStrategy:
        """The strategy that trains this model."""
        assert isinstance(model, Hca)
        return MultitaskStrategy(self.config, model)

    def load_data(self) -> dict[str, dict[str, Tensor]]:
        """Each split's features, lengths and `labels` (N, L), NaN where there is no label."""
        return {
            "train": self._hide_labels(self._load_split("train", self.config.train_set_size)),
            "validate": self._load_split("validate", self.config.validate_set_size),
        }

    def _load_split(self, split: str, num_samples: int) -> dict[str, Tensor]:
        dataset, tasks = self.config.dataset, self.config.tasks
        if isinstance(dataset, FilesDataset):
            return load_files(dataset, split=split, num_samples=num_samples, tasks=tasks)
        return draw_samples(dataset, split=split, num_samples=num_samples, tasks=tasks)

    def _hide_labels(self, data: dict[str, Tensor]) -> dict[str, Tensor]:
        """The rows of each source keep the labels of its own tasks."""
        labels, first = data["labels"].clone(), 0
        for source in self.config.sources.values():
            rows = slice(first, first + source.size)
            for index, task in enumerate(self.config.tasks):
                if task not in source.tasks:
                    labels[rows, index] = torch.nan
            first += source.size
        return {**data, "labels": labels}

    def draw(self, streams: RandomStreams, *, block: int, num_steps: int) -> dict[str, Tensor]:
        """A seed for each step, of which dropout masks are a function."""
        return {
            "seed": torch.randint(2**31, (num_steps,), generator=streams.generator("seed", block))
        }

    def schedule(self, step: int) -> dict[str, float | list[float]]:
        """Factors of the losses, the phases, and the modalities that are read and that move."""
        config = self.config
        phases = config.modalities.phases
        phase = min(step * len(phases) // config.num_steps, len(phases) - 1)
        named = [float(m in phases[phase]) for m in MODALITIES]
        reads_all = config.modalities.mode == "freeze"
        factors = list(list_factors(config))
        return {
            "loss_weights": factors,
            FACTORS: factors,  # those in force, by a strategy, replace `loss_weights`
            "task_phase": float(find_task_phase(config, step)),
            "modality_phase": float(phase),
            "ends_epoch": float((step + 1) % config.steps_per_epoch == 0),
            "modalities": [1.0] * len(MODALITIES) if reads_all else named,
            "moving_modalities": named,
        }

    def evaluate(
        self, model: nn.Module, data: Batch, streams: RandomStreams
    ) -> Mapping[str, Tensor]:
        """Losses, errors and metrics of all tasks over rows with a label, and the mean error."""
        assert isinstance(model, Hca)
        reads_M = self._find_read_modalities(like=data["labels"])
        outputs_NL, labels_NL = _predict_all(model, data, reads_M), data["labels"]
        weights_NL = weigh_rows((~labels_NL.isnan()).to(outputs_NL.dtype))
        losses_NL = measure_losses(outputs_NL, labels_NL, is_binary=self.is_binary)
        losses_L = (weights_NL * losses_NL).sum(dim=0)
        values = dict(zip(self.loss_names, losses_L, strict=True))
        for index, task in enumerate(self.config.tasks):
            measured = measure_task(
                outputs_NL[:, index], labels_NL[:, index], is_binary=self.is_binary[index]
            )
            values |= {f"{name}.{task}": value for name, value in measured.items()}
        errors = torch.stack([values[f"error.{task}"] for task in self.config.tasks])
        values[PRIMARY_METRIC.name] = errors.nanmean()
        if self.config.affinity.measure:
            values |= self._measure_affinity(model, data, streams, reads_M)
        return {name: values[name] for name in (*self.loss_names, *self.metric_names)}

    @property
    def inspection_settings(self) -> Inspection:
        """How the model is looked into while it trains."""
        return self.config.inspect

    def check_request(self, request: Request) -> None:
        """Raise UsageError for what cannot be shown."""
        check_request(self.config, request)

    def inspect(self, model: nn.Module, request: Request) -> Iterator[Findings]:
        """Numbers of every task on a whole split, and single samples."""
        assert isinstance(model, Hca)
        is_train = request.split == "train"
        size = self.config.train_set_size if is_train else self.config.validate_set_size
        data = self._load_split("train" if is_train else "validate", size)
        like = next(model.parameters())
        moved = {k: v.to(like.device) for k, v in data.items()}
        reads_M = self._find_read_modalities(like=like)
        with torch.no_grad():
            outputs_NL = _predict_all(model, moved, reads_M).float().cpu()
        yield from inspect(model, data, outputs_NL, request)

    def debug_facts(self) -> DebugFacts:
        """What `hpcexp debug` can use."""
        labels = self._load_split("train", self.config.train_set_size)["labels"]
        return describe_for_debugging(self.config, labels)

    def _find_read_modalities(self, *, like: Tensor) -> Tensor:
        used = self.config.modalities.used
        return torch.tensor(
            [float(m in used) for m in MODALITIES], dtype=like.dtype, device=like.device
        )

    def _measure_affinity(
        self, model: Hca, data: Batch, streams: RandomStreams, reads_M: Tensor
    ) -> dict[str, Tensor]:
        config = self.config
        order_N = torch.randperm(len(data["labels"]), generator=streams.generator("affinity")).to(
            reads_M.device
        )
        batches = [
            {k: v[order_N[first : first + config.batch_size]] for k, v in data.items()}
            for first in range(0, len(order_N), config.batch_size)
        ][: config.affinity.num_batches]
        affinity_LL = measure_affinity(
            model,
            batches,
            modalities_M=reads_M,
            lr=config.affinity.lr or config.lr,
            factors=list_factors(config),
        )
        return {
            f"affinity.{source}.{target}": affinity_LL[i, j]
            for i, source in enumerate(config.tasks)
            for j, target in enumerate(config.tasks)
        }


def _predict_all(model: Hca, data: Batch, reads_M: Tensor) -> Tensor:
    batches = _split_rows(data, EVALUATED_AT_ONCE)
    return torch.cat([model.predict(batch, modalities_M=reads_M) for batch in batches])


def _split_rows(data: Batch, size: int) -> Iterator[dict[str, Tensor]]:
    for first in range(0, len(data["labels"]), size):
        yield {k: v[first : first + size] for k, v in data.items()}
