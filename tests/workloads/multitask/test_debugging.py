"""What `hpcexp debug` may expect of several tasks."""

from __future__ import annotations

import math

import pytest
import torch

from hpcexp.train.debugging import DebugFacts
from hpcexp.train.seeding import RandomStreams
from hpcexp.worker.debug.bench import Bench
from hpcexp.worker.debug.examine import CHECKS, examine
from hpcexp.worker.debug.findings import Level
from hpcexp.workloads.multitask.debugging import describe_for_debugging
from tests.workloads.multitask.conftest import MakeWorkload, make_config

NAN = float("nan")


def test_first_and_trivial_losses_are_those_of_constants_over_known_labels() -> None:
    config = make_config(tasks=["easy", "scaled"], weights={"scaled": 0.5})
    labels = torch.tensor([[1.0, 2.0], [0.0, 4.0], [NAN, NAN], [1.0, 6.0], [1.0, NAN]])
    facts = describe_for_debugging(config, labels)
    assert facts.initial_loss is not None
    at_zero = math.log(2) + 0.5 * (4 + 16 + 36) / 3
    assert facts.initial_loss.low < at_zero < facts.initial_loss.high
    entropy = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    assert facts.trivial_loss == pytest.approx(entropy + 0.5 * 8 / 3)


ALL_IN_ONE = {"all": {"size": 32, "tasks": ["easy", "xor", "scaled"]}}


@pytest.mark.parametrize("changes", [{"tasks": ["easy"]}, {"sources": ALL_IN_ONE}])
def test_where_the_easy_task_is_not_easier_none_is_named(
    make_workload: MakeWorkload, changes: dict[str, object]
) -> None:
    facts: DebugFacts = make_workload(**changes).debug_facts()
    assert facts.easier is None


def test_a_healthy_model_passes_every_check_under_any_strategy(make_workload: MakeWorkload) -> None:
    workload = make_workload(
        order="round_robin", weighting="famo", weights={"scaled": 1e-4}, lr=0.01,
        train_set_size=256, validate_set_size=128, batch_size=32,
    )  # fmt: skip
    bench = Bench(workload, streams=RandomStreams(0, 0), device=torch.device("cpu"), num_steps=400)
    made = examine(bench, group="healthy")
    assert {f.check: f.found for f in made.findings if f.level is Level.FAILED} == {}
    skipped = {f.check for f in made.findings if f.level is Level.SKIPPED}
    assert skipped == {"order of inputs"}
    assert len(made.findings) == len(CHECKS)
