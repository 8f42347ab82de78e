"""A workload on the bench: its model, one batch that stays the same, and what it says of itself."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from hpcexp.train.config import TrainConfig
from hpcexp.train.debugging import DebugFacts, Debuggable
from hpcexp.train.inputs import make_block
from hpcexp.train.seeding import RandomStreams
from hpcexp.train.step import StepFunction, StepInputs, TrainState
from hpcexp.train.workload import Workload
from hpcexp.worker.debug.findings import NothingToCheckError

FEW = 8
"""Examples of the batch that stays the same."""


PART_OF_FIRST = 0.5
"""By heart, where no constant is known: half of the loss at the beginning."""


@dataclass(frozen=True)
class Overfitted:
    """What training on one batch gave; it ends where the `goal` is reached."""

    state: TrainState
    first: float
    last: float
    goal: float
    num_steps: int

    @property
    def is_learned(self) -> bool:
        """Whether the batch is known by heart."""
        return self.last <= self.goal


class Bench:
    """One group's workload, and all that the checks share."""

    def __init__(
        self,
        workload: Workload,
        *,
        streams: RandomStreams,
        device: torch.device,
        initial: Mapping[str, Tensor] | None = None,
        num_steps: int = 300,
    ) -> None:
        self.given, self.streams, self.device = workload, streams, device
        self.initial, self.num_steps = dict(initial or {}), num_steps

    @cached_property
    def workload(self) -> Workload:
        """The workload with few examples in a batch, where its config allows that."""
        return self.change(batch_size=min(FEW, self.given.config.batch_size))

    def change(self, **changes: Any) -> Workload:
        """The workload with other hyperparameters; as it is where they do not go together."""
        config = change_config(self.given.config, changes)
        return self.given if config is None else type(self.given)(config)  # type: ignore[call-arg]

    @cached_property
    def facts(self) -> DebugFacts:
        """What the workload says of itself."""
        return (
            self.workload.debug_facts() if isinstance(self.workload, Debuggable) else DebugFacts()
        )

    @cached_property
    def data(self) -> dict[str, dict[str, Tensor]]:
        """All splits on the device."""
        return {
            split: {k: self._move(v) for k, v in tensors.items()}
            for split, tensors in self.given.load_data().items()
        }

    def make_inputs(self, step: int = 0, *, workload: Workload | None = None) -> StepInputs:
        """What a step reads, at the configured learning rate whatever its schedule."""
        chosen = workload or self.workload
        block = make_block(chosen, self.streams, block=0, device=self.device, dtype=torch.float32)
        inputs = block.select(step, self.data["train"])
        rate = torch.tensor(chosen.config.lr, device=self.device)
        return inputs._replace(values={**inputs.values, "lr": rate})

    @cached_property
    def inputs(self) -> StepInputs:
        """The batch that stays the same."""
        return self.make_inputs()

    def weigh_all(self, inputs: StepInputs) -> StepInputs:
        """Inputs in which every loss has the largest weight that its schedule ever gives it."""
        num_steps = self.given.config.num_steps
        weights = [
            self.given.schedule(step)["loss_weights"] for step in (0, num_steps // 2, num_steps)
        ]
        most = torch.tensor(weights, device=self.device).amax(dim=0).to(torch.float32)
        return inputs.add({"loss_weights": most})

    def build_model(self, workload: Workload | None = None) -> nn.Module:
        """A model in training mode, always initialised alike."""
        with self.streams.initialising():
            model = (workload or self.workload).build_model()
        model.load_state_dict(self.initial, strict=False)
        return model.to(self.device).train()

    def overfit(self, *, lr_factor: float = 1.0) -> Overfitted:
        """Train on the batch that stays the same, until it is known by heart."""
        model = self.build_model()
        config = self.workload.config
        function = StepFunction(model, config.optimizer, precision=config.precision)
        state, inputs = function.init_state(), self.inputs.scale("lr", lr_factor)
        losses: list[float] = []
        goal = -math.inf
        for _ in range(self.num_steps):
            state, record = function(state, inputs)
            losses.append(record[0].item())
            goal = self._choose_goal(model, first=losses[0])
            if losses[-1] <= goal:
                break
        return Overfitted(state, losses[0], losses[-1], goal, len(losses))

    def _choose_goal(self, model: nn.Module, *, first: float) -> float:
        trivial, floor = self.facts.trivial_loss, self.facts.floor
        if trivial is None:
            return PART_OF_FIRST * first
        least = 0.0 if floor is None else floor(model, self.inputs).item()
        return least + self.facts.learned_part * (trivial - least)

    @cached_property
    def overfitted(self) -> Overfitted:
        """What training on the batch gives at the configured learning rate."""
        return self.overfit()

    @cached_property
    def trained_model(self) -> nn.Module:
        """The model that was trained on the batch, in evaluation mode."""
        model = self.build_model()
        state = self.overfitted.state
        model.load_state_dict({**state.parameters, **state.buffers})
        return model.eval()

    def predict(self, model: nn.Module, inputs: StepInputs) -> Tensor:
        """A row for each example.

        Raises NothingToCheckError where the workload does not say what it predicts.
        """
        if self.facts.predict is None:
            raise NothingToCheckError("the workload does not say what it predicts (debug_facts)")
        with torch.no_grad():
            return self.facts.predict(model, inputs)

    def take(self, inputs: StepInputs, rows: Tensor) -> StepInputs:
        """Some examples of a batch, as a batch."""
        noise = {
            k: v[rows] if k in self.facts.batched_noise else v for k, v in inputs.noise.items()
        }
        return inputs._replace(batch={k: v[rows] for k, v in inputs.batch.items()}, noise=noise)

    def _move(self, tensor: Tensor) -> Tensor:
        return tensor.to(self.device, torch.float32 if tensor.is_floating_point() else None)


def change_config(config: TrainConfig, changes: Mapping[str, Any]) -> TrainConfig | None:
    """A config with other values, checked; None where they do not go together."""
    try:
        return type(config).model_validate({**config.model_dump(mode="json"), **changes})
    except ValueError:
        return None


def measure_loss(model: nn.Module, inputs: StepInputs) -> Tensor:
    """The weighted loss, a scalar; the model's buffers stay as they are."""
    state = {k: v.clone() for k, v in model.named_buffers()}
    losses = functional_call(model, state, tuple(inputs))
    total: Tensor = (inputs.values["loss_weights"] * losses).sum()
    return total
