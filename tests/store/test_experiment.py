from __future__ import annotations

import dataclasses
import json
import math
import signal
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from hpcexp.errors import HpcexpError, UsageError
from hpcexp.store.experiment import (
    Plan,
    create_experiment,
    hash_config,
    read_plan,
    read_run_config,
)
from hpcexp.store.extension import Extension
from hpcexp.store.find import list_experiments
from hpcexp.store.layout import FORMAT, TIMESTAMP, UNFINISHED_PREFIX, ExperimentDir
from hpcexp.store.status import RunStatus, State, read_status
from tests.store.conftest import PROVENANCE, TEMPLATE, StartPython, wait_until

CREATE_AT_A_MOMENT = """
import sys, time
from pathlib import Path
from hpcexp.store.experiment import create_experiment
from tests.store.conftest import PROVENANCE, make_test_plan
work_dir, experiments_dir = map(Path, sys.argv[1:])
work_dir.mkdir()
plan = make_test_plan(work_dir)
print("ready", flush=True)
moment = float(sys.stdin.readline())
time.sleep(max(0.0, moment - time.time()))
print(create_experiment(experiments_dir, plan, sources=[], provenance=PROVENANCE).path)
"""
CREATE_HALF = """
import sys, time
from pathlib import Path
from hpcexp.store.experiment import create_experiment
from tests.store.conftest import PROVENANCE, make_test_plan

class Sources(list):
    def __iter__(self):
        yield Path("t.yaml"), "name: half"
        time.sleep(1000)

work_dir, experiments_dir = map(Path, sys.argv[1:])
work_dir.mkdir()
plan = make_test_plan(work_dir)
create_experiment(experiments_dir, plan, sources=Sources(), provenance=PROVENANCE)
"""


# ------------------------------------------------------------------------ what is written


def fill(plan: Plan) -> Plan:
    """The plan with what its template has nothing of."""
    extension = Extension(
        number=1,
        created="2022-12-14T10:00:00+00:00",
        command="hpcexp extend",
        user="someone",
        commit="0123abc",
        groups=("lr=0.1",),
        runs=("lr=0.1_rand_0",),
        budget={"max_epoch": 9},
        former_budget={"lr=0.1": {"max_epoch": 2, "max_step": None}},
        continued={"lr=0.1_rand_0": {"step": 10, "epoch": 2, "num_steps": 45, "num_epochs": 9}},
    )
    return dataclasses.replace(
        plan,
        zips=[{"lr": [0.1, 0.2]}],
        named={"small": {"batch_size": 2}},
        derive={"latent_dim": "rnn_width // 2"},
        exclude=[{"lr": 0.1}],
        sample={"count": 2, "axes": {"lr": {"uniform": [0, 1]}}},
        site={"name": "garching"},
        track={"tensorboard": {}},
        config_hashes={name: hash_config(plan.workload, c) for name, c in plan.configs.items()},
        extensions=(extension,),
    )


def test_a_plan_comes_back_as_it_was_made(experiments_dir: Path, plan: Plan) -> None:
    full = fill(plan)
    experiment = create_experiment(experiments_dir, full, sources=[], provenance=PROVENANCE)
    assert read_plan(experiment) == dataclasses.replace(full, configs={})


def test_every_field_of_the_plan_above_is_filled(plan: Plan) -> None:
    full = fill(plan)
    assert [name for name, value in vars(full).items() if not value] == ["is_imported"]
    assert [name for name, value in vars(full.extensions[0]).items() if not value] == []
    assert (plan.profile, plan.overrides) == ("short", ("params.batch_size=4",))
    assert (len(plan.groups), len(plan.runs)) == (4, 8)


def test_results_from_elsewhere_keep_their_time_which_is_given_once(
    experiments_dir: Path, plan: Plan
) -> None:
    imported = dataclasses.replace(plan, is_imported=True)
    created = datetime(2022, 12, 14, 14, 58, 6).astimezone()
    made = create_experiment(
        experiments_dir, imported, sources=[], provenance=PROVENANCE, created=created,
        add=lambda aside: aside.run(plan.runs[0].name).logs_dir.mkdir(),
    )  # fmt: skip
    assert made.name == "2022_m12_d14@14_58_06_max_epoch"
    assert read_plan(made).is_imported
    assert made.run(plan.runs[0].name).logs_dir.is_dir()
    with pytest.raises(UsageError, match="exists already; nothing was made"):
        create_experiment(
            experiments_dir, imported, sources=[], provenance=PROVENANCE, created=created
        )
    assert [path.name for path in experiments_dir.iterdir()] == [made.name]


def test_every_run_has_its_full_configuration_and_waits(
    experiment: ExperimentDir, plan: Plan
) -> None:
    assert sorted(p.name for p in experiment.runs_dir.iterdir()) == sorted(
        run.name for run in plan.runs
    )
    for run in plan.runs:
        config = read_run_config(experiment.run(run.name))
        assert (config.workload, config.seed) == ("sps", 11)
        assert (config.group, config.rand_init) == (run.group, run.rand_init)
        assert config.params == plan.configs[run.group]
        assert (config.params["max_epoch"], config.params["batch_size"]) == (2, 4)
        status = read_status(experiment.run(run.name))
        assert status == RunStatus(state=State.PENDING, updated=status.updated)


def test_the_name_begins_with_the_time_of_launch(experiments_dir: Path, plan: Plan) -> None:
    before = datetime.now().replace(microsecond=0)
    experiment = create_experiment(experiments_dir, plan, sources=[], provenance=PROVENANCE)
    assert experiment.path.parent == experiments_dir
    assert experiment.short_name == "max_epoch"
    assert before <= datetime.strptime(experiment.timestamp, TIMESTAMP) <= datetime.now()
    record = json.loads(experiment.record_path.read_text())
    assert record["format"] == FORMAT
    created = datetime.fromisoformat(record["created"])
    assert created.utcoffset() is not None
    assert created.strftime(TIMESTAMP) == experiment.timestamp


def test_templates_of_one_name_are_kept_apart(experiments_dir: Path, plan: Plan) -> None:
    sources = [(Path("t.yaml"), TEMPLATE), (Path("base/t.yaml"), "a: 1"), (Path("b.yaml"), "b: 2")]
    experiment = create_experiment(experiments_dir, plan, sources=sources, provenance=PROVENANCE)
    written = {path.name: path.read_text() for path in experiment.template_dir.iterdir()}
    assert written == {"t.yaml": TEMPLATE, "extends_1_t.yaml": "a: 1", "extends_2_b.yaml": "b: 2"}


def test_a_whole_directory_holds_no_leftovers(
    experiment: ExperimentDir, experiments_dir: Path
) -> None:
    assert [path.name for path in experiments_dir.iterdir()] == [experiment.name]
    hidden = [path for path in experiment.path.rglob("*") if path.name.startswith(".")]
    assert hidden == []


# --------------------------------------------------------------------- exclusively, atomically


def test_processes_that_launch_in_one_second_get_directories_of_their_own(
    tmp_path: Path, experiments_dir: Path, start_python: StartPython
) -> None:
    launches = [
        start_python(CREATE_AT_A_MOMENT, tmp_path / str(number), experiments_dir)
        for number in range(2)
    ]
    for launch in launches:
        assert launch.stdout is not None
        assert launch.stdout.readline() == "ready\n"
    moment = math.ceil(time.time()) + 0.1  # early in a second, which all then share
    for launch in launches:
        assert launch.stdin is not None
        launch.stdin.write(f"{moment}\n")
        launch.stdin.flush()
    made = [Path(launch.communicate()[0].strip()) for launch in launches]
    assert len({path.name for path in made}) == 2
    assert {e.path for e in list_experiments(experiments_dir)} == set(made)
    assert len(list(experiments_dir.iterdir())) == 2
    for path in made:
        assert len(read_plan(ExperimentDir(path)).runs) == 8
        assert len(list(path.glob("runs/*/status.json"))) == 8


def test_a_name_that_is_taken_is_left_alone(experiments_dir: Path, plan: Plan) -> None:
    first = create_experiment(experiments_dir, plan, sources=[], provenance=PROVENANCE)
    (first.path / "note").write_text("mine")
    second = create_experiment(experiments_dir, plan, sources=[], provenance=PROVENANCE)
    assert second.path != first.path
    assert (first.path / "note").read_text() == "mine"


def test_a_launch_that_is_killed_half_way_leaves_a_hidden_directory_only(
    tmp_path: Path, experiments_dir: Path, start_python: StartPython
) -> None:
    launch = start_python(CREATE_HALF, tmp_path / "work", experiments_dir)
    wait_until(lambda: list(experiments_dir.glob("*/template/*.yaml")), "half an experiment")
    launch.send_signal(signal.SIGKILL)
    launch.wait()
    left = [path.name for path in experiments_dir.iterdir()]
    assert len(left) == 1
    assert left[0].startswith(UNFINISHED_PREFIX)
    assert list_experiments(experiments_dir) == []


class Interrupted(BaseException):
    """Such as KeyboardInterrupt."""


def test_a_launch_that_is_interrupted_cleans_up(experiments_dir: Path, plan: Plan) -> None:
    class Sources(list[tuple[Path, str]]):
        def __iter__(self) -> Iterator[tuple[Path, str]]:
            yield Path("t.yaml"), TEMPLATE
            raise Interrupted

    with pytest.raises(Interrupted):
        create_experiment(experiments_dir, plan, sources=Sources(), provenance=PROVENANCE)
    assert list(experiments_dir.iterdir()) == []


# ----------------------------------------------------------------------------------- errors


def test_a_directory_that_cannot_be_made_is_an_error_in_words(tmp_path: Path, plan: Plan) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"Not a directory.*--experiments-dir"):
        create_experiment(tmp_path / "file", plan, sources=[], provenance=PROVENANCE)


def test_what_the_file_system_refuses_half_way_is_an_error_in_words(
    experiments_dir: Path, plan: Plan
) -> None:
    run = dataclasses.replace(plan.runs[0], name="x" * 300)
    too_long = dataclasses.replace(plan, runs=(plan.runs[0], run))
    with pytest.raises(HpcexpError, match=r"File name too long \(x+\); nothing was kept"):
        create_experiment(experiments_dir, too_long, sources=[], provenance=PROVENANCE)
    assert list(experiments_dir.iterdir()) == []


@pytest.mark.parametrize(("version", "shown"), [(FORMAT + 1, str(FORMAT + 1)), (None, "None")])
def test_another_format_is_refused_by_its_number(
    experiment: ExperimentDir, version: int | None, shown: str
) -> None:
    experiment.record_path.write_text(json.dumps({"format": version}))
    with pytest.raises(HpcexpError, match=rf"format {shown} is not known .*\(it reads {FORMAT}\)"):
        read_plan(experiment)


@pytest.mark.parametrize("content", ["", "[]", '{"name": "x"}'])
def test_a_damaged_plan_is_an_error_in_words(experiment: ExperimentDir, content: str) -> None:
    experiment.plan_path.write_text(content)
    with pytest.raises(HpcexpError, match=r"plan\.json: damaged"):
        read_plan(experiment)


def test_a_damaged_configuration_is_an_error_in_words(
    experiment: ExperimentDir, plan: Plan
) -> None:
    run_dir = experiment.run(plan.runs[0].name)
    run_dir.config_path.write_text('{"workload": "sps"}')
    with pytest.raises(HpcexpError, match=r"config\.json: damaged \(without group, rand_init"):
        read_run_config(run_dir)


def test_a_directory_that_is_no_experiment_says_so(tmp_path: Path) -> None:
    with pytest.raises(HpcexpError, match="is this an experiment directory"):
        read_plan(ExperimentDir(tmp_path))
