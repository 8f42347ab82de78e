"""From records of steps, kept on the device, to rows of epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from hpcexp.train.sink import Row
from hpcexp.train.workload import ScheduleValues, Workload


class Evaluation(NamedTuple):
    """Metrics of one evaluation, still on the device, and the schedule it was made under."""

    epoch: int
    step: int
    metrics: Mapping[str, Tensor]
    schedule: ScheduleValues


@dataclass(frozen=True)
class Divergence:
    """The first step with a value that is not finite, or with a gradient that exploded.

    `step` counts the steps before it, `epoch` is the one it is part of, from 1. `record` is
    the step's, on the CPU: total, terms, and the gradient's norm. `reason` is in words.
    """

    step: int
    epoch: int
    record: Tensor
    loss_terms: tuple[str, ...]  # those that are not finite
    reason: str


class EpochRecorder:
    """Collects step records and evaluations without reading them, then reads them at once.

    A row of split `train` holds the means over the epoch's steps of the weighted total
    (`loss`), of each term without (`loss.NAME`) and with its weight (`weighted.NAME`, and the
    sum of each branch of the tree, such as `weighted.predict`), and of the gradient's norm
    before clipping (`grad_norm`), and the schedule in force at its last step
    (`schedule.NAME`). Steps that were left out (`on_divergence: skip`) are not part of the
    means; `skipped_steps` says how many they were. `extra_columns` of a record are what a
    strategy reports; their means are in the row too.
    """

    def __init__(self, workload: Workload, *, extra_columns: Sequence[str] = ()) -> None:
        self.steps_per_epoch = workload.config.steps_per_epoch
        self.loss_names = tuple(workload.loss_names)
        self.record_columns = ("loss", *(f"loss.{n}" for n in self.loss_names), "grad_norm")
        self.extra_columns = tuple(extra_columns)
        self.workload, self.explosion = workload, workload.config.grad_explosion
        self.branches = list_branches(self.loss_names)
        weighted = tuple(f"weighted.{n}" for n in (*self.loss_names, *self.branches))
        scalars = [k for k, v in workload.schedule(0).items() if not isinstance(v, list)]
        self.schedule_columns = tuple(f"schedule.{k}" for k in (*scalars, "lr"))
        self.may_skip = workload.config.on_divergence.kind == "skip"
        self.columns = (
            *self.record_columns,
            *weighted,
            *self.schedule_columns,
            *(("skipped_steps",) if self.may_skip else ()),
            *self.extra_columns,
            *workload.metric_names,
        )
        self.held: list[Tensor] = []  # records on the device, not read yet
        num_columns = len(self.record_columns) + len(self.extra_columns)
        self.read = torch.zeros(0, num_columns)  # of the epoch that has begun
        self.skipped: set[int] = set()  # of the steps in `read`
        self.schedules: list[ScheduleValues] = []  # of both
        self.evaluations: list[Evaluation] = []
        self.first_step = 0  # the step of the first of both

    def add_step(self, record: Tensor, *, schedule: ScheduleValues) -> None:
        """Hold the record of the next step."""
        self.held.append(record)
        self.schedules.append(schedule)

    def add_evaluation(
        self, metrics: Mapping[str, Tensor], *, epoch: int, step: int, schedule: ScheduleValues
    ) -> None:
        """Hold an evaluation: loss terms under their own names, and metrics."""
        self.evaluations.append(Evaluation(epoch, step, metrics, schedule))

    def pending(self) -> Tensor:
        """Records of the epoch that has begun and not ended, (steps, columns), on the CPU.

        Those of steps that were left out are NaN. To be called after `take_rows`.
        """
        return self.read

    def copy_last_epoch(self) -> Tensor:
        """What was read of the epoch of the last step, (steps, columns), before its row is taken.

        Nothing where it was taken already.
        """
        num_steps = self.first_step + len(self.read)
        return self.read[-((num_steps - 1) % self.steps_per_epoch + 1) :].clone()

    def resume(self, records: Tensor, *, step: int, lr: float) -> None:
        """Take up the pending records of a checkpoint made after `step` steps.

        `lr` is the rate of the last of them, which a row of these records alone would have.
        """
        self.held, self.evaluations = [], []
        self.read = records
        self.first_step = step - len(records)
        left_out = records.isnan().all(dim=1).nonzero().flatten().tolist()
        self.skipped = {self.first_step + position for position in left_out}
        steps = range(self.first_step, step)
        self.schedules = [{**self.workload.schedule(s), "lr": lr} for s in steps]

    def read_back(self) -> Divergence | None:
        """Read what is still on the device; says what diverged first, if anything did.

        What was recorded after that step is dropped.
        """
        if not self.held:
            return None
        num_known = len(self.read)
        self.read = torch.cat([self.read, torch.stack(self.held).cpu()])
        self.held = []
        return self._cut_at_divergence(num_known)

    def leave_out(self, step: int) -> None:
        """Count the last step that was read as one that was not taken."""
        self.read = torch.cat([self.read[:-1], torch.full_like(self.read[-1:], torch.nan)])
        self.skipped.add(step)

    def take_rows(self, *, ends: bool) -> list[Row]:
        """Rows of epochs that have ended, in order; if the run `ends`, also of one that has not."""
        rows = self._read_evaluations() + self._make_train_rows(ends=ends)
        return sorted(rows, key=lambda r: (r.epoch, r.split))

    def _cut_at_divergence(self, num_known: int) -> Divergence | None:
        """`num_known` records were looked at before."""
        records = self.read[:, : len(self.record_columns)]
        is_bad = (~torch.isfinite(records)).any(dim=1)
        if self.explosion is not None:
            is_bad |= records[:, -1] > self.explosion
        bad = is_bad[num_known:].nonzero()
        if not len(bad):
            return None
        position = num_known + int(bad[0])
        step = self.first_step + position
        self.read = self.read[: position + 1]
        del self.schedules[position + 1 :]
        self.evaluations = [e for e in self.evaluations if e.step <= step]
        return self._make_divergence(records[position], step=step)

    def _make_train_rows(self, *, ends: bool) -> list[Row]:
        rows = []
        while len(self.read):
            wanted = self.steps_per_epoch - self.first_step % self.steps_per_epoch
            if len(self.read) < wanted and not ends:
                break
            rows.append(self._make_train_row(self.read[:wanted]))
            self.read = self.read[wanted:]
        return rows

    def _make_train_row(self, records: Tensor) -> Row:
        count = len(records)
        steps = range(self.first_step, self.first_step + count)
        taken = torch.tensor([step not in self.skipped for step in steps])
        self.skipped.difference_update(steps)
        self.first_step += count
        exact = records.to(torch.float64)[taken]
        last = self.schedules[count - 1]
        scheduled = {f"schedule.{k}": v for k, v in last.items() if not isinstance(v, list)}
        terms = exact[:, 1 : len(self.record_columns) - 1]
        weighted = (terms * self._find_weights(exact, taken)).mean(dim=0).tolist()
        columns = (*self.record_columns, *self.extra_columns)
        values = dict(zip(columns, exact.mean(dim=0).tolist(), strict=True))
        values |= self._name_weighted(weighted) | scheduled
        if self.may_skip:
            values["skipped_steps"] = float(count - len(exact))
        del self.schedules[:count]
        epoch = -(-self.first_step // self.steps_per_epoch)
        return Row(epoch, self.first_step, "train", values)

    def _find_weights(self, records: Tensor, taken: Tensor) -> Tensor:
        """Weights of the terms, (steps taken, terms): a strategy's where it reports them."""
        columns = (*self.record_columns, *self.extra_columns)
        reported = [f"weight.{name}" for name in self.loss_names]
        if set(reported) <= set(columns):
            return records[:, [columns.index(name) for name in reported]]
        given = torch.tensor([s["loss_weights"] for s in self.schedules[: len(taken)]])
        return given[taken].to(torch.float64)

    def _read_evaluations(self) -> list[Row]:
        rows = [self._make_evaluation_row(e) for e in self.evaluations]
        self.evaluations = []
        return rows

    def _make_evaluation_row(self, evaluation: Evaluation) -> Row:
        metrics = evaluation.metrics
        numbers = torch.stack([v.to(torch.float64) for v in metrics.values()]).tolist()
        measured = dict(zip(metrics, numbers, strict=True))
        weights = evaluation.schedule["loss_weights"]
        assert isinstance(weights, list)
        terms = {name: measured.pop(name) for name in self.loss_names}
        total = sum(w * v for w, v in zip(weights, terms.values(), strict=True))
        products = [w * v for w, v in zip(weights, terms.values(), strict=True)]
        values = {"loss": total, **{f"loss.{k}": v for k, v in terms.items()}}
        values |= self._name_weighted(products) | measured
        return Row(evaluation.epoch, evaluation.step, "validate", values)

    def _name_weighted(self, products: Sequence[float]) -> dict[str, float]:
        """Weighted terms by name, and the sum of each branch of the tree."""
        terms = dict(zip(self.loss_names, products, strict=True))
        sums = {
            branch: sum(v for name, v in terms.items() if name.startswith(f"{branch}."))
            for branch in self.branches
        }
        return {f"weighted.{name}": value for name, value in (terms | sums).items()}

    def _make_divergence(self, record: Tensor, *, step: int) -> Divergence:
        epoch = step // self.steps_per_epoch + 1
        terms = tuple(
            name
            for name, is_finite in zip(self.loss_names, torch.isfinite(record[1:-1]), strict=True)
            if not is_finite
        )
        where = f"at step {step} (epoch {epoch})"
        if torch.isfinite(record).all():
            reason = (
                f"the gradient's norm reached {record[-1].item():.3g} {where}, above "
                f"grad_explosion ({self.explosion:g})"
            )
        else:
            value = "NaN" if torch.isnan(record).any() else "infinite"
            reason = f"{_name_culprits(record, terms)} became {value} {where}"
        return Divergence(step, epoch, record, terms, reason)


def _name_culprits(record: Tensor, terms: Sequence[str]) -> str:
    if terms:
        return "loss " + ", ".join(terms)
    return "the gradient" if torch.isfinite(record[0]) else "the weighted sum of the losses"


def list_branches(names: Sequence[str]) -> tuple[str, ...]:
    """The inner nodes of a tree of dotted names: `predict` of `predict.image`."""
    branches: dict[str, None] = {}
    for name in names:
        parts = name.split(".")
        branches.update({".".join(parts[:depth]): None for depth in range(1, len(parts))})
    return tuple(branches)
