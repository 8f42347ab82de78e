from __future__ import annotations

from datetime import datetime
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from hpcexp.store.layout import TIMESTAMP, ExperimentDir, RunDir

numbers = st.integers(min_value=1, max_value=9999)


def test_the_name_of_an_experiment_begins_with_the_time_of_its_launch() -> None:
    launched = datetime(2022, 12, 14, 14, 58, 6)
    experiment = ExperimentDir(Path(f"experiments/{launched.strftime(TIMESTAMP)}_max_epoch"))
    assert experiment.name == "2022_m12_d14@14_58_06_max_epoch"
    assert experiment.timestamp == "2022_m12_d14@14_58_06"
    assert experiment.short_name == "max_epoch"


@given(attempt=numbers, step=numbers, other_attempt=numbers, other_step=numbers)
def test_names_of_checkpoints_sort_by_attempt_then_step(
    attempt: int, step: int, other_attempt: int, other_step: int
) -> None:
    run_dir = RunDir(Path("run"))
    path = run_dir.checkpoint_path(attempt=attempt, step=step)
    other = run_dir.checkpoint_path(attempt=other_attempt, step=other_step)
    assert (path < other) == ((attempt, step) < (other_attempt, other_step))


def test_submissions_are_listed_in_their_order_and_other_files_are_not(tmp_path: Path) -> None:
    experiment = ExperimentDir(tmp_path)
    experiment.jobs_dir.mkdir()
    for name in ("submission_002.json", "submission_010.json", "submission_001.json"):
        (experiment.jobs_dir / name).touch()
    experiment.submission_lock_path.touch()
    experiment.submission_dir("submission_001").mkdir()
    (experiment.jobs_dir / ".submission_003.json.0a.tmp").touch()
    found = [path.name for path in experiment.iter_submission_paths()]
    assert found == ["submission_001.json", "submission_002.json", "submission_010.json"]
