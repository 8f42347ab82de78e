"""The training loop of one run: steps, evaluations, records, checkpoints, divergence.

The loop asks the device nothing while it trains: records of the steps stay there and are
read back once a block (or every few seconds), and only then is divergence noticed. That
is safe, because the step itself holds the parameters still from the first value on that
is not finite.
"""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from hpcexp.errors import HpcexpError, SupersededError
from hpcexp.train.best import BestParameters
from hpcexp.train.control import Controller
from hpcexp.train.inputs import STEPS_PER_BLOCK, InputBlock, make_block
from hpcexp.train.recorder import EpochRecorder
from hpcexp.train.seeding import RandomStreams
from hpcexp.train.sink import Checkpoint, Progress, Sink
from hpcexp.train.step import StepFunction, StepInputs, TrainState
from hpcexp.train.strategy import HasStrategy
from hpcexp.train.workload import Workload

logger = logging.getLogger("hpcexp.worker")

Outcome = Literal["completed", "stopped", "diverged", "interrupted"]


@dataclass(frozen=True)
class FitOptions:
    """How to run, as opposed to what to train: none of these changes a number.

    `inspect` is given the model in evaluation mode and the epoch, every `inspect_every`
    epochs; what goes wrong in it is logged and does not end the run.
    """

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    checkpoint_every_s: float = 300.0
    read_back_every_s: float = 2.0
    clock: Callable[[], float] = time.monotonic
    inspect: Callable[[nn.Module, int], None] | None = None
    inspect_every: int | None = None


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
    initial: Mapping[str, Tensor] | None = None,
) -> FitResult:
    """Train one run to the end of its budget, from its newest checkpoint if there is one.

    An interrupted run saves a checkpoint and returns; calling `fit` again continues it, and
    on the CPU gives the same numbers, bit for bit, as if it had not been interrupted.
    `initial` are parameters and buffers, by name, that replace the freshly initialised ones.
    """
    return _Fit(workload, streams, sink, options or FitOptions(), dtype, initial or {}).run()


class _Fit:
    def __init__(
        self,
        workload: Workload,
        streams: RandomStreams,
        sink: Sink,
        options: FitOptions,
        dtype: torch.dtype,
        initial: Mapping[str, Tensor],
    ) -> None:
        self.workload, self.streams, self.sink, self.options = workload, streams, sink, options
        self.config, self.dtype = workload.config, dtype
        with streams.initialising():
            model = workload.build_model()
        model.load_state_dict(dict(initial), strict=False)
        model = model.to(options.device, dtype).train()
        self.strategy = workload.make_strategy(model) if isinstance(workload, HasStrategy) else None
        self.step_function = StepFunction(model, self.config.optimizer, self.strategy)
        self.evaluated_model = copy.deepcopy(model).eval()
        self.data = {split: self._move(data) for split, data in workload.load_data().items()}
        self.state: TrainState = self.step_function.init_state(streams)
        self.step = 0
        self.recorder = EpochRecorder(
            workload, extra_columns=self.strategy.column_names if self.strategy else ()
        )
        self.block: tuple[int, InputBlock] | None = None
        self.controller = Controller(self.config, clock=self.options.clock)
        self.controller.check_columns(self.recorder.columns)
        self.best = BestParameters(self.config.keep_best)
        self.best.check_columns(
            ("loss", *(f"loss.{n}" for n in workload.loss_names), *workload.metric_names)
        )

    def run(self) -> FitResult:
        self._restore()
        now = self.options.clock()
        self.last_checkpoint, self.last_read_back = now, now
        # There is a reason already where a run was stopped, and killed before it could say so.
        while self.step < self.config.num_steps and not self.controller.stop_reason:
            if reason := self.sink.interruption():
                return self._end("interrupted", reason)
            self._train_one_step()
            if self._read_back_is_due() and (reason := self._read_back()):
                return self._end("diverged", reason)
            if self.options.clock() - self.last_checkpoint >= self.options.checkpoint_every_s:
                if reason := self._read_back():
                    return self._end("diverged", reason)
                self._save_checkpoint()
        if reason := self.controller.stop_reason:
            return self._end("stopped", reason)
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
        inputs = self._select_inputs(self.block[1], offset)
        factor = self.controller.lr_factor
        if factor != 1.0:
            inputs = inputs.scale("lr", factor)
        self.state, record = self.step_function(self.state, inputs)
        lr = self.config.compute_lr(self.step) * factor
        self.recorder.add_step(record, schedule={**self.workload.schedule(self.step), "lr": lr})
        self.step += 1
        if self._ends_epoch():
            self._finish_epoch()

    def _select_inputs(self, block: InputBlock, offset: int) -> StepInputs:
        chosen_B = None
        if self.strategy is not None:
            values = {k: v[offset] for k, v in block.values.items()}
            chosen_B = self.strategy.choose_samples(self.state.strategy, values)
        return block.select(offset, self.data["train"], indices_B=chosen_B)

    def _finish_epoch(self) -> None:
        epoch, keep_every = self._epoch(), self.config.keep_every
        if self._evaluation_is_due():
            self._evaluate()
        if keep_every is not None and epoch % keep_every == 0:
            kept = {"parameters": self.state.parameters, "buffers": self.state.buffers}
            self.sink.keep_parameters({**kept, "epoch": epoch, "step": self.step}, epoch=epoch)
        inspect, every = self.options.inspect, self.options.inspect_every
        if inspect is not None and every is not None and epoch % every == 0:
            self._load_evaluated_model()
            try:
                inspect(self.evaluated_model, epoch)
            except SupersededError:
                raise
            except Exception:
                logger.exception("looking into the model at epoch %d failed", epoch)

    def _ends_epoch(self) -> bool:
        last = self.step == self.config.num_steps
        return last or self.step % self.config.steps_per_epoch == 0

    def _epoch(self) -> int:
        return -(-self.step // self.config.steps_per_epoch)

    def _evaluation_is_due(self) -> bool:
        return self._epoch() % self.config.eval_every == 0 or self.step == self.config.num_steps

    def _evaluate(self) -> None:
        self._load_evaluated_model()
        with torch.no_grad():
            data = self.data["validate"]
            metrics = self.workload.evaluate(self.evaluated_model, data, self.streams)
        schedule = self.workload.schedule(max(self.step - 1, 0))
        self.recorder.add_evaluation(
            metrics, epoch=self._epoch(), step=self.step, schedule=schedule
        )
        if self.strategy is not None:
            with torch.no_grad():
                memory = self.strategy.observe(self.state.strategy, metrics, step=self.step)
            self.state = self.state._replace(strategy=memory)
        if self.config.keep_best:
            values = _name_values(metrics, schedule, self.workload.loss_names)
            self.best.update(values, self.state, epoch=self._epoch())

    def _load_evaluated_model(self) -> None:
        model, state = self.evaluated_model, self.state
        with torch.no_grad():
            for name, tensor in (*model.named_parameters(), *model.named_buffers()):
                tensor.copy_({**state.parameters, **state.buffers}[name])

    def _read_back_is_due(self) -> bool:
        if self.controller.is_active and self._ends_epoch():
            return True
        waited = self.options.clock() - self.last_read_back
        return self.step % STEPS_PER_BLOCK == 0 or waited >= self.options.read_back_every_s

    def _read_back(self) -> str:
        """Send what was recorded to the sink; says what diverged, if something did."""
        rows, reason = self.recorder.read_back(is_last=self.step == self.config.num_steps)
        if reason:
            self.step = int(self.state.step.item())
        self.sink.record(rows, self._progress())
        self.controller.observe(rows)
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
            "controller": self.controller.pack(),
            "best": self.best.pack(),
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
            self.controller.unpack(checkpoint["controller"])
            self.best.unpack(_move_tree(checkpoint["best"], self.options.device))
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


def _name_values(
    metrics: Mapping[str, Tensor],
    schedule: Mapping[str, float | list[float]],
    loss_names: Sequence[str],
) -> dict[str, Tensor]:
    """The columns of an evaluation, still on the device: `loss`, `loss.NAME` and metrics."""
    weights = schedule["loss_weights"]
    assert isinstance(weights, list)
    products = [w * metrics[name] for w, name in zip(weights, loss_names, strict=True)]
    return {
        **metrics,
        "loss": torch.stack(products).sum(),
        **{f"loss.{name}": metrics[name] for name in loss_names},
    }


def _move_tree(tree: dict[str, object], device: torch.device) -> dict[str, Any]:
    return {
        k: _move_tree(v, device) if isinstance(v, dict) else v.to(device)  # type: ignore[attr-defined]
        for k, v in tree.items()
    }
