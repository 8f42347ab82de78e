"""Which parameters a run has kept: the last, the best, those of an epoch."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from hpcexp.errors import HpcexpError, UsageError
from hpcexp.launch.warm_start import locate_warm_start
from hpcexp.store.layout import RunDir
from hpcexp.store.status import State, read_status
from hpcexp.worker.interruption import Interruption
from hpcexp.worker.parameters import NoParametersError, load_parameters
from hpcexp.worker.run import train_run
from tests.worker.conftest import make_experiment

MSE = "linear_projection_mse"


def train(directory: Path, **params: Any) -> RunDir:
    experiment = make_experiment(directory, **params)
    run_dir = experiment.run("rnn_width=6_rand_0")
    train_run(run_dir, interruption=Interruption(), num_threads=1)
    return run_dir


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """Six epochs, of which 2, 4 and 6 are kept, and the best by two metrics."""
    directory = tmp_path_factory.mktemp("kept")
    return train(directory, keep_every=2, keep_best=["loss.kld", MSE], lr=0.02)


def read_values(run_dir: RunDir, metric: str) -> dict[int, float]:
    from hpcexp.store.metrics import SPLITS, read_metrics

    table = read_metrics(run_dir.path)
    chosen = table.split == SPLITS.index("validate")
    epochs, values = table.epoch[chosen].tolist(), table.column(metric)[chosen].tolist()
    return dict(zip(epochs, values, strict=True))


def test_the_last_parameters_are_those_of_the_newest_checkpoint(kept: RunDir) -> None:
    last = load_parameters(kept)
    assert (last.epoch, last.step, last.note) == (6, 30, "")
    assert load_parameters(kept, at=6).source == last.source


def test_parameters_of_an_epoch_are_those_that_were_kept(kept: RunDir) -> None:
    fourth = load_parameters(kept, at=4)
    assert (fourth.epoch, fourth.step) == (4, 20)
    assert fourth.source == kept.kept_path(epoch=4)
    name = next(iter(fourth.parameters))
    assert not torch.equal(fourth.parameters[name], load_parameters(kept).parameters[name])


@pytest.mark.parametrize("metric", ["loss.kld", MSE])
def test_the_best_by_a_metric_is_of_the_epoch_with_its_least_value(
    kept: RunDir, metric: str
) -> None:
    values = read_values(kept, metric)
    best = load_parameters(kept, at="best", metric=metric)
    assert values[best.epoch] == min(values.values())
    assert best.note == ""


def test_without_a_metric_the_first_that_was_kept_decides(kept: RunDir) -> None:
    best, named = (load_parameters(kept, at="best", metric=m) for m in (None, "loss.kld"))
    assert best.epoch == named.epoch


def test_by_another_metric_the_best_of_what_was_kept_is_taken_and_that_is_said(
    kept: RunDir,
) -> None:
    values = read_values(kept, "loss.self_recon")
    best = load_parameters(kept, at="best", metric="loss.self_recon")
    assert best.epoch == min((2, 4, 6), key=lambda epoch: values[epoch])
    assert best.note == (
        "the best of loss.self_recon was not kept (keep_best): epoch "
        f"{best.epoch} is the best of the 3 epochs that were"
    )


def test_an_epoch_that_was_not_kept_is_told_with_what_there_is(kept: RunDir) -> None:
    with pytest.raises(HpcexpError) as caught:
        load_parameters(kept, at=3)
    assert str(caught.value) == (
        f"{kept.name}: has no parameters of epoch 3; there are: last (epoch 6), epochs 2, 4, 6"
    )


def test_an_unknown_metric_is_told_with_those_there_are(kept: RunDir) -> None:
    with pytest.raises(HpcexpError, match=r"has no metric mse; it has: loss, loss\.self_recon"):
        load_parameters(kept, at="best", metric="mse")


def test_a_run_that_has_not_begun_has_none(tmp_path: Path) -> None:
    run_dir = make_experiment(tmp_path).run("rnn_width=6_rand_0")
    with pytest.raises(NoParametersError, match="has no parameters yet"):
        load_parameters(run_dir)


# Warm starts, from one experiment directory to another


def test_a_run_goes_on_where_another_ended(kept: RunDir, tmp_path: Path) -> None:
    source = str(kept.path).replace("rand_0", "rand_{rand_init}")
    warm = train(tmp_path, warm_start={"run": source})
    assert read_status(warm).state is State.COMPLETED
    for metric in ("loss.self_recon", MSE):
        assert read_values(warm, metric)[0] == read_values(kept, metric)[6]


def test_a_source_that_does_not_fit_fails_the_run_with_names_and_shapes(
    kept: RunDir, tmp_path: Path
) -> None:
    warm = train(tmp_path, warm_start={"run": str(kept.path)}, latent_dim=4)
    status = read_status(warm)
    assert status.state is State.FAILED
    assert "encoder.to_posterior.bias: (6,) there, (8,) here" in status.reason


def test_a_relative_source_is_made_absolute_at_launch(
    kept: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(kept.path.parent)
    located = locate_warm_start({"warm_start": {"run": kept.name, "at": "last"}}, rand_inits=1)
    assert located["warm_start"] == {"run": str(kept.path), "at": "last"}
    assert locate_warm_start({"lr": 1}, rand_inits=9) == {"lr": 1}


def test_a_source_is_found_by_the_name_of_its_experiment(kept: RunDir) -> None:
    experiments_dir = kept.path.parents[2]
    settings = {"warm_start": {"run": f"tiny/runs/{kept.name}"}}
    located = locate_warm_start(settings, rand_inits=1, experiments_dir=experiments_dir)
    assert located["warm_start"]["run"] == str(kept.path)
    with pytest.raises(UsageError, match=r"params.warm_start.run: tinny/runs/x: no experiment in"):
        locate_warm_start(
            {"warm_start": {"run": "tinny/runs/x"}}, rand_inits=1, experiments_dir=experiments_dir
        )


def test_a_source_that_is_missing_is_refused_at_launch(kept: RunDir, tmp_path: Path) -> None:
    several = str(kept.path).replace("rand_0", "rand_{rand_init}")
    with pytest.raises(UsageError, match=r"rand_1 is no run \(wanted for initialisation 1\)"):
        locate_warm_start({"warm_start": {"run": several}}, rand_inits=2)
    with pytest.raises(UsageError, match=r"the only placeholder is \{rand_init\}"):
        locate_warm_start({"warm_start": {"run": "runs/{seed}"}}, rand_inits=1)
    empty = tmp_path / kept.name
    shutil.copytree(kept.path, empty, ignore=shutil.ignore_patterns("*.pt"))
    with pytest.raises(UsageError, match="has no parameters yet: let it train first"):
        locate_warm_start({"warm_start": {"run": str(empty)}}, rand_inits=1)
