from __future__ import annotations

from pathlib import Path

from hpcexp.launch.tracking import describe_tracking
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.tracking import Tracked, write_tracked


def test_what_a_tracker_lacks_is_told_with_the_command_that_writes_it(tmp_path: Path) -> None:
    experiment = ExperimentDir(tmp_path / "2022_m12_d14@14_58_06_max_epoch")
    for kind in ("tensorboard", "wandb"):
        experiment.tracking_dir(kind).mkdir(parents=True)
    for name, problem in (("a", ""), ("b", "no route to host"), ("c", "no route to host")):
        experiment.run(name).path.mkdir(parents=True)
        write_tracked(experiment.run(name), "wandb", Tracked(problem=problem))
    assert list(describe_tracking(experiment, ["a", "b", "c", "not begun"])) == [
        "! wandb lacks rows of 2 runs: no route to host",
        f"    -> hpcexp export {experiment.name} --to wandb    (writes all of them)",
    ]


def test_nothing_is_told_of_an_experiment_without_trackers(tmp_path: Path) -> None:
    assert list(describe_tracking(ExperimentDir(tmp_path), ["a"])) == []
