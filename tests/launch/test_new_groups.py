from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hpcexp.errors import HpcexpError, TemplateError
from hpcexp.launch.extend import Request, extend, plan_change
from hpcexp.store.experiment import read_plan, read_run_config
from hpcexp.store.files import read_json, write_json
from hpcexp.store.layout import ExperimentDir
from tests.launch.extending import STEADY, list_inits, make, plan_template


def read_params(experiment: ExperimentDir, run: str) -> dict[str, Any]:
    return dict(read_run_config(experiment.run(run)).params)


def read_values(experiment: ExperimentDir) -> dict[str, dict[str, Any]]:
    return {group.name: dict(group.values) for group in read_plan(experiment).groups}


@pytest.fixture
def experiment(tmp_path: Path) -> ExperimentDir:
    return make(tmp_path)


def test_a_group_gets_the_initialisations_of_the_others(experiment: ExperimentDir) -> None:
    change = extend(experiment, Request(groups=["rnn_width=8"]))
    assert change.new_groups == ("rnn_width=8",)
    assert change.run_names == ("rnn_width=8_rand_0", "rnn_width=8_rand_1")
    assert list_inits(experiment) == {name: [0, 1] for name in read_values(experiment)}
    configs = [read_run_config(experiment.run(f"rnn_width={w}_rand_1")) for w in (4, 8)]
    assert configs[0].seed == configs[1].seed
    assert {**configs[0].params, "rnn_width": 8} == configs[1].params


def test_a_group_may_vary_what_no_axis_varies_and_the_others_say_what_they_have(
    experiment: ExperimentDir,
) -> None:
    extend(experiment, Request(groups=["rnn_width=4,lr=0.01"]))
    assert read_values(experiment) == {
        "rnn_width=4": {"rnn_width": 4, "lr": 0.001},
        "rnn_width=6": {"rnn_width": 6, "lr": 0.001},
        "rnn_width=4,lr=0.01": {"rnn_width": 4, "lr": 0.01},
    }
    extend(experiment, Request(groups=["rnn_width=8"]))  # which has the template's rate
    assert read_values(experiment)["rnn_width=8"] == {"rnn_width": 8, "lr": 0.001}
    assert read_params(experiment, "rnn_width=8_rand_0")["lr"] == 0.001


def test_derived_values_are_derived_for_the_new_group_too(tmp_path: Path) -> None:
    experiment = make(tmp_path, derive={"latent_dim": "rnn_width // 2"})
    extend(experiment, Request(groups=["rnn_width=10"]))
    assert read_params(experiment, "rnn_width=10_rand_0")["latent_dim"] == 5


def test_axes_that_move_together_are_given_together(tmp_path: Path) -> None:
    zipped = {"rnn_width": [4, 6], "lr": [0.1, 0.01]}
    experiment = make(tmp_path, grid={}, zip=zipped)
    extend(experiment, Request(groups=["lr=0.5,rnn_width=8"]))
    assert list(read_values(experiment))[-1] == "rnn_width=8,lr=0.5"
    with pytest.raises(TemplateError, match=r"needs a value of the axis lr .*0\.1, 0\.01, 0\.5"):
        extend(experiment, Request(groups=["rnn_width=9"]))


NAMED = {"small": {"batch_size": 2}, "large": {"batch_size": 10}}


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        ("large,rnn_width=8", "large,rnn_width=8", {"batch_size": 10, "rnn_width": 8}),
        ("rnn_width=4,lr=0.1", "lr=0.1,rnn_width=4", {"batch_size": 4, "lr": 0.1}),
        ("small,rnn_width=4,lr=0.1", "small,lr=0.1,rnn_width=4", {"batch_size": 2, "lr": 0.1}),
    ],
)
def test_named_groups_are_extended_by_named_groups(
    tmp_path: Path, text: str, name: str, expected: dict[str, Any]
) -> None:
    experiment = make(tmp_path, groups=NAMED)
    extend(experiment, Request(groups=[text]))
    assert list(read_values(experiment))[-1] == name
    params = read_params(experiment, f"{name}_rand_0")
    assert {key: params[key] for key in expected} == expected
    extend(experiment, Request(groups=["small,rnn_width=12"]))  # the plan still explains itself


def test_a_group_of_the_template_that_was_left_out_is_added_by_its_name(tmp_path: Path) -> None:
    experiment = make(
        tmp_path, grid={"vae_channels": [[4, 8], [8, 4]]}, exclude=[{"vae_channels": [8, 4]}]
    )
    extend(experiment, Request(groups=["vae_channels=+8+4"]))
    assert read_params(experiment, "vae_channels=+8+4_rand_0")["vae_channels"] == [8, 4]


def test_defaults_that_came_after_the_launch_are_left_out(experiment: ExperimentDir) -> None:
    """The jobs run the code of the launch, which would refuse what it does not know."""
    for run in read_plan(experiment).runs:
        path = experiment.run(run.name).config_path
        config = read_json(path)
        del config["params"]["grad_explosion"], config["params"]["dataset"]["ball_radius"]
        config["params"]["dataset"]["ball_radius"] = 1.0
        write_json(path, config)
    extend(experiment, Request(groups=["rnn_width=8", "rnn_width=8,grad_explosion=2.0"]))
    assert "grad_explosion" not in read_params(experiment, "rnn_width=8_rand_0")
    assert read_params(experiment, "rnn_width=8,grad_explosion=2.0_rand_0")["grad_explosion"] == 2.0


def test_a_path_of_a_warm_start_is_relative_to_where_it_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make(tmp_path / "source", rand_inits=3)
    for run in read_plan(source).runs:
        source.run(run.name).checkpoints_dir.mkdir()
        (source.run(run.name).checkpoints_dir / "attempt_0001_step_0000000030.pt").touch()
    monkeypatch.chdir(tmp_path)
    path = f"{source.path.relative_to(tmp_path)}/runs/rnn_width=4_rand_{{rand_init}}"
    experiment = make(tmp_path / "work", params={"warm_start": {"run": path}})
    record = experiment.provenance_dir / "provenance.json"
    write_json(record, {**read_json(record), "working_dir": str(tmp_path)})
    other = path.replace("width=4", "width=6")
    asked = [f"rnn_width=8,warm_start.run={other}", "rnn_width=8"]
    extend(experiment, Request(groups=asked[:1]))
    monkeypatch.chdir("/")
    extend(experiment, Request(groups=asked[1:]))
    for name, expected in (("rnn_width=8", path), (read_plan(experiment).groups[2].name, other)):
        located = read_params(experiment, f"{name}_rand_0")["warm_start"]["run"]
        assert located == str(tmp_path / expected)
    with pytest.raises(HpcexpError, match=r"is no run .wanted for initialisation 3"):
        extend(experiment, Request(rand_inits=4))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rnn_width=6", "rnn_width=6 is a group of the experiment already"),
        ("rnn_width=6,lr=0.001", "trains what the group rnn_width=6 trains"),
        ("lr=0.1", "needs a value of the axis rnn_width (the others have 4, 6)"),
        ("rnn_width=0", "rnn_width: 0 is out of range; must be a whole number of at least 1"),
        ("rnn_width=8.5", "8.5 is not a whole number"),
        ("rnn_width=8,batch_size=64", "batch_size (64) is larger than train_set_size (20)"),
        ("rnn_width=8,latent_dim=4", "latent_dim is derived (latent_dim: 3)"),
        ("wide", "the template has no group 'wide'; it has no named groups"),
        ("rnn_width=8,wide", "has no group 'wide'"),
    ],
)
def test_what_cannot_be_a_group_is_refused_and_nothing_changes(
    tmp_path: Path, text: str, message: str
) -> None:
    experiment = make(tmp_path, derive={"latent_dim": "3"})
    before = read_plan(experiment)
    with pytest.raises(TemplateError) as caught:
        extend(experiment, Request(groups=[text]))
    assert f"--add-group {text}" in str(caught.value)
    assert message in str(caught.value)
    assert read_plan(experiment) == before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rnn_width=8", "is of none of the groups small, large; write small,rnn_width=8"),
        ("middle,rnn_width=8", "has no group 'middle'; there are small, large"),
        ("small,large,rnn_width=8", "small and large are two groups; give one"),
        ("small,rnn_width=4", "small,rnn_width=4 is a group of the experiment already"),
        ("large", "needs a value of the axis rnn_width"),
    ],
)
def test_named_groups_are_refused_in_words(tmp_path: Path, text: str, message: str) -> None:
    experiment = make(tmp_path, groups=NAMED)
    with pytest.raises(TemplateError) as caught:
        plan_change(experiment, Request(groups=[text]))
    assert message in str(caught.value)


def test_two_equal_groups_are_one_too_many(experiment: ExperimentDir) -> None:
    with pytest.raises(TemplateError, match="trains what the group rnn_width=8 trains"):
        plan_change(experiment, Request(groups=["rnn_width=8", "rnn_width=8,lr=0.001"]))


def test_a_plan_that_does_not_explain_its_runs_gets_no_groups(experiment: ExperimentDir) -> None:
    """Such as one of an older version, which kept less of the template."""
    plan = read_json(experiment.plan_path)
    plan["params"] = {**STEADY, "lr": 0.5}
    write_json(experiment.plan_path, plan)
    with pytest.raises(HpcexpError, match=r"another configuration of group .* \(another lr\)"):
        extend(experiment, Request(groups=["rnn_width=8"]))
    assert extend(experiment, Request(rand_inits=3)).new_runs


FIT = "def train(run, *, rate: float = 0.1, momentum: float = 0.0): ...\n"


@pytest.fixture
def fitted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ExperimentDir:
    """Of a function of the user's, found from the directory of the launch."""
    monkeypatch.chdir(tmp_path)
    Path("fit.py").write_text(FIT)
    template = {"name": "fit", "workload": "function", "params": {"function": "fit:train"}}
    experiment = plan_template(tmp_path, {**template, "grid": {"rate": [0.1, 0.2]}})
    path = experiment.provenance_dir / "provenance.json"
    write_json(path, {**read_json(path), "working_dir": str(tmp_path)})
    return experiment


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("rate=0.3,momentun=0.9", "momentun: no such hyperparameter; did you mean momentum?"),
        ("rate=fast", "rate: "),
    ],
)
def test_what_a_function_does_not_take_is_refused_before_anything_is_made(
    fitted: ExperimentDir, asked: str, message: str
) -> None:
    before = read_plan(fitted)
    with pytest.raises(TemplateError, match=message):
        extend(fitted, Request(groups=[asked]))
    assert read_plan(fitted) == before


def test_a_function_gets_another_group_and_its_own_defaults(fitted: ExperimentDir) -> None:
    extend(fitted, Request(groups=["rate=0.3,momentum=0.9"]))
    assert read_params(fitted, "rate=0.3,momentum=0.9_rand_0")["momentum"] == 0.9
    Path("fit.py").unlink()  # what cannot be read any more is asked again when it trains
    extend(fitted, Request(groups=["rate=0.4,nesterov=true"]))
