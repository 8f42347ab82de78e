"""Which early value foretells success: found where there is one, and not where there is none."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from hpcexp.analysis import Results, load
from hpcexp.analysis.figures.foretelling import choose_shown, draw_foretelling
from hpcexp.analysis.foretelling.learn import Foretelling, learn_to_foretell
from hpcexp.cli.foretell import spell_rule
from hpcexp.errors import UsageError
from hpcexp.store.experiment import PlannedRun
from hpcexp.store.status import State
from hpcexp.train.config import TrainConfig
from hpcexp.train.stopping import StopForetold
from tests.analysis.builder import Fate, build_experiment

EPOCHS = 12
Meet = Callable[[PlannedRun], Fate]


def meet(run: PlannedRun) -> Fate:
    """Half of the runs succeed, and their losses fall below the others' from the start."""
    if run.rand_init == 1:
        return Fate(mse=0.9, loss=50.0, state=State.DIVERGED, epoch=3)
    succeeds = run.rand_init % 2 == 0
    return Fate(mse=0.1 if succeeds else 0.8, loss=0.001 if succeeds else 0.5)


def meet_by_chance(run: PlannedRun) -> Fate:
    """Success has nothing to do with any loss; and not with the primary metric until the end."""
    random = np.random.default_rng(zlib.crc32(run.name.encode()))
    return Fate(mse=0.19 if run.rand_init % 2 else 0.21, loss=float(random.uniform(0.4, 0.6)))


def meet_by_group(run: PlannedRun) -> Fate:
    succeeds = run.group == "lr=0.1"
    return Fate(mse=0.1 if succeeds else 0.8, loss=0.001 if succeeds else 0.5)


def build(
    directory: Path, fate: Meet, *, rand_inits: int = 12, num_epochs: int = EPOCHS
) -> Results:
    directory.mkdir(exist_ok=True)
    grid = {"lr": [0.1, 0.01]}
    return load(
        build_experiment(directory, grid, rand_inits=rand_inits, num_epochs=num_epochs, fate=fate)
    )


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return build(tmp_path_factory.mktemp("experiments"), meet)


@pytest.fixture(scope="module")
def found(results: Results) -> Foretelling:
    return learn_to_foretell([results])


def test_what_is_clear_from_the_first_epoch_is_found_there(found: Foretelling) -> None:
    assert (found.num_successes, found.num_failures) == (12, 12)
    assert found.rule is not None
    assert found.rule.epoch == 1
    assert found.rule.threshold.success_is_below
    assert found.held_out is not None
    assert (found.held_out.num_stopped, found.held_out.num_lost) == (12, 0)
    # Ten failures stop at 1 of 12; two diverged at 3 anyway.
    assert found.saved == pytest.approx((10 * 11 + 2 * 2) / (22 * 12 + 2 * 3))
    assert found.brier < 0.05 < found.brier_base


def test_the_table_has_every_metric_and_epoch_but_the_last(found: Foretelling) -> None:
    assert set(found.table["epoch"]) == set(range(1, EPOCHS))
    assert {"validate", "train"} == set(found.table["split"])
    assert not found.table["metric"].str.startswith("schedule").any()
    assert found.table["f1_all_succeed"].iloc[0] == pytest.approx(2 * 12 / 36)


def test_nothing_is_foretold_where_there_is_nothing_to_foretell(tmp_path: Path) -> None:
    found = learn_to_foretell([build(tmp_path, meet_by_chance)], metrics=["loss"])
    assert found.rule is None
    assert (found.held_out, found.calibration) == (None, None)
    assert found.table["f1"].max() < 0.9


def test_a_rule_that_tells_groups_apart_and_not_runs_is_doubted(tmp_path: Path) -> None:
    found = learn_to_foretell([build(tmp_path, meet_by_group)])
    assert any("may tell groups apart, not runs" in warning for warning in found.warnings)


def test_few_runs_are_warned_of_and_fewer_are_refused(tmp_path: Path) -> None:
    found = learn_to_foretell([build(tmp_path / "few", meet, rand_inits=6)])
    assert any("only 6 successes and 6 failures" in warning for warning in found.warnings)
    with pytest.raises(UsageError, match=r"4 of 6 runs .* at least 4 successes"):
        learn_to_foretell([build(tmp_path / "fewer", meet, rand_inits=3)])


def test_several_experiments_are_learnt_from_together(results: Results, tmp_path: Path) -> None:
    other = build(tmp_path, meet, num_epochs=EPOCHS + 4)
    found = learn_to_foretell([results, other])
    assert (found.num_successes, found.num_failures) == (24, 24)
    assert any("trained for 12 to 16 epochs" in warning for warning in found.warnings)


def test_another_success_may_be_asked_for(results: Results) -> None:
    with pytest.raises(UsageError, match=r"22 of 24 .* at least 4"):
        learn_to_foretell([results], success_below=0.85)


def test_an_unknown_metric_is_answered_with_those_there_are(results: Results) -> None:
    with pytest.raises(UsageError, match=r"no such metric: lossy; there are: .*loss"):
        learn_to_foretell([results], metrics=["lossy"])


def test_runs_that_a_rule_stopped_teach_nothing(tmp_path: Path) -> None:
    def fate(run: PlannedRun) -> Fate:
        if run.rand_init in (3, 5):
            foretold = {"epoch": 2, "value": 0.5, "is_audited": False}
            return Fate(mse=0.9, state=State.STOPPED, epoch=2, foretold=foretold)
        return meet(run)

    found = learn_to_foretell([build(tmp_path, fate)])
    assert found.num_failures == 8
    assert any("4 runs that a rule had stopped were left out" in w for w in found.warnings)


def test_the_rule_is_one_that_templates_take(found: Foretelling) -> None:
    text = spell_rule(found, audit=0.2)
    (rule,) = TrainConfig.model_validate(yaml.safe_load(text)["params"]).stop
    assert isinstance(rule, StopForetold)
    assert (rule.audit, rule.epoch) == (0.2, 1)
    assert "# learnt from" in text
    assert "stopped 12 of the failures, and 0 of the" in text


def test_the_figure_shows_the_scores_by_epoch_and_the_rule(found: Foretelling) -> None:
    drawing = draw_foretelling(found)
    f1, auc, _ = drawing.figure.axes
    split, name = choose_shown(found)[0]
    line = next(x for x in f1.get_lines() if x.get_gid() == f"f1:{split}:{name}")
    rows = found.table[(found.table["split"] == split) & (found.table["metric"] == name)]
    assert np.asarray(line.get_ydata()).tolist() == rows["f1"].tolist()
    for ax in (f1, auc):
        (rule,) = [x for x in ax.get_lines() if x.get_gid() == "rule"]
        assert found.rule is not None
        assert np.asarray(rule.get_xdata())[0] == found.rule.epoch
    assert len(drawing.table) == len(found.table)
