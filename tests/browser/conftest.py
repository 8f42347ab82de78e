"""A Chromium for the session, and pages of reports in it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpcexp.analysis.report.circumstances import Circumstances, TroubledRun
from hpcexp.analysis.report.write import write_report
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.notebook.notes import add_note, make_note
from hpcexp.store.statuses import read_written
from tests.analysis.builder import build_experiment
from tests.analysis.conftest import MIXED_FATES
from tests.browser.chromium import PROGRAMS, Browser, Page, find_chromium, start_chromium
from tests.browser.large import build_large
from tests.browser.pictures import draw_eval_pictures

QUESTION = "does <b>width</b> matter? 幅は重要か"


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Skips where there is none; fails there in CI, where nobody would notice."""
    if find_chromium() is None:
        message = (
            f"no browser: none of {', '.join(PROGRAMS)}; on Debian, .ci/install-chromium --yes"
        )
        if os.environ.get("CI") == "true":
            pytest.fail(message, pytrace=False)
        pytest.skip(message)
    profile_dir = tmp_path_factory.mktemp("chromium")
    with start_chromium(profile_dir) as browser:
        yield browser
    shutil.rmtree(profile_dir, ignore_errors=True)


@pytest.fixture(scope="session")
def report_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of an experiment in many states: groups 16, 32 and 256 with 4 runs each."""
    experiment = build_experiment(
        tmp_path_factory.mktemp("experiments"),
        {"rnn_width": [16, 256, 32]},
        rand_inits=4,
        fate=lambda run: MIXED_FATES[run.name],
        question=QUESTION,
    )
    draw_eval_pictures(experiment, ["rnn_width=16_rand_0", "rnn_width=16_rand_1"])
    add_note(experiment, make_note("wider is <i>worse</i>", tags=["present_in_meeting"]))
    return write_report(experiment, look_around(experiment)).path


def look_around(experiment: ExperimentDir) -> Circumstances:
    name = "rnn_width=256_rand_3"
    statuses = read_written(experiment, list(MIXED_FATES))
    command = f"hpcexp retry {experiment.name} {name}"
    failed = TroubledRun(name, "failed", "out of memory", evidence=("killed",), command=command)
    return Circumstances(statuses=statuses, troubled=(failed,), num_troubled=1)


@pytest.fixture(scope="session")
def large_report_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of 1,000 runs of 100 epochs in 10 groups, with pictures."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda _: None)  # this directory need not survive a power cut
        experiment = build_large(tmp_path_factory.mktemp("experiments"))
    runs = [f"batch_size={2**i}_rand_{k}" for i in range(10) for k in (0, 1)]
    draw_eval_pictures(experiment, runs)
    return write_report(experiment, Circumstances(statuses={})).path


@pytest.fixture
def page(chromium: Browser, report_path: Path) -> Page:
    """A fresh tab with the report, nothing pressed yet."""
    opened = chromium.open_page()
    opened.open(report_path)
    return opened
