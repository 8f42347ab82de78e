from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from hpcexp.cli.progress import ProgressDisplay, format_duration
from hpcexp.launch.prepare import prepare
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.status import RunStatus, State, write_status
from hpcexp.template import load_template


@pytest.fixture
def experiment(tmp_path: Path) -> ExperimentDir:
    path = tmp_path / "t.yaml"
    path.write_text("workload: sps\ngrid: {rnn_width: [4, 6]}\nrand_inits: 1\n")
    return prepare(load_template(path), experiments_dir=tmp_path / "experiments")


def show(experiment: ExperimentDir, *, terminal: bool) -> str:
    """A run starts, trains and completes; another fails."""
    output = io.StringIO()
    console = Console(file=output, force_terminal=terminal, width=140, highlight=False)
    first, second = (experiment.run(f"rnn_width={w}_rand_0") for w in (4, 6))
    with ProgressDisplay(experiment, console) as display:
        display.update()
        write_status(first, RunStatus(state=State.RUNNING))
        display.update()
        metrics = {"loss": 0.25, "loss.kld": 1.0, "linear_projection_mse": None}
        running = RunStatus(state=State.RUNNING, step=5, num_steps=10, metrics=metrics)
        write_status(first, running)
        display.update()
        if display.progress is not None:
            display.progress.refresh()
        write_status(first, running.replace(state=State.COMPLETED, step=10, trained_s=75.0))
        write_status(second, RunStatus(state=State.FAILED, reason="out of [memory]"))
        display.update()
    return output.getvalue()


def test_a_terminal_shows_bars_and_a_line_for_each_end(experiment: ExperimentDir) -> None:
    shown = show(experiment, terminal=True)
    assert "step 5/10" in shown
    assert "loss 0.25" in shown
    assert "2/2 ended" in shown
    assert "out of [memory]" in shown


def test_a_pipe_gets_a_line_for_each_end_and_no_control_characters(
    experiment: ExperimentDir,
) -> None:
    shown = show(experiment, terminal=False)
    assert "\x1b" not in shown
    assert "completed  rnn_width=4_rand_0" in shown
    assert "1m 15s" in shown
    assert "failed     rnn_width=6_rand_0   out of [memory]" in shown


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0s"), (12, "12s"), (125, "2m 05s"), (4205, "1h 10m")]
)
def test_durations_are_short(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
