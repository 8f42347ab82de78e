"""Every template is launched as a user launches it: minutes, and not part of `make test`.

    HPCEXP_NIGHTLY_TABLE=docs/results/nightly.md make test-nightly

also writes down what came out: templates, groups, runs, seconds and states.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from hpcexp.store.experiment import Plan, read_plan
from hpcexp.store.find import list_experiments
from hpcexp.store.status import State, read_status
from tests.templates.catalogue import PROJECT_DIR, get_path, list_templates

TABLE_VARIABLE = "HPCEXP_NIGHTLY_TABLE"
# Runs with a learning rate a million times too high: that they diverge is what was found.
DIVERGING = {"xj_loss_w_refactor_2022_m12_d09": "refactored"}
# Templates whose runs start from those of another.
PREDECESSORS = {"unmix/transfer": "unmix/decoders"}

# Templates of many runs take minutes on a busy machine.
pytestmark = [pytest.mark.nightly, pytest.mark.timeout(900)]


@dataclass
class Table:
    """Rows of templates in the order in which they were launched."""

    rows: list[str] = field(default_factory=list)

    def add(self, name: str, plan: Plan, *, seconds: float, states: Counter[State]) -> None:
        said = ", ".join(f"{count} {state.value}" for state, count in states.items())
        groups = len({run.group for run in plan.runs})
        self.rows.append(f"| {name} | {groups} | {len(plan.runs)} | {seconds:.1f} | {said} |")

    def __str__(self) -> str:
        head = "| template | groups | runs | seconds | states |\n|---|---|---|---|---|\n"
        return head + "\n".join(self.rows) + "\n"


@pytest.fixture(scope="module")
def table() -> Iterator[Table]:
    collected = Table()
    yield collected
    if path := os.environ.get(TABLE_VARIABLE):
        (PROJECT_DIR / path).write_text(str(collected))


def launch(name: str, directory: Path) -> subprocess.CompletedProcess[str]:
    arguments = ["launch", str(get_path(name)), "--profile", "smoke", "--local"]
    return subprocess.run(
        [sys.executable, "-m", "hpcexp", *arguments, "--experiments-dir", str(directory)],
        cwd=directory, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("name", list_templates())
def test_a_template_launched_on_this_machine_completes(
    name: str, table: Table, tmp_path: Path
) -> None:
    if name in PREDECESSORS:
        launch(PREDECESSORS[name], tmp_path)
    begin = time.monotonic()
    done = launch(name, tmp_path)
    seconds = time.monotonic() - begin
    experiment = list_experiments(tmp_path)[0]
    plan = read_plan(experiment)
    ends = {run.name: read_status(experiment.run(run.name)) for run in plan.runs}
    table.add(name, plan, seconds=seconds, states=Counter(end.state for end in ends.values()))
    for run_name, end in ends.items():
        may_diverge = run_name.startswith(DIVERGING.get(name, "none of them"))
        expected = State.DIVERGED if may_diverge else State.COMPLETED
        assert end.state is expected, f"{run_name}: {end.reason}\n{done.stdout}{done.stderr}"
