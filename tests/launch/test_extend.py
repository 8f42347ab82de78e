from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pytest

from hpcexp.errors import HpcexpError, UsageError
from hpcexp.launch.extend import Change, Request, extend, plan_change
from hpcexp.launch.local import describe_driver
from hpcexp.launch.observe import observe
from hpcexp.launch.resume import Choice, choose_resumable, make_chooser
from hpcexp.launch.submit import Wish, submit_runs
from hpcexp.store.checkpoints import list_checkpoints
from hpcexp.store.experiment import read_plan, read_run_config, write_plan
from hpcexp.store.files import read_json, write_json
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.ownership import acquire
from hpcexp.store.status import State, read_status, write_status
from hpcexp.store.submissions import Stage, make_submission, write_submission
from tests.launch.extending import list_inits, make
from tests.worker.conftest import assert_equal_runs, take_snapshot, train_here

# Fifteen steps, the last epoch of which is evaluated only because it is the last.
SHORT: dict[str, Any] = {"max_epoch": 3, "eval_every": 2}
LONGER = Request(settings=["max_epoch=5"])


@pytest.fixture(scope="session")
def trained_once(tmp_path_factory: pytest.TempPathFactory) -> ExperimentDir:
    """Two groups with two initialisations, all completed."""
    experiment = make(tmp_path_factory.mktemp("trained"), params=SHORT)
    for run in read_plan(experiment).runs:
        train_here(experiment.run(run.name))
    return experiment


@pytest.fixture
def trained(trained_once: ExperimentDir, tmp_path: Path) -> ExperimentDir:
    copy = tmp_path / "experiments" / trained_once.name
    shutil.copytree(trained_once.path, copy)
    return ExperimentDir(copy)


def train_change(experiment: ExperimentDir, change: Change) -> None:
    for name in change.run_names:
        assert train_here(experiment.run(name)).state == State.COMPLETED


def change_status(experiment: ExperimentDir, run: str, **changes: Any) -> None:
    run_dir = experiment.run(run)
    write_status(run_dir, read_status(run_dir).replace(**changes))


def set_budget(experiment: ExperimentDir, run: str, **budget: int) -> None:
    config = read_json(experiment.run(run).config_path)
    write_json(experiment.run(run).config_path, {**config, "params": config["params"] | budget})


# --------------------------------------------------------------------- more initialisations


def test_initialisations_continue_the_numbering_and_the_seeds(trained: ExperimentDir) -> None:
    before = take_snapshot(trained.runs_dir)
    change = extend(trained, Request(rand_inits=4))
    assert change.run_names == tuple(f"rnn_width={w}_rand_{i}" for w in (4, 6) for i in (2, 3))
    assert list_inits(trained) == {"rnn_width=4": [0, 1, 2, 3], "rnn_width=6": [0, 1, 2, 3]}
    configs = [read_run_config(trained.run(f"rnn_width=6_rand_{i}")) for i in (1, 3)]
    assert dataclasses.replace(configs[1], rand_init=1) == configs[0]
    after = take_snapshot(trained.runs_dir)
    assert {name: after[name] for name in before} == before
    assert read_plan(trained).rand_inits == 4


def test_a_new_initialisation_is_the_one_that_a_larger_launch_would_have_made(
    trained: ExperimentDir, tmp_path: Path
) -> None:
    large = make(tmp_path / "large", params=SHORT, rand_inits=3)
    change = extend(trained, Request(rand_inits=3, only=["rnn_width=4"]))
    assert change.run_names == ("rnn_width=4_rand_2",)
    train_change(trained, change)
    train_here(large.run("rnn_width=4_rand_2"))
    assert_equal_runs(trained.run("rnn_width=4_rand_2"), large.run("rnn_width=4_rand_2"))


@pytest.mark.parametrize(
    ("only", "expected"),
    [
        (["rnn_width=4"], [3, 2]),
        (["rnn_width=4,rnn_width=6"], [3, 3]),
        (["rnn_width=4", "rnn_width=6"], [3, 3]),
        (["*=6"], [2, 3]),
        ([], [3, 3]),
    ],
)
def test_some_groups_get_more_than_others(
    trained: ExperimentDir, only: list[str], expected: list[int]
) -> None:
    extend(trained, Request(rand_inits=3, only=only))
    assert [len(inits) for inits in list_inits(trained).values()] == expected
    extend(trained, Request(groups=["rnn_width=8"]))  # as many as the others have in common
    assert len(list_inits(trained)["rnn_width=8"]) == (2 if only else 3)


def test_runs_that_train_are_left_alone(trained: ExperimentDir) -> None:
    name = "rnn_width=4_rand_0"
    acquire(trained.run(name))
    change_status(trained, name, state=State.RUNNING)
    before = take_snapshot(trained.run(name).path)
    extend(trained, Request(rand_inits=3))
    assert take_snapshot(trained.run(name).path) == before


def test_everything_at_once(trained: ExperimentDir) -> None:
    change = extend(
        trained,
        Request(
            rand_inits=3, only=["rnn_width=8"], settings=["max_epoch=5"], groups=["rnn_width=8"]
        ),
    )
    assert list_inits(trained) == {
        "rnn_width=4": [0, 1],
        "rnn_width=6": [0, 1],
        "rnn_width=8": [0, 1, 2],
    }
    assert len(change.continued.runs) == 4
    for run in read_plan(trained).runs:
        assert read_run_config(trained.run(run.name)).params["max_epoch"] == 5
    assert read_plan(trained).params["max_epoch"] == 5


def test_results_from_elsewhere_are_not_extended(trained: ExperimentDir) -> None:
    write_plan(trained, dataclasses.replace(read_plan(trained), is_imported=True))
    before = take_snapshot(trained.path)
    with pytest.raises(UsageError, match="trained elsewhere; nothing here can add to them"):
        extend(trained, Request(rand_inits=4))
    assert take_snapshot(trained.path) == before


# ------------------------------------------------------------------------- longer training


@pytest.mark.parametrize("settings", [["max_epoch=5"], ["max_step=23"]])
def test_a_run_that_goes_on_equals_one_that_was_launched_for_as_long(
    trained: ExperimentDir, tmp_path: Path, settings: list[str]
) -> None:
    name, _, value = settings[0].partition("=")
    whole = make(tmp_path / "whole", params={**SHORT, name: int(value)})
    change = extend(trained, Request(settings=settings))
    train_change(trained, change)
    for run in read_plan(whole).runs:
        train_here(whole.run(run.name))
        assert_equal_runs(trained.run(run.name), whole.run(run.name))
        status = read_status(trained.run(run.name))
        assert status.continued_from == {"step": 15, "epoch": 3}
        assert status.attempt == 2
        assert status.num_steps == read_status(whole.run(run.name)).num_steps
        config = read_run_config(trained.run(run.name))
        assert config == read_run_config(whole.run(run.name))


def test_what_ended_of_its_own_stays_and_what_is_unfinished_learns_the_budget(
    trained: ExperimentDir,
) -> None:
    states = (State.DIVERGED, State.STOPPED, State.FAILED, State.COMPLETED)
    names = [run.name for run in read_plan(trained).runs]
    for name, state in zip(names, states, strict=True):
        change_status(trained, name, state=state, step=15 if state == State.COMPLETED else 7)
    change = extend(trained, LONGER)
    assert list(change.continued.runs) == names[3:]
    assert (change.continued.num_ended, change.continued.unfinished) == (2, (names[2],))
    assert [read_status(trained.run(n)).state for n in names] == [*states[:3], State.PENDING]
    assert [read_run_config(trained.run(n)).params["max_epoch"] for n in names] == [5] * 4


def test_a_run_that_was_stopped_where_its_budget_ended_out_of_turn_goes_on(
    trained: ExperimentDir,
) -> None:
    change_status(trained, "rnn_width=4_rand_0", state=State.STOPPED, reason="a rule")
    assert "rnn_width=4_rand_0" in plan_change(trained, LONGER).continued.runs


def test_an_extension_that_was_killed_is_finished_by_whoever_submits_next(
    trained: ExperimentDir,
) -> None:
    change = extend(trained, LONGER)
    undone = dataclasses.replace(change.plan.extensions[0], is_applied=False)
    write_plan(trained, dataclasses.replace(change.plan, extensions=(undone,)))
    for name in change.run_names:
        change_status(trained, name, state=State.COMPLETED, num_steps=15)
    set_budget(trained, "rnn_width=4_rand_0", max_epoch=3)
    assert plan_change(trained, Request(rand_inits=3)).plan.params["max_epoch"] == 5
    assert plan_change(trained, Request(groups=["rnn_width=8"])).new_groups == ("rnn_width=8",)
    handed = submit_runs(trained, make_chooser(trained, Choice()), Wish("inline"))
    assert handed.run_names == change.run_names
    assert {read_status(trained.run(n)).step for n in change.run_names} == {25}


def test_the_job_that_trained_a_run_before_says_nothing_of_how_it_goes_on(
    trained: ExperimentDir,
) -> None:
    """Such as one whose launcher has not quite ended yet."""
    names = [run.name for run in read_plan(trained).runs]

    def submit(number: int) -> None:
        submission = make_submission(
            trained, number=number, executor="local", bundles=[names], driver=describe_driver()
        )
        write_submission(trained, submission)

    submit(1)
    extend(trained, LONGER)
    assert choose_resumable(observe(trained)) == names
    submit(2)
    assert choose_resumable(observe(trained)) == []


def test_experiments_that_start_from_runs_that_go_on_are_named(
    trained: ExperimentDir, tmp_path: Path
) -> None:
    start = {"run": f"{trained.path}/runs/rnn_width=4_rand_{{rand_init}}"}
    other = make(tmp_path, name="later", grid={}, params={"warm_start": start})
    assert plan_change(trained, Request(rand_inits=3)).notes == ()
    (note,) = plan_change(trained, LONGER).notes
    assert f"others start from runs of this experiment: {other.name};" in note


def test_the_plan_remembers_each_extension(trained: ExperimentDir) -> None:
    train_change(trained, extend(trained, LONGER))
    extend(trained, Request(settings=["max_epoch=7"], rand_inits=3))
    first, second = read_plan(trained).extensions
    assert (first.number, second.number) == (1, 2)
    assert second.former_budget["rnn_width=4"] == {"max_epoch": 5, "max_step": None}
    assert first.continued["rnn_width=4_rand_0"]["step"] == 15
    assert second.continued["rnn_width=4_rand_0"]["step"] == 25
    assert second.runs == ("rnn_width=4_rand_2", "rnn_width=6_rand_2")
    written = sorted(path.name for path in trained.provenance_dir.glob("extension_*/*.json"))
    assert written == ["provenance.json"] * 2


# --------------------------------------------------------------------------------- refusals

BUDGET_SCHEDULE = {"scheduled_sampling": {"duration": 0.6}}
REFUSED: dict[str, tuple[dict[str, Any], Request, str]] = {
    "a schedule in fractions of the budget": (
        {"params": BUDGET_SCHEDULE},
        LONGER,
        r"scheduled_sampling depends on the length of the whole run \(kind: linear, unit: budget\)",
    ),
    "the way out": (
        {"params": BUDGET_SCHEDULE},
        LONGER,
        r"--add-group rnn_width=4,max_epoch=5$",
    ),
    "a learning rate that ends with the budget": (
        {"params": {"lr_schedule": {"kind": "cosine", "unit": "epochs"}}},
        LONGER,
        r"lr_schedule depends on the length of the whole run \(kind: cosine, unit: epochs\)",
    ),
    "a derived value": (
        {"derive": {"loss_weights.kld": "max_epoch / 100"}},
        LONGER,
        r"loss_weights.kld is given by derive \(loss_weights.kld: \S+.*\): it is 0.03, and would "
        r"become 0.05",
    ),
    "a derived budget": (
        {"derive": {"max_epoch": "12 // rnn_width"}},
        LONGER,
        r"max_epoch is given by derive",
    ),
    "an axis": (
        {"grid": {"max_epoch": [2, 3]}},
        LONGER,
        r"max_epoch is given by an axis of the grid, and would stay 2  \(in max_epoch=2\)",
    ),
    "the way out of an axis": (
        {"grid": {"max_epoch": [2, 3]}},
        LONGER,
        "--add-group max_epoch=5$",
    ),
    "a named group": (
        {"groups": {"long": {"max_epoch": 9}, "plain": {}}},
        LONGER,
        r"max_epoch is given by the group long, and would stay 9  "
        r"\(in long,rnn_width=4, long,rnn_width=6\)",
    ),
    "fewer epochs": ({}, Request(settings=["max_epoch=2"]), "10 steps are fewer than the 15"),
    "the same": ({}, Request(settings=["max_epoch=3"]), "is no longer than what it has"),
    "no epochs": ({}, Request(settings=["max_epoch=0"]), "max_epoch: 0 is out of range"),
    "half an epoch": ({}, Request(settings=["max_epoch=4.5"]), "4.5 is not a whole number"),
    "epochs beside steps": (
        {"params": {"max_step": 9}},
        LONGER,
        r"max_epoch has no effect beside max_step \(9\)",
    ),
    "nothing": ({}, Request(), "say what to add"),
    "only without a number": ({}, Request(only=["rnn_width=4"]), "say what to add"),
    "only of a budget": (
        {},
        Request(only=["rnn_width=4"], settings=["max_epoch=5"]),
        "--only says which groups get more initialisations",
    ),
    "no such group": (
        {},
        Request(rand_inits=3, only=["rnn_width=5"]),
        r"no group 'rnn_width=5'; there are: rnn_width=4, rnn_width=6",
    ),
    "fewer initialisations": (
        {},
        Request(rand_inits=2),
        r"every group has 2 initialisations or more already.*hpcexp resume",
    ),
    "too many": ({}, Request(rand_inits=100_000), "more than 100000 runs"),
    "far too many": ({}, Request(rand_inits=10**15), "more than 100000 runs"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_says_why_and_changes_nothing(tmp_path: Path, case: str) -> None:
    keys, request, message = REFUSED[case]
    given = {**keys.get("derive", {}), **keys.get("grid", {})}
    params = {k: v for k, v in {**SHORT, **keys.get("params", {})}.items() if k not in given}
    experiment = make(tmp_path, **{**keys, "params": params})
    before = take_snapshot(experiment.path)
    with pytest.raises(UsageError, match=message):
        extend(experiment, request)
    assert take_snapshot(experiment.path) == before


@pytest.mark.parametrize(
    "case", ["no epochs", "half an epoch", "the same", "a derived budget", "epochs beside steps"]
)
def test_no_group_is_advised_that_would_be_refused_as_well(tmp_path: Path, case: str) -> None:
    keys, request, _ = REFUSED[case]
    params = {**SHORT, **keys.get("params", {})}
    for name in keys.get("derive", {}):
        del params[name]
    experiment = make(tmp_path, **{**keys, "params": params})
    with pytest.raises(UsageError) as caught:
        plan_change(experiment, request)
    assert "--add-group" not in str(caught.value)


def test_a_damaged_run_that_could_not_learn_the_budget_is_named(trained: ExperimentDir) -> None:
    path = trained.run("rnn_width=6_rand_1").config_path
    path.write_text("{")
    before = take_snapshot(trained.path)
    with pytest.raises(HpcexpError, match=r"rnn_width=6_rand_1/config.json: damaged"):
        extend(trained, LONGER)
    assert take_snapshot(trained.path) == before


def test_the_budget_of_runs_that_are_worked_on_is_not_raised(trained: ExperimentDir) -> None:
    name = "rnn_width=4_rand_0"
    acquire(trained.run(name))
    change_status(trained, name, state=State.RUNNING)
    with pytest.raises(UsageError, match=rf"worked on .*: {name}; .*hpcexp cancel"):
        extend(trained, LONGER)


def test_the_budget_of_runs_that_are_held_is_not_raised(trained: ExperimentDir) -> None:
    name = "rnn_width=4_rand_0"
    change_status(trained, name, state=State.PENDING)
    held = make_submission(trained, number=1, executor="slurm", bundles=[[name]], stage=Stage.HELD)
    write_submission(trained, held)
    with pytest.raises(UsageError, match=name):
        extend(trained, LONGER)


def test_runs_without_checkpoints_do_not_silently_begin_anew(trained: ExperimentDir) -> None:
    name = "rnn_width=6_rand_1"
    shutil.rmtree(trained.run(name).checkpoints_dir)
    before = take_snapshot(trained.path)
    with pytest.raises(UsageError, match=rf"no checkpoint to go on from .*: {name}; nothing"):
        extend(trained, LONGER)
    assert take_snapshot(trained.path) == before


def test_a_longer_budget_that_no_run_would_use_is_refused(trained: ExperimentDir) -> None:
    for run in read_plan(trained).runs:
        change_status(trained, run.name, state=State.DIVERGED, step=7)
    with pytest.raises(UsageError, match="no run would train longer"):
        extend(trained, LONGER)


def test_looking_changes_nothing(trained: ExperimentDir) -> None:
    before = take_snapshot(trained.path)
    change = plan_change(trained, Request(rand_inits=3, settings=["max_epoch=5"]))
    assert len(change.run_names) == 6
    assert take_snapshot(trained.path) == before


def test_a_plan_that_does_not_explain_its_runs_is_not_made_longer(trained: ExperimentDir) -> None:
    plan = read_json(trained.plan_path)
    plan["params"]["lr"] = 0.5
    write_json(trained.plan_path, plan)
    with pytest.raises(HpcexpError, match=r"another configuration of group .* \(another lr\)"):
        extend(trained, LONGER)
    assert list_checkpoints(trained.run("rnn_width=4_rand_0"))
