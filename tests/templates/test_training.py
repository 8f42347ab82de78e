"""The first and the last group of every template train, in one process."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache

import pytest
import torch

from hpcexp.template import Template, load_template
from hpcexp.train.fit import fit
from hpcexp.train.seeding import RandomStreams
from hpcexp.train.sink import MemorySink
from hpcexp.workloads import load_config_class, load_workload
from tests.templates.catalogue import get_path, list_templates

NUM_STEPS = 2
# A group whose learning rate is a million times too high, as in the notebook.
DIVERGING = ("xj_loss_w_refactor_2022_m12_d09", -1)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@cache
def load_smoke(name: str) -> Template:
    steps = f"params.max_step={NUM_STEPS}"
    return load_template(get_path(name), profile="smoke", overrides=(steps,))


@pytest.mark.parametrize("name", list_templates())
@pytest.mark.parametrize("place", [0, -1], ids=["first", "last"])
def test_a_group_trains_two_steps_to_finite_losses(name: str, place: int) -> None:
    template = load_smoke(name)
    values = template.config_for(template.groups()[place])
    config = load_config_class(template.workload).model_validate(values)
    sink = MemorySink()
    result = fit(
        load_workload(template.workload, config), streams=RandomStreams(0, 0), sink=sink
    )  # fmt: skip
    if (name, place) == DIVERGING:
        assert result.outcome in ("completed", "diverged")
        return
    assert (result.outcome, result.step) == ("completed", NUM_STEPS)
    assert {row.split for row in sink.rows} == {"train", "validate"}
    assert all(math.isfinite(row.values["loss"]) for row in sink.rows)
