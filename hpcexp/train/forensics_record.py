"""What is kept of a step that diverged: tensors to run it again, and a summary for people."""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from hpcexp.errors import SupersededError
from hpcexp.train.forensics import Examination, ModuleNorms, examine_step
from hpcexp.train.recorder import Divergence
from hpcexp.train.recovery import Action
from hpcexp.train.sink import Checkpoint, Sink
from hpcexp.train.step import StepFunction, StepInputs, TrainState
from hpcexp.train.watch import Measure

logger = logging.getLogger("hpcexp.worker")

MAX_BYTES = 512 * 2**20
ACTIONS: dict[Action, str] = {"stop": "stopped", "skip": "skipped", "rollback": "rolled_back"}


@dataclasses.dataclass(frozen=True)
class FailedStep:
    """A step that diverged, with all that it read.

    `indices` are those of its samples in the training set. `inputs` hold the learning rate that
    was in force, whatever had lowered it.
    """

    found: Divergence
    state: TrainState
    inputs: StepInputs
    indices: Tensor
    loss_names: Sequence[str]


def look_into(step: FailedStep, function: StepFunction, sink: Sink, *, action: Action) -> str:
    """Keep a record of a step that diverged; says where it began, empty if that is unknown.

    Whatever goes wrong here is logged and does not end the run.
    """
    began_in = ""
    try:
        examination = examine_step(function, step.state, step.inputs)
        began_in = examination.first.describe() if examination.first else ""
        record = make_record(step)
        sink.record_divergence(record, make_summary(step, examination, record, action=action))
    except SupersededError:
        raise
    except Exception:  # such as no memory for it, or no room on the disk
        logger.exception("looking into step %d failed", step.found.step)
    return began_in


def make_record(step: FailedStep, *, max_bytes: int = MAX_BYTES) -> Checkpoint:
    """Tensors and plain values that the step can be run again from, on the CPU.

    What would make it larger than `max_bytes` is left out, and named in `left_out`: first the
    samples and random numbers, which can be made again from the seed, then the state.
    """
    state = step.state._asdict()
    inputs = {"batch": dict(step.inputs.batch), "noise": dict(step.inputs.noise)}
    record: Checkpoint = {
        "step": step.found.step,
        "epoch": step.found.epoch,
        "reason": step.found.reason,
        "record": step.found.record,
        "dtype": str(next(iter(step.state.parameters.values())).dtype).removeprefix("torch."),
        "loss_names": list(step.loss_names),
        "indices": step.indices,
        "values": dict(step.inputs.values),
    }
    left_out = []
    for name, part in (("state", {"state": state}), ("inputs", inputs)):
        if _count_bytes({**record, **part}) <= max_bytes:
            record |= part
        else:
            left_out.append(name)
    moved: Checkpoint = _to_cpu({**record, "left_out": left_out})
    return moved


def make_summary(
    step: FailedStep, examination: Examination, record: Checkpoint, *, action: Action
) -> dict[str, Any]:
    """What `divergence.json` holds; numbers that are not finite are spelled as text."""
    found = step.found
    values = {k: v.tolist() for k, v in step.inputs.values.items()}
    first = examination.first
    return {
        "step": found.step,
        "epoch": found.epoch,
        "reason": found.reason,
        "action": ACTIONS[action],
        "loss_terms": list(found.loss_terms),
        "first": None if first is None else dataclasses.asdict(first),
        "first_in_words": "" if first is None else first.describe(),
        "happened_again": examination.diverged,
        **name_values(found.record, step.loss_names),
        "lr": spell(values["lr"]),
        "values": {k: spell(v) for k, v in values.items()},
        "samples": step.indices.tolist(),
        "modules": [spell_norms(norms) for norms in examination.modules],
        "left_out": record["left_out"],
    }


def name_values(record: Tensor, loss_names: Sequence[str]) -> dict[str, Any]:
    """The values of a step's record by name."""
    total, *terms, grad_norm = record.tolist()
    return {
        "loss": spell(total),
        "losses": {name: spell(term) for name, term in zip(loss_names, terms, strict=True)},
        "grad_norm": spell(grad_norm),
    }


def spell(value: Any) -> Any:
    """A number as JSON knows it, and `NaN`, `Infinity` or `-Infinity` as text; lists as well."""
    if isinstance(value, list):
        return [spell(part) for part in value]
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def spell_norms(norms: ModuleNorms) -> dict[str, Any]:
    """What passed through a module, as JSON knows it."""
    return {
        "name": norms.name,
        "num_calls": norms.num_calls,
        **{
            name: _spell_measure(getattr(norms, name))
            for name in ("output", "output_gradient", "parameters", "gradient")
        },
    }


def _spell_measure(found: Measure | None) -> dict[str, Any] | None:
    return None if found is None else dataclasses.asdict(found)


def _count_bytes(tree: Mapping[str, Any]) -> int:
    return sum(
        _count_bytes(value)
        if isinstance(value, Mapping)
        else value.numel() * value.element_size()
        if isinstance(value, Tensor)
        else 0
        for value in tree.values()
    )


def _to_cpu(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {k: _to_cpu(v) for k, v in tree.items()}
    # A copy: what is a view of 64 steps would be written with all of them.
    return tree.detach().cpu().clone() if isinstance(tree, Tensor) else tree
