"""The strategy of one run: order, rows, weighting and combination at work together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from hpcexp.train.seeding import RandomStreams
from hpcexp.train.strategy import MOVES, Outcome
from hpcexp.workloads.multitask.config import Config
from hpcexp.workloads.multitask.config.datasets import MODALITIES
from hpcexp.workloads.multitask.losses import weigh_rows
from hpcexp.workloads.multitask.model import Hca, list_parameter_modalities
from hpcexp.workloads.multitask.strategy.combining import Combiner
from hpcexp.workloads.multitask.strategy.memory import Tensors, put, take
from hpcexp.workloads.multitask.strategy.order import make_order
from hpcexp.workloads.multitask.strategy.rows import Difficulty, Mixture, assign_rows, share_out
from hpcexp.workloads.multitask.strategy.weighting import Seen, make_weighting

FACTORS = "task_factors"
"""The value with the fixed factors of the tasks' losses, (L,); lanes may differ in it."""


class MultitaskStrategy:
    """What the training core asks for (`hpcexp.train.strategy.Strategy`).

    Order chooses active tasks, sharing gives them rows, weighting weighs their losses, combining
    makes one gradient of theirs. A task that rests moves neither its head nor the moments of it.
    """

    def __init__(self, config: Config, model: Hca) -> None:
        self.config = config
        self.order, self.weighting = make_order(config), make_weighting(config)
        self.combiner = None if config.combine == "sum" else Combiner(config)
        self.difficulty = Difficulty(config.dds) if "dds" in (config.rows, config.mixture) else None
        self.mixture = Mixture(config) if config.sources else None
        self.names = [name for name, _ in model.named_parameters()]
        self.shared_names = model.shared_names
        self.balance_layer = model.balance_layer
        self.readers = [[t in model.list_readers(n) for t in config.tasks] for n in self.names]
        modalities = list_parameter_modalities(self.names)
        frozen = config.modalities.mode == "freeze"
        self.belongs_to = [
            [m is None or own == m or not frozen for own in MODALITIES] for m in modalities
        ]
        bert = config.model.text_encoder
        is_frozen_bert = bert.kind == "bert" and bert.frozen
        self.may_move = [
            not (is_frozen_bert and name.startswith("encoders.text.embed.")) for name in self.names
        ]

    @property
    def supports_lanes(self) -> bool:
        """All but combinations of gradients, and BERT."""
        return self.config.supports_lanes

    @property
    def column_names(self) -> Sequence[str]:
        """Weights in force, and the rows that trained each task: sums tell samples and steps."""
        tasks = self.config.tasks
        return (*(f"weight.{t}" for t in tasks), *(f"rows.{t}" for t in tasks))

    @property
    def gradients_of(self) -> Sequence[str]:
        """All parameters to combine gradients, the balance layer for GradNorm, else none."""
        if self.combiner is not None:
            return tuple(self.names)
        return self.balance_layer if self.weighting.needs_norms else ()

    @property
    def holds_parameters(self) -> bool:
        """Where some task rests at times, or something is frozen."""
        config = self.config
        is_frozen = config.modalities.mode == "freeze" or not all(self.may_move)
        return config.order != "together" or is_frozen

    def init_state(self, streams: RandomStreams, *, like: Tensor) -> Tensors:
        """Memories of all parts."""
        ones_L = torch.ones(len(self.config.tasks), dtype=like.dtype, device=like.device)
        state = put("order", self.order.start(ones_L)) | put(
            "weighting", self.weighting.start(ones_L)
        )
        if self.combiner is not None:
            key = torch.randint(2**31, (), generator=streams.generator("combine"))
            state |= put("combine", self.combiner.start(ones_L, key=key.to(like.device)))
        if self.difficulty is not None:
            state |= put("difficulty", self.difficulty.start(ones_L))
        if self.mixture is not None:
            key = torch.randint(2**31, (), generator=streams.generator("mixture"))
            state |= put("mixture", self.mixture.start(key.to(like.device)))
        return state

    def choose_samples(self, state: Tensors, values: Mapping[str, Tensor]) -> Tensor | None:
        """The next rows of each source; None where there is one data set."""
        del values
        if self.mixture is None:
            return None
        return self.mixture.choose(take(state, "mixture"), self._count_source_rows(state))

    def plan(
        self, state: Tensors, batch: Mapping[str, Tensor], values: Mapping[str, Tensor]
    ) -> Tensors:
        """Active tasks, the weights of rows in each task's loss, and what may move."""
        active_L = self.order.choose(take(state, "order"), values)
        is_trained_BL = ~batch["labels"].isnan() & (active_L > 0)
        if self.config.rows == "dds":
            counts_L = share_out(
                state["difficulty.shares"],
                num_rows=self.config.batch_size,
                min_rows=self.config.dds.min_rows,
                active_L=active_L,
            )
            own_BL = assign_rows(counts_L, num_rows=self.config.batch_size)
            is_trained_BL = is_trained_BL & (own_BL > 0)
        is_trained_BL = is_trained_BL.to(active_L.dtype)
        rows_L = is_trained_BL.sum(dim=0)
        # A task none of whose rows has a label is as one that rests.
        active_L = active_L * (rows_L > 0)
        planned = {"active": active_L, "rows": rows_L, "row_weights": weigh_rows(is_trained_BL)}
        if self.holds_parameters:
            planned[MOVES] = self._find_moving(active_L, values["moving_modalities"])
        return planned

    def weigh(self, state: Tensors, losses_L: Tensor, values: Mapping[str, Tensor]) -> Tensor:
        """Weights of active tasks; 0 for those that rest."""
        factors_L = values[FACTORS]
        weights_L = self.weighting.weigh(take(state, "weighting"), factors_L * losses_L)
        # Never 0 times infinite: a weight of a task that rests may be anything.
        return torch.where(values["active"] > 0, factors_L * weights_L, 0.0)

    def combine(
        self,
        state: Tensors,
        gradients: Mapping[str, Tensor],
        own: Mapping[str, Tensor],
        values: Mapping[str, Tensor],
    ) -> tuple[Mapping[str, Tensor], Tensors]:
        """Shared parameters follow the combination; heads follow their own losses."""
        if self.combiner is None:
            return gradients, state
        weights_L = values["loss_weights"]
        jacobian_LP = torch.cat([own[name].flatten(1) for name in self.shared_names], dim=1)
        direction_P, memory = self.combiner.combine(
            weights_L[:, None] * jacobian_LP,
            active_L=values["active"],
            memory=take(state, "combine"),
        )
        sizes = [gradients[name].numel() for name in self.shared_names]
        parts = torch.split(direction_P, sizes)
        shared = {
            name: part.view(gradients[name].shape)
            for name, part in zip(self.shared_names, parts, strict=True)
        }
        return {**gradients, **shared}, state | put("combine", memory)

    def learn(self, state: Tensors, own: Mapping[str, Tensor], outcome: Outcome) -> Tensors:
        """Every part learns from the update."""
        values, losses_L = outcome.values, outcome.losses_L
        active_L, factors_L = values["active"], values[FACTORS]
        norms_L = None
        if self.weighting.needs_norms:
            layers = [own[name].flatten(1) for name in self.balance_layer]
            norms_L = factors_L * torch.cat(layers, dim=1).norm(dim=1)
        seen = Seen(
            factors_L * losses_L,
            active_L,
            ends_epoch=values["ends_epoch"] > 0,
            norms_L=norms_L,
            measure_again=lambda: factors_L * outcome.recompute(outcome.parameters),
        )
        order = self.order.learn(take(state, "order"), active_L, values)
        learned = put("order", order) | put(
            "weighting", self.weighting.learn(take(state, "weighting"), seen)
        )
        if self.difficulty is not None:
            difficulty = self.difficulty.learn(take(state, "difficulty"), losses_L, active_L)
            learned |= put("difficulty", difficulty)
        if self.mixture is not None:
            counts_D = self._count_source_rows(state)
            learned |= put("mixture", self.mixture.learn(take(state, "mixture"), counts_D))
        return state | learned

    def report(self, weights_L: Tensor, values: Mapping[str, Tensor]) -> Tensor:
        """Weights, then rows of the batch that trained each task."""
        return torch.cat([weights_L, values["rows"]])

    def observe(self, state: Tensors, metrics: Mapping[str, Tensor], *, step: int) -> Tensors:
        """The order sees the validation losses."""
        losses_L = torch.stack([metrics[task] for task in self.config.tasks])
        losses_L = losses_L.to(state["order." + next(iter(take(state, "order")))].dtype)
        order = self.order.observe(take(state, "order"), losses_L, step=step)
        return state | put("order", order)

    def _count_source_rows(self, state: Tensors) -> Tensor:
        assert self.mixture is not None
        if self.difficulty is None:
            ones_L = torch.ones(len(self.config.tasks), device=state["mixture.key"].device)
            return self.mixture.count_rows(ones_L)
        return self.mixture.count_rows(state["difficulty.shares"])

    def _find_moving(self, active_L: Tensor, modalities_M: Tensor) -> Tensor:
        like = {"dtype": active_L.dtype, "device": active_L.device}
        readers_NL = torch.tensor(self.readers, **like)  # type: ignore[arg-type]
        belongs_NM = torch.tensor(self.belongs_to, **like)  # type: ignore[arg-type]
        may_move_N = torch.tensor(self.may_move, **like)  # type: ignore[arg-type]
        is_read_N = (readers_NL @ active_L) > 0
        is_learned_N = (belongs_NM @ modalities_M) > 0
        return is_read_N * is_learned_N * may_move_N
