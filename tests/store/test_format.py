"""Today's code reads an experiment that format 1 was written with, and the docs tell the format."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from hpcexp.store.code_tree import LeftOut
from hpcexp.store.copies import CopyRecord
from hpcexp.store.experiment import Plan, RunConfig, read_plan, read_run_config
from hpcexp.store.find import find_experiment
from hpcexp.store.further_code import Further
from hpcexp.store.git import GitState, UntrackedFile
from hpcexp.store.layout import FORMAT, ExperimentDir
from hpcexp.store.metrics import read_last, read_metrics
from hpcexp.store.notebook.imported import ImportedNotebook
from hpcexp.store.notebook.notes import Note
from hpcexp.store.ownership import Owner, acquire, read_live_owner
from hpcexp.store.packing import PackingRecord
from hpcexp.store.provenance import Provenance
from hpcexp.store.searching import SearchJob
from hpcexp.store.snapshot import Root, Snapshot
from hpcexp.store.status import RunStatus, State, read_status
from hpcexp.store.submissions import Driver, Submission, read_submissions
from hpcexp.store.tracking import Tracked
from hpcexp.store.usage import JobUsage

FIXTURE_DIR = Path(__file__).parents[1] / "data" / "experiment_format_1"
DOCUMENT_PATH = Path(__file__).parents[2] / "docs" / "experiment-directory.md"
COMPLETED, DIVERGED, INTERRUPTED, PENDING = (
    f"rnn_width={width},lr={lr}_rand_0" for width in (4, 6) for lr in ("0.001", "1e30")
)


@pytest.fixture
def old(tmp_path: Path) -> ExperimentDir:
    """A copy of the kept experiment, in a directory of experiments."""
    target = tmp_path / "2026_m11_d21@00_12_05_format_1"
    shutil.copytree(FIXTURE_DIR, target)
    return find_experiment("format_1", experiments_dir=tmp_path).experiment


def test_the_plan_is_read(old: ExperimentDir) -> None:
    plan = read_plan(old)
    assert (plan.name, plan.workload, plan.seed, plan.rand_inits) == ("format_1", "sps", 7, 1)
    assert plan.question == "can it still be read?"
    assert plan.grid == {"rnn_width": [4, 6], "lr": [0.001, 1e30]}
    assert [run.name for run in plan.runs] == [COMPLETED, DIVERGED, INTERRUPTED, PENDING]
    assert plan.groups[0].values == {"rnn_width": 4, "lr": 0.001}
    assert plan.resources["mem_gb"] == 1


def test_the_configurations_are_read(old: ExperimentDir) -> None:
    config = read_run_config(old.run(INTERRUPTED))
    assert (config.workload, config.group) == ("sps", "rnn_width=6,lr=0.001")
    assert (config.rand_init, config.seed) == (0, 7)
    assert (config.params["rnn_width"], config.params["max_epoch"]) == (6, 2)


def test_the_statuses_are_read(old: ExperimentDir) -> None:
    statuses = [read_status(old.run(run.name)) for run in read_plan(old).runs]
    assert [(status.state, status.step, status.attempt) for status in statuses] == [
        (State.COMPLETED, 10, 1),
        (State.DIVERGED, 1, 1),
        (State.INTERRUPTED, 7, 1),
        (State.PENDING, 0, 0),
    ]
    assert "became NaN at step 1" in statuses[1].reason
    assert statuses[0].machine["device"] == "cpu"


def test_the_metrics_are_read_and_agree_with_the_status(old: ExperimentDir) -> None:
    run_dir = old.run(COMPLETED)
    assert len(read_metrics(run_dir.path)) == 5
    last = read_last(run_dir.path)["validate"]
    assert (last.epoch, last.step) == (2, 10)
    for name, value in read_status(run_dir).metrics.items():
        assert last.values[name] == pytest.approx(value)
    assert np.isnan(read_metrics(old.run(DIVERGED).path).column("loss")[-1])
    assert len(read_metrics(old.run(PENDING).path)) == 0


def test_the_owners_are_read_and_the_next_attempt_is_the_second(old: ExperimentDir) -> None:
    assert read_live_owner(old.run(INTERRUPTED)) is None
    assert acquire(old.run(INTERRUPTED)).attempt == 2
    assert acquire(old.run(PENDING)).attempt == 1


def test_the_submission_is_read(old: ExperimentDir) -> None:
    (submission,) = read_submissions(old)
    assert (submission.id, submission.executor) == ("submission_001", "local")
    assert submission.bundles == ((COMPLETED,), (DIVERGED,), (INTERRUPTED,), (PENDING,))
    assert submission.driver == Driver("node01", 42, 4711)


def test_the_experiment_that_is_kept_is_of_the_format_that_is_written() -> None:
    """After a new FORMAT, make a fixture of it beside this one, and read both."""
    record = json.loads(ExperimentDir(FIXTURE_DIR).record_path.read_text())
    assert record["format"] == FORMAT


# ------------------------------------------------------------------------------ the document


def read_section(heading: str) -> str:
    sections = re.split(r"^## ", DOCUMENT_PATH.read_text(), flags=re.MULTILINE)
    (section,) = [text for text in sections if text.startswith(heading)]
    return section


@pytest.mark.parametrize(
    ("heading", "record_type", "prefix"),
    [
        ("`plan.json`", Plan, ""),
        ("`provenance/`", Provenance, ""),
        ("`provenance/`", GitState, "git."),
        ("`provenance/`", UntrackedFile, ""),
        ("`provenance/`", Snapshot, ""),
        ("`provenance/`", Root, ""),
        ("`provenance/`", LeftOut, ""),
        ("`provenance/`", Further, ""),
        ("`jobs/submission_<n>.json`", Submission, ""),
        ("`jobs/submission_<n>.json`", Driver, ""),
        ("`jobs/search_<n>/job.json`", SearchJob, ""),
        ("`jobs/submission_<n>/packing_<job>.json`", PackingRecord, ""),
        ("`copied_from.json`", CopyRecord, ""),
        ("`jobs/submission_<n>/usage_<index>.json`", JobUsage, ""),
        ("`notes/*.json`", Note, ""),
        ("`notebook/imported/<name>.json`", ImportedNotebook, ""),
        ("`runs/<run>/config.json`", RunConfig, ""),
        ("`runs/<run>/status.json`", RunStatus, ""),
        ("`runs/<run>/owner.json`", Owner, ""),
        ("`runs/<run>/tracking.<tracker>.json`", Tracked, ""),
    ],
)
def test_every_field_that_is_written_is_documented(
    heading: str, record_type: type, prefix: str
) -> None:
    kept_elsewhere = {"configs", "packages", "diff"}
    documented = set(re.findall(r"`([^`\n]+)`", read_section(heading)))
    written = {field.name for field in dataclasses.fields(record_type)} - kept_elsewhere
    assert {f"{prefix}{name}" for name in written} - documented == set()


def test_the_document_names_the_format_and_every_state() -> None:
    assert f"format {FORMAT}" in DOCUMENT_PATH.read_text().splitlines()[0]
    section = read_section("`runs/<run>/status.json`")
    assert [state for state in State if f"`{state}`" not in section] == []


def test_the_three_lines_of_the_document_read_the_metrics(old: ExperimentDir) -> None:
    (snippet,) = re.findall(r"```python\n(.*?)```", DOCUMENT_PATH.read_text(), flags=re.DOTALL)
    names = {"path": old.run(COMPLETED).path / "metrics.1.bin"}
    exec(snippet, names)
    rows = np.asarray(names["rows"])
    table = read_metrics(old.run(COMPLETED).path)
    np.testing.assert_array_equal(rows["step"], table.step)
    np.testing.assert_array_equal(rows["loss"], table.column("loss"))
