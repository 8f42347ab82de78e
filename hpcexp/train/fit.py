"""The training loop of one run: steps, evaluations, records, checkpoints, divergence.

The loop asks the device nothing while it trains: records of the steps stay there and are
read back once a block (or every few seconds), and only then is divergence noticed. That
is safe, because the step itself holds the parameters still from the first value on that
is not finite.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from hpcexp.errors import HpcexpError
from hpcexp.train.inputs import STEPS_PER_BLOCK, InputBlock, make_block
from hpcexp.train.recorder import EpochRecorder
from hpcexp.train.seeding import RandomStreams
from hpcexp.train.sink import Checkpoint, Progress, Sink
from hpcexp.train.step import StepFunction, TrainState
from hpcexp.train.workload import Workload

Outcome = Literal["completed", "diverged", "interrupted"]


@dataclass(frozen=True)
class FitOptions:
    """How to run, as opposed to what to train: none of these changes a number."""

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    checkpoint_every_s: float = 300.0
    read_back_every_s: float = 2.0
    clock: Callable[[], float] = time.monotonic


@dataclass(frozen=True)
class FitResult:
    """How a run ended; `reason` is in words, empty for a completed run."""

    outcome: Outcome
    step: int
    epoch: int
    reason: str = ""


def fit(
    workload: Workload,
    *,
    streams: RandomStreams,
    sink: Sink,
    options: FitOptions | None = None,
    dtype: torch.dtype = torch.float32,
) -> FitResult:
    """Train one run to the end of its budget, from its newest checkpoint if there is one.

    An interrupted run saves a checkpoint and returns; calling `fit` again continues it, and
    on the CPU gives the same numbers, bit for bit, as if it had not been interrupted.
    """
    return _Fit(workload, streams, sink, options or FitOptions(), dtype).run()


class _Fit:
    def __init__(
        self,
        workload: Workload,
        streams: RandomStreams,
        sink: Sink,
        options: FitOptions,
        dtype: torch.dtype,
    ) -> None:
        self.workload, self.streams, self.sink, self.options = workload, streams, sink, options
        self.config, self.dtype = workload.config, dtype
        with streams.initialising():
            model = workload.build_model()
        model = model.to(options.device, dtype).train()
        self.step_function = StepFunction(model, self.config.optimizer)
        self.evaluated_model = copy.deepcopy(model).eval()
        self.data = {split: self._move(data) for split, data in workload.load_data().items()}
        self.state: TrainState = self.step_function.init_state()
        self.step = 0
        self.recorder = EpochRecorder(workload)
        self.block: tuple[int, InputBlock] | None = None

    def run(self) -> FitResult:
        self._restore()
        now = self.options.clock()
        self.last_checkpoint, self.last_read_back = now, now
        while self.step < self.config.num_steps:
            if reason := self.sink.interruption():
                return self._end("interrupted", reason)
            self._train_one_step()
            if self._read_back_is_due() and (reason := self._read_back()):
                return self._end("diverged", reason)
            if self.options.clock() - self.last_checkpoint >= self.options.checkpoint_every_s:
                if reason := self._read_back():
                    return self._end("diverged", reason)
                self._save_checkpoint()
        return self._end("completed")

    def _train_one_step(self) -> None:
        index, offset = divmod(self.step, STEPS_PER_BLOCK)
        if self.block is None or self.block[0] != index:
            made = make_block(
                self.workload,
                self.streams,
                block=index,
                device=self.options.device,
                dtype=self.dtype,
            )
            self.block = (index, made)
        inputs = self.block[1].select(offset, self.data["train"])
        self.state, record = self.step_function(self.state, inputs)
        self.recorder.add_step(record, schedule=self.workload.schedule(self.step))
        self.step += 1
        if self._ends_epoch() and self._evaluation_is_due():
            self._evaluate()

    def _ends_epoch(self) -> bool:
        last = self.step == self.config.num_steps
        return last or self.step % self.config.steps_per_epoch == 0

    def _epoch(self) -> int:
        return -(-self.step // self.config.steps_per_epoch)

    def _evaluation_is_due(self) -> bool:
        return self._epoch() % self.config.eval_every == 0 or self.step == self.config.num_steps

    def _evaluate(self) -> None:
        model, state = self.evaluated_model, self.state
        with torch.no_grad():
            for name, tensor in (*model.named_parameters(), *model.named_buffers()):
                tensor.copy_({**state.parameters, **state.buffers}[name])
            metrics = self.workload.evaluate(model, self.data["validate"], self.streams)
        schedule = self.workload.schedule(max(self.step - 1, 0))
        self.recorder.add_evaluation(
            metrics, epoch=self._epoch(), step=self.step, schedule=schedule
        )

    def _read_back_is_due(self) -> bool:
        waited = self.options.clock() - self.last_read_back
        return self.step % STEPS_PER_BLOCK == 0 or waited >= self.options.read_back_every_s

    def _read_back(self) -> str:
        """Send what was recorded to the sink; says what diverged, if something did."""
        rows, reason = self.recorder.read_back(is_last=self.step == self.config.num_steps)
        if reason:
            self.step = int(self.state.step.item())
        self.sink.record(rows, self._progress())
        self.last_read_back = self.options.clock()
        return reason

    def _progress(self) -> Progress:
        epoch = self.step // self.config.steps_per_epoch
        return Progress(epoch, self.config.num_epochs, self.step, self.config.num_steps)

    def _end(self, outcome: Outcome, reason: str = "") -> FitResult:
        if outcome != "diverged" and (diverged := self._read_back()):
            outcome, reason = "diverged", diverged
        self._save_checkpoint()
        return FitResult(outcome, self.step, self._epoch(), reason)

    def _save_checkpoint(self) -> None:
        checkpoint: Checkpoint = {
            "state": self.state._asdict(),
            "step": self.step,
            "epoch_records": self.recorder.pending(),
            **self._origin(),
        }
        self.sink.save_checkpoint(checkpoint, step=self.step)
        self.last_checkpoint = self.options.clock()

    def _restore(self) -> None:
        checkpoint = self.sink.load_checkpoint()
        if checkpoint is not None:
            self._check_origin(checkpoint)
            self.state = TrainState(**_move_tree(checkpoint["state"], self.options.device))
            self.step = checkpoint["step"]
            self.recorder.resume(checkpoint["epoch_records"], step=self.step)
        resume_step = None if checkpoint is None else self.step
        self.sink.start(self.recorder.columns, resume_step=resume_step)
        if checkpoint is None:
            self._evaluate()  # what an untrained model reaches

    def _check_origin(self, checkpoint: Checkpoint) -> None:
        """A run that went on with other random numbers would look like one that did not."""
        for name, value in self._origin().items():
            if checkpoint[name] != value:
                raise HpcexpError(
                    f"the checkpoint is of another run: its {name} is {checkpoint[name]}, "
                    f"this run's is {value}"
                )

    def _origin(self) -> dict[str, int]:
        return {
            "seed": self.streams.seed,
            "rand_init": self.streams.rand_init,
            "steps_per_block": STEPS_PER_BLOCK,
        }

    def _move(self, data: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {
            k: v.to(self.options.device, self.dtype if v.is_floating_point() else None)
            for k, v in data.items()
        }


def _move_tree(tree: dict[str, object], device: torch.device) -> dict[str, Any]:
    return {
        k: _move_tree(v, device) if isinstance(v, dict) else v.to(device)  # type: ignore[attr-defined]
        for k, v in tree.items()
    }
