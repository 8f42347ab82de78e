"""How a training talks to hpcexp. One file, standard library only: import it, or copy it.

    from hpcexp.client import run

    for epoch in range(run.epoch + 1, 21):
        ...
        run.report({"loss": loss}, epoch=epoch)
        if run.should_stop():
            break

Started by hand, without hpcexp, the same script works: `report` prints, nothing asks it to
stop, and its checkpoints go to the directory `checkpoints`.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

VARIABLE = "HPCEXP_TOLD"
"""The environment variable that names the file with all that a run is told."""
ASKED_BY = ("SIGTERM", "SIGINT", "SIGUSR2")
LOOK_EVERY_S = 0.2


class Run:
    """The run that this process trains, as hpcexp started it."""

    def __init__(self, told: Mapping[str, Any] | None = None) -> None:
        if told is None:
            path = os.environ.get(VARIABLE)
            told = json.loads(Path(path).read_text(encoding="utf-8")) if path else {}
        self.is_managed = bool(told)
        """Whether hpcexp started it."""
        self.name: str = told.get("run", "")
        """The run's name, such as `lr=0.1_rand_0`."""
        self.params: dict[str, Any] = dict(told.get("params", {}))
        """The hyperparameters."""
        self.seed: int = told.get("seed", 0)
        """A seed of 31 bits: equal in all groups for one initialisation, and on every restart."""
        self.rand_init: int = told.get("rand_init", 0)
        """The number of the initialisation, from 0."""
        self.directory = Path(told.get("run_dir", "."))
        """The run's directory."""
        self.checkpoint_dir = Path(told.get("checkpoint_dir", "checkpoints"))
        """For checkpoints: what an earlier attempt wrote there is there. Ask anew each time."""
        self.attempt: int = told.get("attempt", 1)
        """1 at the first start, more after each restart."""
        self.epoch: int = told.get("epoch", 0)
        """The last epoch that an earlier attempt reported; 0 at the first start."""
        self.step: int = told.get("step", 0)
        """The last step that an earlier attempt reported; 0 at the first start."""
        self.max_epoch: int | None = told.get("max_epoch")
        """The budget in epochs, if the template gives it."""
        self.max_step: int | None = told.get("max_step")
        """The budget in steps, if the template gives it."""
        self.metric: str = told.get("metric", "loss")
        """The name of the metric that runs are judged by."""
        self.rank = int(os.environ.get("RANK", "0"))
        """Of several processes of one run, only the one of rank 0 reports."""
        self.world_size = int(os.environ.get("WORLD_SIZE", "1"))
        """How many processes the run has."""
        self.was_told_to_stop = False
        """Whether `should_stop` has said so."""
        self._reports: str | None = told.get("metrics_file")
        self._stop: str | None = told.get("stop_file")
        self._is_asked = self._listens = False
        self._looked = -LOOK_EVERY_S

    @property
    def is_restart(self) -> bool:
        """Whether an earlier attempt was interrupted."""
        return self.attempt > 1

    def report(
        self,
        metrics: Mapping[str, Any] | None = None,
        *,
        epoch: int | None = None,
        step: int | None = None,
        split: str = "validate",
        **named: Any,
    ) -> None:
        """Report metrics of a split, `train` or `validate`, after an epoch or a step.

        A value may be anything that `float` takes, such as a tensor of one element. Other
        ranks than 0 report nothing. Raises ValueError with neither epoch nor step.
        """
        if epoch is None and step is None:
            raise ValueError("report needs epoch=, step=, or both")
        values = {name: float(value) for name, value in {**(metrics or {}), **named}.items()}
        place = {"epoch": epoch, "step": step}
        line = {name: int(value) for name, value in place.items() if value is not None}
        self._write({**line, "split": split, **values})

    def complete(self) -> None:
        """Say that the training has ended, though it was asked to stop."""
        self._write({"completed": True})

    def should_stop(self) -> bool:
        """Whether to save a checkpoint and end: the time limit is near, or somebody cancelled.

        From the first call on, a signal that asks for it no longer ends the process by itself.
        It costs nothing worth mentioning: call it after each step. With several ranks all must
        call it at the same place: they agree through torch.distributed, once that is set up.
        """
        if not self._listens:
            self._listen()
        now = time.monotonic()
        if not self._is_asked and self._stop is not None and now - self._looked >= LOOK_EVERY_S:
            self._looked = now
            self._is_asked = Path(self._stop).exists()
        if self.world_size > 1:
            self._is_asked = _agree(self._is_asked)
        self.was_told_to_stop = self._is_asked
        return self._is_asked

    def _listen(self) -> None:
        self._listens = True
        if not self.is_managed or threading.current_thread() is not threading.main_thread():
            return
        for name in ASKED_BY:
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) in (
                signal.SIG_DFL,
                signal.default_int_handler,
            ):
                signal.signal(number, self._note)

    def _note(self, _number: int, _frame: object) -> None:
        self._is_asked = True

    def _write(self, line: Mapping[str, Any]) -> None:
        if self.rank != 0:
            return
        text = json.dumps(line) + "\n"
        if self._reports is None:
            sys.stdout.write(text)
            return
        # One write of one line at the end of the file: nobody's line is torn by another's.
        descriptor = os.open(self._reports, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            os.write(descriptor, text.encode())
        finally:
            os.close(descriptor)


def _agree(is_asked: bool) -> bool:
    """Whether any rank was asked; a rank that stopped alone would leave the others waiting."""
    torch: Any = sys.modules.get("torch")
    if torch is None or not torch.distributed.is_available():
        return is_asked
    if not torch.distributed.is_initialized():
        return is_asked
    device = "cuda" if torch.distributed.get_backend() == "nccl" else "cpu"
    asked = torch.tensor([int(is_asked)], device=device)
    torch.distributed.all_reduce(asked, op=torch.distributed.ReduceOp.MAX)
    return bool(asked.item())


run = Run()
"""The run that this process trains."""
