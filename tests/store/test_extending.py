from __future__ import annotations

import dataclasses
import errno
import json
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from hpcexp.errors import HpcexpError
from hpcexp.store.experiment import (
    Plan,
    PlannedGroup,
    PlannedRun,
    create_experiment,
    read_plan,
    read_run_config,
    write_plan,
)
from hpcexp.store.extending import finish_extensions, write_extension
from hpcexp.store.extension import Extension
from hpcexp.store.layout import UNFINISHED_PREFIX, ExperimentDir
from hpcexp.store.ownership import acquire, read_owner
from hpcexp.store.status import RunStatus, State, read_status, write_status
from hpcexp.store.statuses import read_settled
from tests.store.conftest import PROVENANCE, StartPython, make_test_plan

GROUP = "rnn_width=16,loss_weights.kld=0.0"
NEW_RUNS = ("rnn_width=4,loss_weights.kld=0.0_rand_2", f"{GROUP}_rand_0")


def make_ended(directory: Path) -> ExperimentDir:
    """An experiment whose first group has completed; of the second one run failed."""
    plan = make_test_plan(directory)
    plan = dataclasses.replace(plan, groups=plan.groups[:2], runs=plan.runs[:4])
    experiment = create_experiment(
        directory / "experiments", plan, sources=[], provenance=PROVENANCE
    )
    for run, state in zip(
        plan.runs, (State.COMPLETED, State.COMPLETED, State.FAILED), strict=False
    ):
        run_dir = experiment.run(run.name)
        ownership = acquire(run_dir)
        ended: dict[str, Any] = {
            "step": 10,
            "num_steps": 10,
            "epoch": 2,
            "num_epochs": 2,
            "reason": "so",
        }
        write_status(run_dir, RunStatus(state=state, attempt=ownership.attempt, **ended))
        ownership.release()
    return experiment


def make_longer(plan: Plan, configs: dict[str, Any]) -> Plan:
    """One more initialisation, one more group, and twice the budget."""
    group = plan.groups[0].name
    runs = [
        *plan.runs[:2],
        PlannedRun(NEW_RUNS[0], group, 2),
        *plan.runs[2:],
        PlannedRun(NEW_RUNS[1], GROUP, 0),
    ]
    extension = Extension(
        number=len(plan.extensions) + 1,
        created="2022-12-14T10:00:00+00:00",
        command="hpcexp extend",
        user="someone",
        commit=None,
        groups=(GROUP,),
        runs=NEW_RUNS,
        budget={"max_epoch": 4},
        former_budget={g.name: {"max_epoch": 2, "max_step": None} for g in plan.groups},
        continued={
            run.name: {"step": 10, "epoch": 2, "num_steps": 20, "num_epochs": 4}
            for run in plan.runs[:2]
        },
        is_applied=False,
    )
    raised = {name: {**config, "max_epoch": 4} for name, config in configs.items()}
    return dataclasses.replace(
        plan,
        params={**plan.params, "max_epoch": 4},
        groups=(*plan.groups, PlannedGroup(GROUP, {"rnn_width": 16, "loss_weights.kld": 0.0})),
        runs=tuple(runs),
        extensions=(*plan.extensions, extension),
        configs={**raised, GROUP: raised[group]},
    )


def replace_last(plan: Plan, **changes: Any) -> Plan:
    """The plan with another last extension."""
    last = dataclasses.replace(plan.extensions[-1], **changes)
    return dataclasses.replace(plan, extensions=(*plan.extensions[:-1], last))


def extend(experiment: ExperimentDir) -> Plan:
    plan = read_plan(experiment)
    configs = {
        run.group: dict(read_run_config(experiment.run(run.name)).params) for run in plan.runs
    }
    return write_extension(experiment, make_longer(plan, configs), PROVENANCE)


def read_tree(experiment: ExperimentDir) -> dict[str, Any]:
    """All that the plan names: itself, and of each run what stands in its files, but for times."""
    plan = read_plan(experiment)
    tree: dict[str, Any] = {"plan": plan}
    for run in plan.runs:
        run_dir = experiment.run(run.name)
        status = dataclasses.replace(read_status(run_dir), updated=0.0)
        tree[run.name] = (read_run_config(run_dir), status, read_owner(run_dir))
    return tree


# -------------------------------------------------------------------------- what it becomes


@pytest.fixture
def ended(tmp_path: Path) -> ExperimentDir:
    return make_ended(tmp_path)


def test_new_runs_wait_with_the_configuration_of_their_group(ended: ExperimentDir) -> None:
    extend(ended)
    for name, rand_init in zip(NEW_RUNS, (2, 0), strict=True):
        config = read_run_config(ended.run(name))
        assert (config.seed, config.rand_init) == (11, rand_init)
        assert config.params["max_epoch"] == 4
        assert read_status(ended.run(name)).state == State.PENDING


def test_completed_runs_wait_to_go_on_and_say_from_where(ended: ExperimentDir) -> None:
    plan = extend(ended)
    for run in (plan.runs[0], plan.runs[1]):
        status = read_status(ended.run(run.name))
        assert (status.state, status.step, status.num_steps) == (State.PENDING, 10, 20)
        assert status.continued_from == {"step": 10, "epoch": 2}
        assert (status.reason, status.attempt) == ("", 1)
    failed, untouched = ended.run(plan.runs[3].name), ended.run(plan.runs[4].name)
    assert (read_status(failed).state, read_status(failed).continued_from) == (State.FAILED, None)
    for run_dir in (failed, untouched):
        assert read_run_config(run_dir).params["max_epoch"] == 4


@pytest.mark.parametrize(("state", "step"), [(State.RUNNING, 10), (State.COMPLETED, 20)])
def test_a_run_that_has_gone_on_since_is_not_told_again(
    ended: ExperimentDir, state: State, step: int
) -> None:
    plan = extend(ended)
    run_dir = ended.run(plan.runs[0].name)
    write_status(run_dir, read_status(run_dir).replace(state=state, step=step))
    write_plan(ended, replace_last(plan, is_applied=False))
    finish_extensions(ended)
    assert (read_status(run_dir).state, read_status(run_dir).step) == (state, step)


def test_the_summary_knows_that_runs_go_on(ended: ExperimentDir) -> None:
    names = [run.name for run in read_plan(ended).runs]
    assert read_settled(ended, names)[names[0]].state == State.COMPLETED
    extend(ended)
    assert read_settled(ended, names)[names[0]].state == State.PENDING


def test_the_plan_records_the_extension_and_its_provenance_lies_beside_that_of_the_launch(
    ended: ExperimentDir,
) -> None:
    plan = extend(ended)
    assert plan == read_plan(ended)
    (extension,) = plan.extensions
    assert extension.is_applied
    assert extension.former_budget["rnn_width=4,loss_weights.kld=0.0"]["max_epoch"] == 2
    written = ended.extension_provenance_dir(1) / "provenance.json"
    assert json.loads(written.read_text())["command"] == PROVENANCE.command
    assert list(ended.path.glob(f"{UNFINISHED_PREFIX}*")) == []


def test_an_owner_that_may_come_back_is_superseded(ended: ExperimentDir) -> None:
    run_dir = ended.run(read_plan(ended).runs[3].name)
    ownership = acquire(run_dir)
    extend(ended)
    with pytest.raises(HpcexpError, match="superseded"):
        ownership.check()


# ------------------------------------------------------------------------- what is in the way


def test_what_a_killed_extension_left_is_replaced(ended: ExperimentDir) -> None:
    whole = ended.run(NEW_RUNS[0]).path
    shutil.copytree(ended.run(read_plan(ended).runs[-1].name).path, whole)
    (ended.path / f"{UNFINISHED_PREFIX}x").mkdir()
    ended.extension_provenance_dir(1).mkdir()
    extend(ended)
    assert read_run_config(ended.run(NEW_RUNS[0])).rand_init == 2
    assert not (ended.path / f"{UNFINISHED_PREFIX}x").exists()


@pytest.mark.parametrize("content", ["note.txt", "metrics.1.bin"])
def test_what_somebody_else_put_there_is_kept_and_named(ended: ExperimentDir, content: str) -> None:
    there = ended.run(NEW_RUNS[1]).path
    there.mkdir()
    (there / content).write_text("mine")
    before = read_tree(ended)
    with pytest.raises(HpcexpError, match=r"rand_0: is in the way.*Nothing was changed"):
        extend(ended)
    assert read_tree(ended) == before
    assert (there / content).read_text() == "mine"
    assert sorted(path.name for path in ended.runs_dir.iterdir()) == sorted(
        [*(run.name for run in before["plan"].runs), NEW_RUNS[1]]
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_that_cannot_be_written_is_an_error_in_words(ended: ExperimentDir) -> None:
    ended.path.chmod(0o500)
    with pytest.raises(HpcexpError, match="cannot be extended: Permission denied"):
        extend(ended)


def test_what_the_file_system_refuses_half_way_leaves_nothing(ended: ExperimentDir) -> None:
    before = read_tree(ended)
    plan = read_plan(ended)
    configs: dict[str, Any] = {group.name: {} for group in plan.groups}
    longer = make_longer(plan, configs)
    too_long = PlannedRun("x" * 300, GROUP, 1)
    extension = dataclasses.replace(longer.extensions[-1], runs=(*NEW_RUNS, too_long.name))
    with pytest.raises(HpcexpError, match=r"File name too long \(x+\); nothing was changed"):
        write_extension(
            ended,
            dataclasses.replace(longer, runs=(*longer.runs, too_long), extensions=(extension,)),
            PROVENANCE,
        )
    assert read_tree(ended) == before
    assert list(ended.path.glob(f"{UNFINISHED_PREFIX}*")) == []
    assert not ended.run(NEW_RUNS[0]).path.exists()


def test_a_disk_that_fills_up_after_the_plan_was_replaced_is_told_and_made_up_for(
    ended: ExperimentDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("hpcexp.store.extending._begin_again", refuse)
        with pytest.raises(HpcexpError, match=r"No space left.*hpcexp resume goes on"):
            extend(ended)
    assert not read_plan(ended).extensions[0].is_applied
    plan = finish_extensions(ended)
    assert plan.extensions[0].is_applied
    assert read_status(ended.run(plan.runs[0].name)).state == State.PENDING


# ------------------------------------------------------------------------ killed at any moment

CHANGING = {"os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.link", "os.truncate"}
KILL_EVERYWHERE = """
import sys
from pathlib import Path
from tests.store.test_extending import kill_everywhere
print(kill_everywhere(Path(sys.argv[1])))
"""


def kill_everywhere(directory: Path) -> int:
    """Kill an extension before each thing it does to a file; how many of these there were."""
    original = make_ended(directory)
    undisturbed = ExperimentDir(directory / "undisturbed")
    shutil.copytree(original.path, undisturbed.path)
    before = read_tree(original)
    extend(undisturbed)
    after = read_tree(undisturbed)
    number = 0
    while True:
        number += 1
        experiment = ExperimentDir(directory / f"killed_{number}")
        shutil.copytree(original.path, experiment.path)
        if not _is_killed(experiment, at=number):
            return number - 1
        _check_as_before_or_extended(experiment, before, after)
        shutil.rmtree(experiment.path)


def _is_killed(experiment: ExperimentDir, *, at: int) -> bool:
    """Extend in a process that is killed before it touches a file for the `at`-th time."""
    pid = os.fork()
    if pid == 0:
        seen = 0

        def count(event: str, arguments: tuple[Any, ...]) -> None:
            nonlocal seen
            is_write = event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR)
            if (event in CHANGING or is_write) and str(experiment.path) in str(arguments[0]):
                seen += 1
                if seen == at:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        extend(experiment)
        os._exit(0)
    return os.WIFSIGNALED(os.waitpid(pid, 0)[1])


def _check_as_before_or_extended(
    experiment: ExperimentDir, before: dict[str, Any], after: dict[str, Any]
) -> None:
    if read_plan(experiment).extensions:
        finish_extensions(experiment)  # as whoever submits runs does
    else:
        assert read_tree(experiment) == before
        extend(experiment)
    assert read_tree(experiment) == after
    assert sorted(path.name for path in experiment.runs_dir.iterdir()) == sorted(
        run.name for run in after["plan"].runs
    )


def test_an_extension_that_is_killed_at_any_moment_has_happened_or_not(
    tmp_path: Path, start_python: StartPython
) -> None:
    process = start_python(KILL_EVERYWHERE, tmp_path / "work")
    (tmp_path / "work").mkdir()
    printed = process.communicate()[0]
    assert process.returncode == 0, printed
    assert int(printed) > 40
