from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from hpcexp.errors import HpcexpError, UsageError
from hpcexp.launch.cancel import cancel
from hpcexp.launch.searching import FindFlaw, advance_search, take_up_search
from hpcexp.store.experiment import read_plan, read_run_config
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.searching import SearchJob, is_searching, write_search_job
from hpcexp.store.status import State, read_status, write_status
from tests.launch.test_new_samples import make_sampled
from tests.worker.conftest import take_snapshot


def suggest(
    experiment: ExperimentDir, count: int, find_flaw: FindFlaw
) -> Sequence[Mapping[str, Any]]:
    """Learning rates that tell how many samples there were."""
    del find_flaw
    number = len(read_plan(experiment).groups)
    return [
        {"lr": (number + k + 1) / 1000, "rnn_width": 5, "optimizer": "adam"} for k in range(count)
    ]


def make(directory: Path, **others: Any) -> ExperimentDir:
    described: dict[str, Any] = {"count": 9, "method": "tpe", "start": 4, "at_once": 3, **others}
    return make_sampled(directory, **described)


def end(experiment: ExperimentDir, state: State = State.COMPLETED, *, first: int = 0) -> None:
    """Every run from a place on ends so."""
    for run in read_plan(experiment).runs[first:]:
        status = read_status(experiment.run(run.name)).replace(state=state)
        write_status(experiment.run(run.name), status)


def test_nothing_is_added_while_runs_train(tmp_path: Path) -> None:
    experiment = make(tmp_path)
    step = advance_search(experiment, suggest)
    assert (step.new, len(step.waiting), step.is_over) == ((), 4, False)


def test_samples_are_made_in_batches_until_there_are_enough(tmp_path: Path) -> None:
    experiment = make(tmp_path)
    sizes = []
    while is_searching(read_plan(experiment)):
        end(experiment)
        step = advance_search(experiment, suggest)
        sizes.append(len(step.new))
    assert sizes == [3, 2]
    assert not step.is_over
    end(experiment)
    assert advance_search(experiment, suggest).is_over
    plan = read_plan(experiment)
    assert [group.name for group in plan.groups] == [f"sample_00{k}" for k in range(9)]
    assert read_run_config(experiment.run("sample_008_rand_0")).params["lr"] == 0.009
    assert [len(extension.groups) for extension in plan.extensions] == [3, 2]


def test_a_step_that_is_taken_twice_adds_once(tmp_path: Path) -> None:
    experiment = make(tmp_path)
    end(experiment)
    advance_search(experiment, suggest)
    before = take_snapshot(experiment.runs_dir)
    step = advance_search(experiment, suggest)
    assert step.new == ()
    assert list(step.waiting) == [f"sample_00{k}_rand_0" for k in (4, 5, 6)]
    assert take_snapshot(experiment.runs_dir) == before


def test_failed_runs_are_gone_on_without_and_told(tmp_path: Path) -> None:
    experiment = make(tmp_path)
    end(experiment)
    end(experiment, State.FAILED, first=3)
    step = advance_search(experiment, suggest)
    assert step.failed == ("sample_003_rand_0",)
    assert len(step.new) == 3


def test_a_search_whose_newest_samples_all_failed_stops(tmp_path: Path) -> None:
    experiment = make(tmp_path)
    end(experiment)
    end(experiment, State.FAILED, first=1)
    with pytest.raises(HpcexpError, match="none of the 3 newest runs came to an end of its own"):
        advance_search(experiment, suggest)
    assert len(read_plan(experiment).groups) == 4


def test_its_number_of_samples_can_be_raised(tmp_path: Path) -> None:
    experiment = make(tmp_path, count=4)
    end(experiment)
    assert advance_search(experiment, suggest).is_over
    step = advance_search(experiment, suggest, count=5)
    assert [group.name for group in step.new] == ["sample_004"]
    assert read_plan(experiment).sample["count"] == 5
    with pytest.raises(UsageError, match="has 5 samples already"):
        advance_search(experiment, suggest, count=3)


def test_a_space_that_was_tried_whole_is_told(tmp_path: Path) -> None:
    experiment = make(tmp_path)
    end(experiment)
    with pytest.raises(UsageError, match="4 samples are all that its axes allow"):
        advance_search(experiment, lambda *_: [])


def test_other_methods_learn_nothing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"hpcexp extend --samples adds more, method: tpe learns"):
        advance_search(make_sampled(tmp_path), suggest)


def test_a_sample_that_the_workload_refuses_is_drawn_again_and_told(tmp_path: Path) -> None:
    def suggest_two(
        _experiment: ExperimentDir, _count: int, find_flaw: FindFlaw
    ) -> Sequence[Mapping[str, Any]]:
        asked = [{"lr": 0.01, "rnn_width": width, "optimizer": "adam"} for width in (0, 7)]
        return [values for values in asked if not find_flaw(values)]

    experiment = make(tmp_path)
    end(experiment)
    step = advance_search(experiment, suggest_two)
    assert [dict(group.values)["rnn_width"] for group in step.new] == [7]
    (refused,) = step.refused
    assert refused.startswith("lr=0.01, rnn_width=0, optimizer=adam: rnn_width: ")


def test_a_search_of_which_all_is_refused_says_what_and_changes_nothing(tmp_path: Path) -> None:
    def suggest_none(
        _experiment: ExperimentDir, _count: int, find_flaw: FindFlaw
    ) -> Sequence[Mapping[str, Any]]:
        assert find_flaw({"lr": 0.01, "rnn_width": 0, "optimizer": "adam"})
        return []

    experiment = make(tmp_path)
    end(experiment)
    before = read_plan(experiment)
    with pytest.raises(UsageError, match="refuses all 1 that were asked for after them, such as"):
        advance_search(experiment, suggest_none)
    assert read_plan(experiment) == before


# ------------------------------------------------------------------------------- cancelled


def test_after_everything_was_cancelled_nobody_goes_on_by_itself(tmp_path: Path) -> None:
    experiment = make(tmp_path)
    end(experiment)
    end(experiment, State.PENDING, first=2)
    assert cancel(experiment).search
    step = advance_search(experiment, suggest)
    assert (step.is_cancelled, step.new, list(step.waiting)) == (True, (), [])
    take_up_search(experiment)
    step = advance_search(experiment, suggest)
    assert (step.is_cancelled, len(step.new)) == (False, 3)


def test_runs_that_were_chosen_for_cancelling_are_gone_on_without(tmp_path: Path) -> None:
    experiment = make(tmp_path)
    end(experiment)
    end(experiment, State.PENDING, first=3)
    assert not cancel(experiment, ["sample_003_rand_0"]).search
    assert len(advance_search(experiment, suggest).new) == 3


def test_the_job_of_a_search_does_not_take_up_one_that_was_cancelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = make(tmp_path)
    end(experiment)
    cancel(experiment)
    write_search_job(experiment, SearchJob("a", ("77",), 0.0, job_id="901", num_samples=4))
    monkeypatch.setenv("SLURM_JOB_ID", "901")
    take_up_search(experiment)
    assert advance_search(experiment, suggest).is_cancelled
    monkeypatch.setenv("SLURM_JOB_ID", "902")  # somebody works on a compute node
    take_up_search(experiment)
    assert not advance_search(experiment, suggest).is_cancelled
