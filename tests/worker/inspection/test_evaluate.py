"""What `hpcexp eval` does with an experiment's runs, whatever state they are in."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from hpcexp.errors import UsageError
from hpcexp.store.checkpoints import list_checkpoints
from hpcexp.store.experiment import read_plan
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.status import State
from hpcexp.train.inspection import Request
from hpcexp.worker.inspection.evaluate import EvalReport, evaluate_runs
from hpcexp.worker.inspection.parameters import Choice, choose_device
from tests.worker.conftest import list_runs, make_experiment, take_snapshot, train_here

pytestmark = pytest.mark.usefixtures("quick_animations")

DECODER = Request(kinds=("decoder",), split="validate")


def evaluate(
    experiment: ExperimentDir,
    names: Sequence[str] | None = None,
    *,
    request: Request = DECODER,
    choice: Choice | None = None,
    **options: Any,
) -> EvalReport:
    if names is None:
        names = [run.name for run in read_plan(experiment).runs]
    return evaluate_runs(
        experiment, names, request=request, choice=choice or Choice(), device="cpu", **options
    )


@pytest.fixture
def experiment(tmp_path: Path) -> ExperimentDir:
    """Three runs, the first two of which are trained."""
    experiment = make_experiment(tmp_path, grid={"rnn_width": [4, 5, 6]}, max_epoch=2, keep_every=1)
    for run_dir in list_runs(experiment)[:2]:
        train_here(run_dir)
    return experiment


def test_every_run_with_parameters_is_drawn_and_a_pending_one_is_said(
    experiment: ExperimentDir,
) -> None:
    report = evaluate(experiment)
    first, second, third = report.runs
    assert (first.epoch, first.step, first.state) == (2, 10, State.COMPLETED)
    directory = experiment.path / "eval" / "last_on_validate" / "decoder"
    assert [path.name for path in first.files] == [
        "rnn_width=4_rand_0_grid.png",
        "rnn_width=4_rand_0_animation.gif",
        "rnn_width=4_rand_0_latents.csv",
    ]
    assert sorted(directory.iterdir()) == sorted([*first.files, *second.files])
    assert (third.skipped, third.is_done) == ("no parameters yet (pending)", False)


def test_the_runs_themselves_are_left_as_they_are(experiment: ExperimentDir) -> None:
    before = take_snapshot(experiment.runs_dir)
    evaluate(experiment)
    assert take_snapshot(experiment.runs_dir) == before


def test_a_damaged_checkpoint_gives_way_to_the_one_before_and_a_note(
    experiment: ExperimentDir,
) -> None:
    run_dir = list_runs(experiment)[0]
    newest = list_checkpoints(run_dir)[0]
    older = run_dir.checkpoint_path(attempt=1, step=5)
    older.write_bytes(newest.read_bytes())
    newest.write_bytes(newest.read_bytes()[:-2000])
    first = evaluate(experiment).runs[0]
    assert first.is_done
    assert "not a whole checkpoint" in first.notes[0]


def test_a_run_whose_checkpoints_are_all_damaged_is_a_problem_and_the_others_go_on(
    experiment: ExperimentDir,
) -> None:
    for path in list_checkpoints(list_runs(experiment)[0]):
        path.write_bytes(b"rubbish")
    first, second, _ = evaluate(experiment).runs
    assert "not a whole checkpoint" in first.problem
    assert not first.files
    assert second.is_done


def test_a_run_whose_config_is_damaged_is_a_problem_and_the_others_go_on(
    experiment: ExperimentDir,
) -> None:
    run_dir = list_runs(experiment)[0]
    config = json.loads(run_dir.config_path.read_text())
    config["params"]["rnn_width"] = "wide"
    run_dir.config_path.write_text(json.dumps(config))
    first, second, _ = evaluate(experiment).runs
    assert "rnn_width" in first.problem
    assert "use the hpcexp that made it" in first.problem
    assert second.is_done


def test_parameters_of_another_model_are_a_problem(experiment: ExperimentDir) -> None:
    first, second, _ = list_runs(experiment)
    list_checkpoints(first)[0].write_bytes(list_checkpoints(second)[0].read_bytes())
    assert "of another model" in evaluate(experiment).runs[0].problem


def test_an_epoch_is_looked_into_where_it_was_kept_and_has_a_directory_of_its_own(
    experiment: ExperimentDir,
) -> None:
    report = evaluate(experiment, choice=Choice(1), request=Request(kinds=("decoder",)))
    assert report.runs[0].epoch == 1
    assert report.directory.path == experiment.path / "eval" / "epoch_000001"


def test_parameters_that_no_run_has_are_refused_before_anything_is_written(
    experiment: ExperimentDir,
) -> None:
    kept = (
        r"--at 7: rnn_width=4_rand_0: has no parameters of epoch 7; there are: last \(epoch 2\), "
    )
    with pytest.raises(UsageError, match=kept + "epochs 1, 2; nor has any other run"):
        evaluate(experiment, choice=Choice(7))
    with pytest.raises(UsageError, match=r"--at best: .* has no metric mse; it has: loss, "):
        evaluate(experiment, choice=Choice("best", "mse"))
    assert not (experiment.path / "eval").exists()


def test_a_run_that_did_not_keep_an_epoch_is_skipped_where_another_did(
    experiment: ExperimentDir,
) -> None:
    (list_runs(experiment)[0].list_kept()[1]).unlink()
    first, second, _ = evaluate(experiment, choice=Choice(1)).runs
    assert first.skipped == "has no parameters of epoch 1; there are: last (epoch 2), epochs 2"
    assert second.is_done


def test_each_split_has_a_directory_of_its_own(experiment: ExperimentDir) -> None:
    report = evaluate(experiment, choice=Choice("best", "loss"))
    assert report.directory.path.name == report.looked_at == "best_loss_on_validate"


@pytest.mark.parametrize(
    ("choice", "label"),
    [
        (Choice(), "last"),
        (Choice("best"), "best"),
        (Choice("best", "loss"), "best_loss"),
        (Choice(500), "epoch_000500"),
    ],
)
def test_each_choice_of_parameters_has_a_label(choice: Choice, label: str) -> None:
    assert choice.label == label


def test_only_the_runs_that_are_named_are_looked_into(experiment: ExperimentDir) -> None:
    seen: list[str] = []
    report = evaluate(
        experiment, ["rnn_width=5_rand_0"], on_run=lambda looked: seen.append(looked.run.name)
    )
    assert seen == [looked.run.name for looked in report.runs] == ["rnn_width=5_rand_0"]


def test_files_go_where_they_are_wanted(experiment: ExperimentDir, tmp_path: Path) -> None:
    report = evaluate(experiment, output_dir=tmp_path / "a" / "b")
    assert report.runs[0].files[0].parent == tmp_path / "a" / "b" / "decoder"
    assert not (experiment.path / "eval").exists()


def test_a_directory_that_cannot_be_written_is_refused_before_the_work(
    experiment: ExperimentDir, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="choose another directory with --output"):
        evaluate(experiment, output_dir=tmp_path / "file" / "inside")


def test_a_sequence_that_a_split_has_not_is_refused_before_anything_is_written(
    experiment: ExperimentDir,
) -> None:
    with pytest.raises(UsageError, match="there is no sequence 8 in the validate split"):
        evaluate(experiment, request=Request(kinds=("prediction",), sequences=(8,)))
    assert not (experiment.path / "eval").exists()


def test_the_first_random_numbers_of_a_model_are_replaced_by_its_parameters(
    experiment: ExperimentDir,
) -> None:
    """Twice the same pictures: nothing of them is drawn at random."""
    first = [path.read_bytes() for path in evaluate(experiment).runs[0].files]
    again = [path.read_bytes() for path in evaluate(experiment).runs[0].files]
    assert first == again


@pytest.mark.parametrize("name", ["gpu", "cuda:99", "meta0"])
def test_a_device_that_is_not_there_is_refused_by_its_name(name: str) -> None:
    with pytest.raises(UsageError, match=f"--device {name}: not on this machine"):
        choose_device(name)
