"""`hpcexp extend` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

from hpcexp.store.experiment import read_plan
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.metrics import read_metrics
from tests.cli.conftest import CommandLine
from tests.worker.conftest import assert_equal_metrics, take_snapshot

STEADY = ("--set", "params.scheduled_sampling={unit: epochs, duration: 2}")


def launch(hpcexp: CommandLine, name: str, *options: str) -> ExperimentDir:
    hpcexp("launch", "tiny.yaml", "--inline", "--name", name, *STEADY, *options)
    return next(e for e in hpcexp.experiments if e.short_name == name)


def test_more_of_everything_equals_a_launch_of_everything(hpcexp: CommandLine) -> None:
    whole = launch(
        hpcexp, "whole", "--set", "params.max_step=13", "--set", "grid.rnn_width=[4, 6, 8]"
    )
    part = launch(hpcexp, "part", "--rand-inits", "1")
    shown = hpcexp(
        "extend", "part", "--rand-inits", "2", "--set", "max_step=13", "--add-group", "rnn_width=8",
        "--inline",
    )  # fmt: skip
    for expected in (
        "4 new runs, 2 runs to go on",
        "rnn_width=4   1 -> 2 initialisations",
        "rnn_width=8   new group, 2 initialisations",
        "max_step=13   from epoch 2 to 4",
        "6 completed",
    ):
        assert expected in shown
    for run in read_plan(whole).runs:
        tables = [read_metrics(e.run(run.name).path) for e in (part, whole)]
        assert_equal_metrics(*tables)
    assert "continued: 2 runs beyond epoch 2" in hpcexp("status", "part")
    assert "6 of 6 runs" in hpcexp("plot", "part")


def test_a_dry_run_says_everything_and_changes_nothing(hpcexp: CommandLine) -> None:
    experiment = launch(hpcexp, "tiny", "--rand-inits", "1")
    before = take_snapshot(experiment.path)
    asked = ("extend", "tiny", "--rand-inits", "2", "--set", "max_step=13", "--local")
    shown = hpcexp(*asked, "--dry-run")
    assert "2 new runs, 2 runs to go on" in shown
    assert "would train   4 jobs on this machine" in shown
    assert "nothing was changed" in shown
    stdout, _ = hpcexp.start(*asked, "--dry-run", "--json").communicate()
    planned = json.loads(stdout)
    assert planned["new_runs"] == ["rnn_width=4_rand_1", "rnn_width=6_rand_1"]
    assert planned["continued"]["rnn_width=4_rand_0"]["num_steps"] == 13
    assert take_snapshot(experiment.path) == before
    stdout, _ = hpcexp.start(*asked, "--json").communicate()
    done = json.loads(stdout)
    assert done["runs"] == [*planned["new_runs"], *planned["continued"]]
    assert {**done, **planned} == done


def test_a_refusal_exits_with_2_and_says_what_to_type_instead(hpcexp: CommandLine) -> None:
    hpcexp("launch", "tiny.yaml", "--inline", "--rand-inits", "1", "--only", "rnn_width=4")
    before = take_snapshot(hpcexp.experiments[0].path)
    shown = hpcexp("extend", "tiny", "--set", "max_step=13", "--inline", exit_code=2)
    assert "scheduled_sampling depends on the length of the whole run" in shown
    assert "--add-group rnn_width=4,max_step=13" in shown
    assert "did you mean rnn_width?" in hpcexp(
        "extend", "tiny", "--add-group", "rnn_widht=8", "--inline", exit_code=2
    )
    assert "Traceback" not in shown
    assert take_snapshot(hpcexp.experiments[0].path) == before
    shown = hpcexp("extend", "tiny", "--add-group", "rnn_width=4,max_step=13", "--inline")
    assert "1 completed" in shown
    assert Path(hpcexp.experiments[0].run("rnn_width=4,max_step=13_rand_0").path).is_dir()
