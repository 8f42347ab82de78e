"""The training loop of one run: steps, evaluations, records, checkpoints, divergence.

The loop asks the device nothing while it trains: records of the steps stay there and are
read back once a block (or every few seconds), and only then is divergence noticed. That
is safe, because the step itself holds the parameters still from the first value on that
is not finite.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Generator, Mapping
from typing import Any

import torch
from torch import Tensor

from hpcexp.errors import SupersededError
from hpcexp.train.best import BestParameters, name_evaluated
from hpcexp.train.continuation import BEFORE_END, undo_end
from hpcexp.train.control import Controller
from hpcexp.train.feed import Feed
from hpcexp.train.forensics_record import FailedStep, look_into
from hpcexp.train.inputs import STEPS_PER_BLOCK, InputBlock
from hpcexp.train.options import FitOptions as FitOptions
from hpcexp.train.origin import check_origin, describe_origin, move_tree
from hpcexp.train.precision import check_precision, computing_in
from hpcexp.train.recorder import Divergence, EpochRecorder
from hpcexp.train.recovery import Recovery
from hpcexp.train.result import FitResult as FitResult
from hpcexp.train.result import Outcome as Outcome
from hpcexp.train.seeding import RandomStreams
from hpcexp.train.sink import Checkpoint, Progress, Sink
from hpcexp.train.step import StepFunction, StepInputs, TrainState
from hpcexp.train.strategy import HasStrategy
from hpcexp.train.workload import ScheduleValues, Workload

logger = logging.getLogger("hpcexp.worker")


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
    return train_alone(
        Training(
            workload, streams=streams, sink=sink, options=options, dtype=dtype, initial=initial
        )
    )


def train_alone(training: Training) -> FitResult:
    """Train a run one step after another, to its end."""
    steps = training.run()
    try:
        next(steps)
        while True:
            training.take_step()
            steps.send(1)
    except StopIteration as end:
        result: FitResult = end.value
        return result


class Training:
    """One run that is being trained; who takes its steps is left open.

    `run` decides everything between steps. The steps themselves are taken one at a time by
    `take_step`, or as a lane of a program that trains several runs (`lanes`), which gives and
    takes the `state` and reports the steps by `note_steps`. Given a reason, `asked_to_end`
    interrupts it. `metrics_ahead` are what it would find if it evaluated itself next. The
    arguments are those of `fit`.
    """

    def __init__(
        self,
        workload: Workload,
        *,
        streams: RandomStreams,
        sink: Sink,
        options: FitOptions | None = None,
        dtype: torch.dtype = torch.float32,
        initial: Mapping[str, Tensor] | None = None,
    ) -> None:
        options = options or FitOptions()
        self.workload, self.streams, self.sink, self.options = workload, streams, sink, options
        self.config, self.dtype = workload.config, dtype
        with streams.initialising():
            model = workload.build_model()
        model.load_state_dict(dict(initial or {}), strict=False)
        model = model.to(options.device, dtype).train()
        self.strategy = workload.make_strategy(model) if isinstance(workload, HasStrategy) else None
        check_precision(self.config.precision, options.device)
        self.step_function = StepFunction(
            model, self.config.optimizer, self.strategy, self.config.precision
        )
        self.evaluated_model = copy.deepcopy(model).eval()
        self.feed = Feed(
            workload,
            streams=streams,
            strategy=self.strategy,
            device=options.device,
            dtype=dtype,
        )
        self.state: TrainState = self.step_function.init_state(streams)
        self.step = 0
        self.asked_to_end = ""
        self.metrics_ahead: Mapping[str, Tensor] | None = None
        self.best_before_end: dict[str, Any] = {}
        self.before_end: dict[str, Any] = {}
        self.recorder = EpochRecorder(
            workload, extra_columns=self.strategy.column_names if self.strategy else ()
        )
        self.controller = Controller(
            self.config,
            clock=self.options.clock,
            draw=lambda index: streams.draw_share("audit", index),
        )
        self.controller.check_columns(self.recorder.columns)
        self.recovery = Recovery(self.config)
        self.best = BestParameters(self.config.keep_best)
        self.best.check_columns(
            ("loss", *(f"loss.{n}" for n in workload.loss_names), *workload.metric_names)
        )

    def run(self) -> Generator[int, int, FitResult]:
        """Train to the end: yields how many steps may follow at most, and is sent how many did.

        None may follow, too: then it looks around for what cannot wait.
        """
        self._restore()
        now = self.options.clock()
        self.last_checkpoint, self.last_read_back = now, now
        self._keep_point()
        # There is a reason already where a run was stopped, and killed before it could say so.
        while self.step < self.config.num_steps and not self.controller.stop_reason:
            if reason := self.sink.interruption() or self.asked_to_end:
                return self._end("interrupted", reason)
            taken = yield self._count_free_steps()
            if taken and self._ends_epoch():
                self._finish_epoch()
            if self._read_back_is_due() and (reason := self._read_back()):
                return self._end("diverged", reason)
            self._keep_point()
            if self.options.clock() - self.last_checkpoint >= self.options.checkpoint_every_s:
                if reason := self._read_back():
                    return self._end("diverged", reason)
                self._save_checkpoint()
        if reason := self.controller.stop_reason:
            return self._end("stopped", reason)
        return self._end("completed")

    def take_step(self) -> None:
        """Take one step, alone."""
        inputs, _ = self._make_inputs(self.step)
        self.state, record = self.step_function(self.state, inputs)
        self.note_steps(record.unsqueeze(0))

    def note_steps(self, records_SC: Tensor) -> None:
        """Count steps that were taken: their records, (steps, columns), still on the device."""
        factor = self.lr_factor
        for record in records_SC.unbind():
            values = self.get_block().schedules[self.step % STEPS_PER_BLOCK]
            self.recorder.add_step(record, schedule=_scale_lr(values, factor))
            self.step += 1

    def get_block(self) -> InputBlock:
        """What the next step and its neighbours read, made when the first of them is next."""
        return self.feed.get_block(self.step)

    @property
    def data(self) -> dict[str, dict[str, Tensor]]:
        """The data on the device, by split; lanes with equal data share it."""
        return self.feed.data

    @data.setter
    def data(self, shared: dict[str, dict[str, Tensor]]) -> None:
        self.feed.data = shared

    def _make_inputs(self, step: int) -> tuple[StepInputs, Tensor]:
        assert step == self.step
        return self.feed.make_inputs(step, self.state.strategy, lr_factor=self.lr_factor)

    @property
    def lr_factor(self) -> float:
        """What the learning rate of the schedule is multiplied by, by what happened so far."""
        return self.controller.lr_factor * self.recovery.lr_factor

    def _count_free_steps(self) -> int:
        """Steps until there may be something to do between them, but for what the clock asks."""
        if self.recovery.is_wary(self.step):
            return 1
        ends = (STEPS_PER_BLOCK, self.config.steps_per_epoch)
        left = min(every - self.step % every for every in ends)
        return min(left, self.config.num_steps - self.step)

    def _finish_epoch(self) -> None:
        epoch, keep_every = self._epoch(), self.config.keep_every
        if self._evaluation_is_due():
            self.best_before_end = self.best.pack()
            self._evaluate()
        inspect, every = self.options.inspect, self.options.inspect_every
        is_kept = keep_every is not None and epoch % keep_every == 0
        is_inspected = inspect is not None and every is not None and epoch % every == 0
        if (is_kept or is_inspected) and not self.state.alive:
            return  # it has diverged: this is the state of an earlier step
        if is_kept:
            kept = {"parameters": self.state.parameters, "buffers": self.state.buffers}
            self.sink.keep_parameters({**kept, "epoch": epoch, "step": self.step}, epoch=epoch)
        if inspect is not None and is_inspected:
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

    @property
    def is_evaluated_next(self) -> bool:
        """Whether the steps so far end an epoch that is evaluated before the next one."""
        return self.step > 0 and self._ends_epoch() and self._evaluation_is_due()

    def _evaluate(self) -> None:
        """By itself, unless it was evaluated ahead, with other lanes."""
        if self.metrics_ahead is None:
            self._load_evaluated_model()
        with torch.no_grad(), computing_in("fp32", self.options.device):
            data = self.data["validate"]
            metrics = self.metrics_ahead
            if metrics is None:
                metrics = self.workload.evaluate(self.evaluated_model, data, self.streams)
            self.metrics_ahead = None
        schedule = self.workload.schedule(max(self.step - 1, 0))
        self.recorder.add_evaluation(
            metrics, epoch=self._epoch(), step=self.step, schedule=schedule
        )
        if self.strategy is not None:
            with torch.no_grad():
                memory = self.strategy.observe(self.state.strategy, metrics, step=self.step)
            self.state = self.state._replace(strategy=memory)
        if self.config.keep_best:
            values = name_evaluated(metrics, schedule, self.workload.loss_names)
            self.best.update(values, self.state, epoch=self._epoch(), step=self.step)

    def _load_evaluated_model(self) -> None:
        model, state = self.evaluated_model, self.state
        with torch.no_grad():
            for name, tensor in (*model.named_parameters(), *model.named_buffers()):
                tensor.copy_({**state.parameters, **state.buffers}[name])

    def _read_back_is_due(self) -> bool:
        if self.controller.is_active and self._ends_epoch():
            return True
        if self.step == self.config.num_steps or self._point_is_due():
            return True
        if self.recovery.is_wary(self.step):
            return True
        waited = self.options.clock() - self.last_read_back
        return self.step % STEPS_PER_BLOCK == 0 or waited >= self.options.read_back_every_s

    def _read_back(self) -> str:
        """Send what was recorded to the sink; says what diverged, if that ends the run."""
        reason = ""
        while (found := self.recorder.read_back()) is not None:
            reason = self._handle_divergence(found)
        ends = bool(reason) or self.step == self.config.num_steps
        if ends and not reason and not self.config.ends_on_evaluation:
            self._note_end()
        rows = self.recorder.take_rows(ends=ends)
        self.sink.record(rows, self._progress())
        self.controller.observe(rows)
        self.last_read_back = self.options.clock()
        return reason

    def _handle_divergence(self, found: Divergence) -> str:
        """Go on as the config wants it; says what diverged if the run ends there."""
        self.step = found.step
        action, said = self.recovery.decide(found.step), [found.reason]
        if self.recovery.is_first or action == "stop":
            inputs, indices = self._make_inputs(found.step)
            failed = FailedStep(found, self.state, inputs, indices, self.workload.loss_names)
            said.append(look_into(failed, self.step_function, self.sink, action=action))
        if action == "stop":
            said.append(self.recovery.explain_end(found.step))
        reason = "; ".join(filter(None, said))
        self.recovery.note(action, step=found.step)
        if action == "stop":
            return reason
        if action == "skip":
            count = self.recovery.num_skipped
            if count.bit_count() == 1:  # 1, 2, 4, 8, ...: a line for each might fill the disk
                logger.warning("%s: the step is left out (%d so far)", reason, count)
            self._skip()
        else:
            self._roll_back(reason)
        return ""

    def _skip(self) -> None:
        self.state = self.state._replace(alive=torch.ones_like(self.state.alive))
        self.recorder.leave_out(self.step)
        self.step += 1
        if self._ends_epoch():
            self._finish_epoch()

    def _point_is_due(self) -> bool:
        steps_per_epoch = self.config.steps_per_epoch
        return self.recovery.needs_point(self.step, steps_per_epoch=steps_per_epoch)

    def _keep_point(self) -> None:
        """Keep the state to go back to, where that is due; all rows up to it are recorded."""
        if not self._point_is_due():
            return
        if self.step == 0:
            self._read_back()  # what the untrained model reaches
        parameters = self.state.parameters.values()
        # An update may overflow, and show in the next step only.
        if torch.stack([torch.isfinite(tensor).all() for tensor in parameters]).all():
            self.recovery.point = self._pack()

    def _roll_back(self, reason: str) -> None:
        point = self.recovery.point
        assert point is not None
        # The clock goes on: what is abandoned was trained as well.
        controller = point["controller"] | {"trained_s": self.controller.pack()["trained_s"]}
        self._take_up({**point, "controller": controller})
        factor = self.recovery.lr_factor
        logger.warning(
            "%s: back to step %d, with %g times the learning rate", reason, self.step, factor
        )
        packed = {**self._pack(), "recovery": self.recovery.pack()}
        self.sink.rewind(packed, step=self.step, epoch=self._epoch())
        self.last_checkpoint = self.options.clock()

    def _note_end(self) -> None:
        """Remember what a longer run would have had here, before the last rows are made."""
        if len(records := self.recorder.copy_last_epoch()):
            self.before_end = {
                "epoch_records": records,
                "controller": self.controller.pack(),
                "best": self.best_before_end,
            }

    def _progress(self) -> Progress:
        epoch, recovery = self.step // self.config.steps_per_epoch, self.recovery
        return Progress(
            epoch,
            self.config.num_epochs,
            self.step,
            self.config.num_steps,
            skipped_steps=recovery.num_skipped,
            rollbacks=recovery.num_rollbacks,
            foretold=self.controller.foretold,
        )

    def _end(self, outcome: Outcome, reason: str = "") -> FitResult:
        if outcome != "diverged" and (diverged := self._read_back()):
            outcome, reason = "diverged", diverged
        self._save_checkpoint()
        return FitResult(outcome, self.step, self._epoch(), reason)

    def _save_checkpoint(self) -> None:
        checkpoint = {**self._pack(), "recovery": self.recovery.pack()}
        if self.before_end and self.step == self.config.num_steps:
            checkpoint[BEFORE_END] = self.before_end
        self.sink.save_checkpoint(checkpoint, step=self.step)
        self.last_checkpoint = self.options.clock()

    def _pack(self) -> Checkpoint:
        """Everything that goes on, but for what was done about divergences."""
        return {
            "state": self.state._asdict(),
            "step": self.step,
            "epoch_records": self.recorder.pending(),
            "controller": self.controller.pack(),
            "best": self.best.pack(),
            **describe_origin(self.streams),
        }

    def _restore(self) -> None:
        checkpoint, resume_step = self.sink.load_checkpoint(), None
        if checkpoint is not None:
            check_origin(checkpoint, self.streams)
            checkpoint, resume_step = undo_end(checkpoint, num_steps=self.config.num_steps)
            self.before_end = checkpoint.get(BEFORE_END, {})
            if "recovery" in checkpoint:  # those of older versions have none
                self.recovery.unpack(checkpoint["recovery"])
            self._take_up(checkpoint)
        self.sink.start(self.recorder.columns, resume_step=resume_step)
        if checkpoint is None:
            self._evaluate()  # what an untrained model reaches
        elif resume_step != self.step:
            self._read_back()  # the row of an epoch whose end was undone

    def _take_up(self, checkpoint: Checkpoint) -> None:
        self.state = TrainState(**move_tree(checkpoint["state"], self.options.device))
        self.step = checkpoint["step"]
        self.controller.unpack(checkpoint["controller"])
        lr = self.config.compute_lr(max(self.step - 1, 0)) * self.lr_factor
        self.recorder.resume(checkpoint["epoch_records"], step=self.step, lr=lr)
        self.best.unpack(move_tree(checkpoint["best"], self.options.device))


def _scale_lr(values: ScheduleValues, factor: float) -> ScheduleValues:
    lr = values["lr"]
    assert isinstance(lr, float)
    return values if factor == 1.0 else {**values, "lr": lr * factor}
