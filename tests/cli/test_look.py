"""`hpcexp extend --until-decided` and `hpcexp look` as a user types them."""

from __future__ import annotations

import json

from hpcexp.store.deciding import read_deciding
from hpcexp.store.experiment import read_plan
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.status import State, read_status, write_status
from tests.cli.conftest import CommandLine
from tests.worker.conftest import take_snapshot

DECIDE = ("extend", "tiny", "--until-decided", "--max-rand-inits", "6", "--looks", "3")
TRAIN_LONGER = ("--set", "grid.rnn_width=null", "--set", "grid.max_step=[1, 40]")


def launch(hpcexp: CommandLine) -> ExperimentDir:
    """Groups that differ a lot: one is hardly trained."""
    hpcexp("launch", "tiny.yaml", "--inline", *TRAIN_LONGER)
    return hpcexp.experiments[0]


def test_an_experiment_is_decided_from_the_first_look_to_the_last(hpcexp: CommandLine) -> None:
    experiment = launch(hpcexp)
    before = take_snapshot(experiment.path)
    shown = hpcexp(*DECIDE, "--dry-run", "--local")
    assert "looks at 2, 3 and 6 initialisations per group" in shown
    assert "look 1      2 initialisations per group, the runs at hand" in shown
    assert "at most     8 new runs" in shown
    assert "nothing was changed" in shown
    assert take_snapshot(experiment.path) == before
    shown = hpcexp(*DECIDE, "--local", "--jobs", "2")
    deciding = read_deciding(experiment)
    assert deciding is not None
    assert deciding.is_over
    assert shown.index("look 1 at 2 initialisations") < shown.index("decided   after look")
    wanted = deciding.plan.looks[len(deciding.looks) - 1]
    runs = read_plan(experiment).list_members()
    assert {len(members) for members in runs.values()} == {wanted}
    assert f"deciding: {len(deciding.looks)} of 3 looks" in hpcexp("status", "tiny")
    assert f"looks         {len(deciding.looks)} of 3 taken" in hpcexp("plot", "tiny")
    assert "decided   after look" in hpcexp("look", "tiny", "--inline")


def test_a_run_that_failed_holds_the_look_up_until_somebody_says_what_to_do(
    hpcexp: CommandLine,
) -> None:
    experiment = launch(hpcexp)
    name = read_plan(experiment).runs[0].name
    run_dir = experiment.run(name)
    write_status(run_dir, read_status(run_dir).replace(state=State.FAILED, reason="no memory"))
    shown = hpcexp(*DECIDE, "--inline", exit_code=1)
    assert "look 1 (at 2 per group) waits for 1 run (1 failed)" in shown
    assert f"{name} will not end by waiting: hpcexp resume" in shown
    status = json.loads(hpcexp.start("status", "tiny", "--json").communicate()[0])
    assert status["deciding"]["waiting_for"] == {name: "failed"}
    shown = hpcexp("look", "tiny", "--without", name, "--inline")
    assert f"left out  {name}" in shown
    assert "decided   after look" in shown


def test_resume_goes_on_with_the_looks(hpcexp: CommandLine) -> None:
    experiment = launch(hpcexp)
    run_dir = experiment.run(read_plan(experiment).runs[0].name)
    write_status(run_dir, read_status(run_dir).replace(state=State.FAILED, reason="no memory"))
    hpcexp(*DECIDE, "--inline", exit_code=1)
    assert "decided   after look" in hpcexp("resume", "tiny", "--inline")


def test_what_makes_no_sense_is_refused_and_says_what_would(hpcexp: CommandLine) -> None:
    experiment = launch(hpcexp)
    before = take_snapshot(experiment.path)
    for arguments, said in (
        (("--until-decided", "--rand-inits", "8"), "chooses groups and numbers by itself"),
        (("--rand-inits", "8", "--looks", "3"), "--looks goes with --until-decided"),
        (("--until-decided", "--max-rand-inits", "3"), "--max-rand-inits 4 at least"),
    ):
        assert said in hpcexp("extend", "tiny", *arguments, "--inline", exit_code=2)
    assert "--until-decided makes one" in hpcexp("look", "tiny", "--inline", exit_code=2)
    assert take_snapshot(experiment.path) == before
