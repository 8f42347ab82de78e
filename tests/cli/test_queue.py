"""`hpcexp set`, `hold`, `release` and `run`, where there is no queue."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpcexp.launch.prepare import prepare
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.status import State, read_status
from hpcexp.template import load_template
from tests.cli.conftest import TEMPLATE
from tests.cli.in_process import here, type_here

__all__ = ["here"]
RUN = "rnn_width=4_rand_0"


@pytest.fixture
def planned(here: Path) -> ExperimentDir:
    (here / "tiny.yaml").write_text(TEMPLATE)
    template = load_template(here / "tiny.yaml")
    return prepare(template, experiments_dir=here / "experiments", copy_code=False)


@pytest.mark.parametrize("command", [("set", "--partition", "a"), ("hold",), ("release",)])
def test_without_jobs_in_a_queue_nothing_is_changed(
    planned: ExperimentDir, command: tuple[str, ...]
) -> None:
    name, *options = command
    said = type_here(name, "tiny", *options, exit_code=2)
    assert "has no jobs in the queue of Slurm; nothing was changed" in said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "give --max-parallel, --partition or --time"),
        (("--time", "45"), "is not a duration"),
        (("--max-parallel", "-1"), "-1"),
    ],
)
def test_what_cannot_be_set_is_refused(
    planned: ExperimentDir, options: tuple[str, ...], said: str
) -> None:
    assert said in type_here("set", "tiny", *options, exit_code=2)


def test_one_run_trains_here_and_no_other(planned: ExperimentDir) -> None:
    type_here("run", "tiny", RUN, "--here")
    assert read_status(planned.run(RUN)).state == State.COMPLETED
    assert read_status(planned.run("rnn_width=6_rand_0")).state == State.PENDING
    assert "never trained again; hpcexp reproduce" in type_here(
        "run", "tiny", RUN, "--here", exit_code=2
    )


def test_run_takes_one_run_and_needs_a_terminal_to_be_interactive(planned: ExperimentDir) -> None:
    said = type_here("run", "tiny", "rnn_width=4", "--here", exit_code=2)
    assert "means 2 runs; name one, such as rnn_width=4_rand_0" in said
    assert "did you mean" in type_here("run", "tiny", "rnn_width=4_rand_00", "--here", exit_code=2)
    said = type_here("run", "tiny", RUN, "--interactive", exit_code=2)
    assert "needs a terminal" in said
