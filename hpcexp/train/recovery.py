"""What becomes of a run that diverges: it ends, leaves the step out, or goes back.

All that is decided here follows from the steps alone, never from a clock, and its memory is part
of the checkpoint: a resumed run decides as an undisturbed one.
"""

from __future__ import annotations

from typing import Any, Literal

from hpcexp.train.config import TrainConfig
from hpcexp.train.divergence import RollBack, SkipSteps
from hpcexp.train.inputs import STEPS_PER_BLOCK
from hpcexp.train.sink import Checkpoint

Action = Literal["stop", "skip", "rollback"]


class Recovery:
    """Decides what to do at a divergence, and remembers what has been done.

    `point` is what a rollback goes back to: a checkpoint, without this memory itself.
    """

    def __init__(self, config: TrainConfig) -> None:
        self.rule = config.on_divergence
        self.num_skipped = self.num_in_a_row = self.num_rollbacks = 0
        self.last_skipped: int | None = None
        self.point: Checkpoint | None = None

    @property
    def lr_factor(self) -> float:
        """What the learning rate is multiplied by after the rollbacks so far."""
        return self.rule.decrease**self.num_rollbacks if isinstance(self.rule, RollBack) else 1.0

    @property
    def is_first(self) -> bool:
        """Whether nothing has diverged so far."""
        return not self.num_skipped and not self.num_rollbacks

    def decide(self, step: int) -> Action:
        """What to do about a step that diverged."""
        rule = self.rule
        if isinstance(rule, SkipSteps) and self._count_in_a_row(step) < rule.max_skips:
            return "skip"
        if isinstance(rule, RollBack) and self.num_rollbacks < rule.max_rollbacks:
            return "rollback" if self._can_go_back(step) else "stop"
        return "stop"

    def note(self, action: Action, *, step: int) -> None:
        """Remember what was done about a step."""
        if action == "skip":
            self.num_in_a_row = self._count_in_a_row(step) + 1
            self.num_skipped += 1
            self.last_skipped = step
        elif action == "rollback":
            self.num_rollbacks += 1

    def explain_end(self, step: int) -> str:
        """Why a run ended although its rule is another one; empty where it is not."""
        if isinstance(self.rule, SkipSteps):
            steps = "step" if self.num_in_a_row == 1 else f"{self.num_in_a_row} steps"
            return f"the {steps} before it had been left out"
        if isinstance(self.rule, RollBack):
            times = "1 rollback" if self.num_rollbacks == 1 else f"{self.num_rollbacks} rollbacks"
            done = f"after {times}, with {self.lr_factor:g} times the learning rate"
            if self.num_rollbacks == self.rule.max_rollbacks or self._can_go_back(step):
                return done
            useless = "no state before its own was kept to go back to"
            return f"{done}; {useless}" if self.num_rollbacks else useless
        return ""

    def is_wary(self, step: int) -> bool:
        """Whether a skipped step is so recent that the next may not be far.

        What was computed after a step that diverged is thrown away: then it is worth asking
        the device at every step.
        """
        return self.last_skipped is not None and step - self.last_skipped <= STEPS_PER_BLOCK

    def needs_point(self, step: int, *, steps_per_epoch: int) -> bool:
        """Whether the state after so many steps is one to go back to."""
        if not isinstance(self.rule, RollBack):
            return False
        is_due = step % (self.rule.every * steps_per_epoch) == 0
        return is_due and (self.point is None or step > self.point["step"])

    def pack(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {
            "num_skipped": self.num_skipped,
            "num_in_a_row": self.num_in_a_row,
            "last_skipped": self.last_skipped,
            "num_rollbacks": self.num_rollbacks,
            "point": self.point,
        }

    def unpack(self, packed: dict[str, Any]) -> None:
        """Take up what a checkpoint kept."""
        self.num_skipped, self.num_in_a_row = packed["num_skipped"], packed["num_in_a_row"]
        self.last_skipped, self.num_rollbacks = packed["last_skipped"], packed["num_rollbacks"]
        self.point = packed["point"]

    def _can_go_back(self, step: int) -> bool:
        """Whether there is a state that is not the very one before this step.

        The first step from a state is the same whatever the learning rate is.
        """
        return self.point is not None and self.point["step"] < step

    def _count_in_a_row(self, step: int) -> int:
        """Steps that were left out directly before this one."""
        return self.num_in_a_row if self.last_skipped == step - 1 else 0
