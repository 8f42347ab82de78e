import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.foretell_success import (
    choose_threshold,
    compute_f1,
    find_trustworthy_epoch,
    forecast_held_out,
    tabulate_f1,
)
from hpcexp.analysis import load
from hpcexp.errors import UsageError
from hpcexp.store.experiment import PlannedRun
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.status import State
from tests.analysis.builder import Fate, build_experiment
from tests.warm.process import run_warm

SCRIPT = Path(__file__).parents[2] / "analysis" / "foretell_success.py"


def meet(run: PlannedRun) -> Fate:
    """Runs with few latents' worth of loss succeed; one of the failures diverges early."""
    if run.rand_init == 5:
        return Fate(mse=0.9, loss=50.0, state=State.DIVERGED, epoch=3)
    succeeds = run.rand_init % 2 == 0
    return Fate(mse=0.1 if succeeds else 0.8, loss=0.001 if succeeds else 0.5)


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> ExperimentDir:
    return build_experiment(
        tmp_path_factory.mktemp("experiments"), {"lr": [0.1]}, rand_inits=6, fate=meet
    )


def test_f1_is_the_harmonic_mean_of_precision_and_recall() -> None:
    truth = np.array([True, True, True, False, False])
    forecast = np.array([True, False, True, True, False])  # precision 2/3, recall 2/3
    assert compute_f1(truth, forecast) == pytest.approx(2 / 3)
    assert compute_f1(truth, ~truth) == 0


def test_the_threshold_separates_what_can_be_separated() -> None:
    values = np.array([0.1, 0.2, 0.7, 0.9])
    truth = np.array([True, True, False, False])
    assert choose_threshold(values, truth) == pytest.approx(0.45)


def test_a_value_that_is_missing_is_never_called_a_success() -> None:
    values = np.array([0.1, 0.2, np.nan, 0.9, 0.8, np.inf])
    truth = np.array([True, True, False, False, False, False])
    assert list(forecast_held_out(values, truth)) == list(truth)


def test_a_run_has_no_say_in_its_own_forecast() -> None:
    # The lowest run alone fails. A threshold fitted to all calls all four successes; without
    # the first run the others leave no doubt, and call it one as well.
    values = np.array([0.1, 0.2, 0.3, 0.4])
    for truth in ([False, True, True, True], [True, False, False, True]):
        changed = np.array(truth)
        before = forecast_held_out(values, changed)[0]
        changed[0] = not changed[0]
        assert forecast_held_out(values, changed)[0] == before


def test_a_loss_that_tells_success_from_failure_foretells_it_at_each_epoch(
    experiment: ExperimentDir,
) -> None:
    table = tabulate_f1(load(experiment), predictor="loss.self_recon")
    trained = table[table["epoch"] > 0]
    assert list(trained["f1"]) == [1.0] * len(trained)
    assert list(trained["epoch"]) == list(range(1, 21))
    assert set(table["f1_all_succeed"]) == {2 * 3 / (3 + 6)}


def test_trust_begins_where_the_score_stays_high() -> None:
    table = pd.DataFrame({"epoch": [0, 10, 20, 30, 40], "f1": [1.0, 0.2, 0.96, 0.95, 1.0]})
    assert find_trustworthy_epoch(table, level=0.95) == 20
    assert find_trustworthy_epoch(table, level=1.0) == 40
    assert find_trustworthy_epoch(table[:2], level=0.95) is None


def test_without_failures_there_is_nothing_to_foretell(tmp_path: Path) -> None:
    easy = build_experiment(tmp_path, {"lr": [0.1]}, rand_inits=4, fate=lambda run: Fate(mse=0.1))
    with pytest.raises(UsageError, match="4 of 4 finished runs succeeded: at least 2 successes"):
        tabulate_f1(load(easy), predictor="loss.self_recon")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return run_warm([sys.executable, SCRIPT, *arguments])


def test_the_script_answers_and_writes_a_figure(experiment: ExperimentDir, tmp_path: Path) -> None:
    done = run(str(experiment.path), "--output", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "F1 is at least 0.95 from epoch 0 on" in done.stdout
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        f"foretell_success.{suffix}" for suffix in ("csv", "pdf", "png")
    ]


def test_an_unknown_predictor_is_refused(experiment: ExperimentDir) -> None:
    done = run(str(experiment.path), "--predictor", "loss.self")
    assert done.returncode == 2
    assert done.stderr.startswith("error: no such column: loss.self; there are, among others: loss")
