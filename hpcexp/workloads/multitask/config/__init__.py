"""Hyperparameters of the multi-task workload. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import Field, PositiveFloat, model_validator

from hpcexp.train.config import TrainConfig
from hpcexp.train.metric import Metric
from hpcexp.workloads.multitask.config.datasets import (
    MODALITIES,
    SYNTHETIC_TASKS,
    Dataset,
    Source,
    SyntheticDataset,
    TaskKind,
)
from hpcexp.workloads.multitask.config.inspection import Inspection
from hpcexp.workloads.multitask.config.model import Modalities, Model
from hpcexp.workloads.multitask.config.strategy import (
    LANE_COMBINATIONS,
    Affinity,
    CaGrad,
    Combination,
    Curriculum,
    DifficultySampling,
    Dwa,
    Famo,
    GradNorm,
    LearnedWeights,
    NashMtl,
    OneAtATime,
    Order,
    Rows,
    StopAndGo,
    Weighting,
)

PRIMARY_METRIC = Metric(
    name="mean_error",
    title="mean error of the tasks: 1 - AUC, or 1 - R² (validation)",
    cap=1.0,
)

_METRICS: Mapping[TaskKind, tuple[str, ...]] = {
    "binary": ("accuracy", "auc", "f1"),
    "regression": ("r2",),
}


class Config(TrainConfig):
    """Hyperparameters of one run of the multi-task workload."""

    lane_free: ClassVar[dict[str, Any]] = TrainConfig.lane_free | {
        "dataset": {"seed"},
        "affinity": True,
        "weights": True,
    }

    batch_size: int = Field(default=64, ge=1, description="Samples in one optimiser step.")
    train_set_size: int = Field(default=4000, ge=1, description="Samples in the training set.")
    validate_set_size: int = Field(default=1000, ge=1, description="Samples in the validation set.")
    max_epoch: int = Field(
        default=7, ge=1, description="Budget: passes over the training set (epochs)."
    )
    lr: float = Field(default=3e-3, gt=0, description="Learning rate.")
    keep_best: Annotated[tuple[str, ...], Field(strict=False)] = Field(
        default=(PRIMARY_METRIC.name,),
        description="Validation metrics of which the checkpoint with the smallest value is kept.",
    )

    dataset: Dataset = SyntheticDataset()
    tasks: Annotated[tuple[str, ...], Field(strict=False, min_length=1)] = Field(
        default=tuple(task for task in SYNTHETIC_TASKS if task != "anti"),
        description="Tasks that are trained; one: a single-task model. anti undoes easy: the two "
        "share a head, and ask the opposite of it.",
    )
    sources: Mapping[str, Source] = Field(
        default={},
        description="Several data sets in one training set, each in an order and at a position of "
        "its own; empty: one data set.",
    )
    mixture: Rows = Field(
        default="all",
        description="Rows of a batch that each source gives: all, by its size; dds, by the "
        "difficulty of its tasks.",
    )
    model: Model = Model()
    modalities: Modalities = Modalities()

    weights: Mapping[str, PositiveFloat] = Field(
        default={},
        description="Fixed factors of the tasks' losses; 1 for those not named. Tasks that are not "
        "trained may be named.",
    )
    weighting: Weighting = Field(
        default="fixed", description="How losses weigh, besides their fixed factors."
    )
    combine: Combination = Field(
        default="sum", description="What is made of the tasks' gradients of shared parameters."
    )
    order: Order = Field(default="together", description="Which tasks are trained when.")
    rows: Rows = Field(
        default="all", description="Every row of a batch is for all active tasks, or shared out."
    )
    learned: LearnedWeights = LearnedWeights()
    dwa: Dwa = Dwa()
    famo: Famo = Famo()
    gradnorm: GradNorm = GradNorm()
    cagrad: CaGrad = CaGrad()
    nashmtl: NashMtl = NashMtl()
    dsg: StopAndGo = StopAndGo()
    dds: DifficultySampling = DifficultySampling()
    one_at_a_time: OneAtATime = OneAtATime()
    curriculum: Curriculum = Curriculum()
    affinity: Affinity = Affinity()
    inspect: Inspection = Inspection()

    @model_validator(mode="after")
    def _tasks_exist(self) -> Config:
        known = self.dataset.task_kinds
        asked = [("tasks", self.tasks), ("weights", tuple(self.weights))]
        asked += [(f"sources.{name}.tasks", s.tasks) for name, s in self.sources.items()]
        for where, names in asked:
            for name in names:
                if name not in known:
                    raise ValueError(
                        f"{where}: there is no task {name}; there are: {', '.join(known)}"
                    )
            if len(set(names)) < len(names):
                raise ValueError(f"{where}: {', '.join(names)} names a task twice")
        return self

    @model_validator(mode="after")
    def _rows_suffice(self) -> Config:
        for name in ("rows", "mixture"):
            parts = self.tasks if name == "rows" else tuple(self.sources)
            needed = self.dds.min_rows * len(parts)
            if getattr(self, name) == "dds" and needed > self.batch_size:
                raise ValueError(
                    f"{name} dds: {len(parts)} parts with dds.min_rows {self.dds.min_rows} need a "
                    f"batch_size of at least {needed}; it is {self.batch_size}"
                )
        if self.batch_size == 1 and self.model.head_norm == "batch":
            raise ValueError(
                "model.head_norm batch needs at least two rows, and batch_size is 1; choose layer"
            )
        return self

    @model_validator(mode="after")
    def _sources_fit(self) -> Config:
        if self.mixture == "dds" and not self.sources:
            raise ValueError("mixture dds needs sources; for shares of tasks set rows to dds")
        if not self.sources:
            return self
        total = sum(source.size for source in self.sources.values())
        if total != self.train_set_size:
            raise ValueError(
                f"train_set_size is {self.train_set_size}, but the sizes of sources add up to "
                f"{total}"
            )
        if self.batch_size < len(self.sources):
            raise ValueError(
                f"batch_size ({self.batch_size}) leaves no row for one of {len(self.sources)} "
                "sources"
            )
        labelled = {name for source in self.sources.values() for name in source.tasks}
        for task in self.tasks:
            if task not in labelled:
                raise ValueError(f"sources: none of them has labels of task {task}")
        return self

    @model_validator(mode="after")
    def _lengths_fit(self) -> Config:
        dataset = self.dataset
        if isinstance(dataset, SyntheticDataset):
            limits = zip(MODALITIES, dataset.min_lengths, dataset.max_lengths, strict=True)
            for modality, shortest, longest in limits:
                if shortest > longest:
                    raise ValueError(
                        f"dataset.min_lengths of {modality} ({shortest}) is more than its "
                        f"dataset.max_lengths ({longest})"
                    )
        return self

    @model_validator(mode="after")
    def _curriculum_fits(self) -> Config:
        if "curriculum" not in self.order:
            return self
        parts = self.curriculum.probe + self.curriculum.pretrain
        if parts >= 1:
            raise ValueError(
                f"curriculum.probe and curriculum.pretrain are {parts:g} of the budget together; "
                "leave a part for what follows"
            )
        # A run of one epoch is a trial of the machinery: there is nothing to order by in it.
        if self.num_probe_evaluations < 1 and self.num_epochs > 1:
            raise ValueError(
                f"curriculum.probe ({self.curriculum.probe:g} of {self.num_epochs} epochs) ends "
                "before the first evaluation; make it longer, or eval_every smaller"
            )
        return self

    @property
    def num_probe_evaluations(self) -> int:
        """Evaluations within a curriculum's probe, the one before training left out."""
        epochs = int(self.curriculum.probe * self.num_steps) // self.steps_per_epoch
        return epochs // self.eval_every

    @property
    def metric_names(self) -> tuple[str, ...]:
        """Names of what an evaluation reports besides the losses of the tasks."""
        kinds = self.dataset.task_kinds
        measured = [f"{metric}.{task}" for task in self.tasks for metric in _METRICS[kinds[task]]]
        errors = [f"error.{task}" for task in self.tasks]
        affinities = [f"affinity.{i}.{j}" for i in self.tasks for j in self.tasks]
        return (
            PRIMARY_METRIC.name,
            *errors,
            *measured,
            *(affinities if self.affinity.measure else ()),
        )

    @property
    def metric_columns(self) -> Mapping[str, tuple[str, ...]] | None:
        """Columns of the rows of each split that rules may be about."""
        if not set(self.tasks) <= set(self.dataset.task_kinds):
            return None  # that is the fault to tell
        losses = ("loss", *(f"loss.{name}" for name in self.tasks))
        return {"train": (*losses, "grad_norm"), "validate": (*losses, *self.metric_names)}

    @property
    def lane_shape(self) -> Mapping[str, Any]:
        """A curriculum remembers every evaluation of its probe."""
        is_curriculum = "curriculum" in self.order
        return {"num_remembered": self.num_probe_evaluations if is_curriculum else 0}

    @property
    def lane_obstacle(self) -> str:
        """Combinations of gradients solve a problem in every step; BERT cannot be mapped."""
        if self.combine not in LANE_COMBINATIONS:
            return f"combine {self.combine} cannot be mapped over lanes"
        kind = self.model.text_encoder.kind
        return f"model.text_encoder {kind} cannot be mapped over lanes" if kind == "bert" else ""
