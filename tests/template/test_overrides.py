"""`--set`, `--rand-inits` and `--name`."""

from __future__ import annotations

import pytest

from hpcexp.template import load_template
from tests.template.conftest import Faults, Load, Write

TEXT = """\
    workload: sps
    params: {lr: 0.1, dataset: {num_frames: 10}}
    grid: {rnn_width: [8, 16], loss_weights.predict.z: [0, 1]}
    profiles: {smoke: {params: {lr: 0.2}, rand_inits: 2}}
    """


def test_overrides_are_laid_over_the_profile_and_recorded(load: Load) -> None:
    overrides = (
        "params.lr=1e-2",
        "params.dataset.resolution=16",
        "grid.loss_weights.predict.z=null",
        "grid.rnn_width=[16,32]",
        "resources.partition=gpu",
        "resources.timeout=12:30:00",
        "seed=7",
    )
    template = load(TEXT, profile="smoke", overrides=overrides)
    assert template.params == {"lr": 0.01, "dataset": {"num_frames": 10, "resolution": 16}}
    assert template.grid == {"rnn_width": (16, 32)}
    assert (template.resources.partition, template.resources.timeout_min) == ("gpu", 750)
    assert (template.rand_inits, template.seed) == (2, 7)
    assert template.overrides == overrides


def test_rand_inits_and_name_come_last_and_are_recorded_as_overrides(load: Load) -> None:
    template = load(TEXT, overrides=["rand_inits=3"], rand_inits=4, name="quick")
    assert (template.rand_inits, template.name) == (4, "quick")
    assert template.overrides == ("rand_inits=3", "rand_inits=4", "name=quick")


def test_recorded_overrides_give_the_same_template_again(write: Write) -> None:
    path = write(TEXT)
    first = load_template(path, overrides=["params.lr=0.5"], rand_inits=4, name="quick")
    assert load_template(path, overrides=first.overrides) == first


def test_the_last_of_two_overrides_wins(load: Load) -> None:
    assert load(TEXT, overrides=["params.lr=0.5", "params.lr=0.6"]).params["lr"] == 0.6


def test_a_text_may_hold_equals_signs(load: Load) -> None:
    template = load(TEXT, overrides=["resources.sbatch.comment=a=b"])
    assert template.resources.sbatch == {"comment": "a=b"}


@pytest.mark.parametrize(
    ("override", "fault"),
    [
        ("params.lr=fast", "--set params.lr: fast is text; must be a number greater than 0"),
        ("params.lr=010", "--set params.lr: 010 is 8 in YAML 1.1"),
        ("params.leaning_rate=1", "--set params.leaning_rate: no such hyperparameter of workload"),
        ("params.dataset.num_frame=1", "did you mean dataset.num_frames?"),
        ("params.dataset={num_frame: 1}", "--set params.dataset.num_frame: no such"),
        ("params=3", "--set params: must be a mapping"),
        ("parms.lr=1", "--set parms.lr: no such key of a template; did you mean params?"),
        ("workload=sps", "--set workload: no such key of a template"),
        ("params.lr", "--set params.lr: no value; write it as --set params.lr=0.01"),
        ("params.lr=", "--set params.lr: no value"),
        ("params.lr=[1", "--set params.lr: not YAML: expected ',' or ']'"),
        ("grid.rnn_width=16", "--set grid.rnn_width: must be a list of values; write [16]"),
        ("grid.rnn_widht=[16]", "--set grid.rnn_widht: no such hyperparameter of workload sps"),
        ("grid.batch_size=null", "--set grid.batch_size: no axis to remove with null"),
        ("resources.partion=gpu", "--set resources.partion: no such resource; did you mean"),
        ("rand_inits=0", "--set rand_inits: 0 is out of range"),
        ("grid.batch_size=[512]", "--set grid.batch_size: batch_size (512) is larger than"),
        ("params.rnn_width=8", "has no effect: rnn_width is an axis of the grid; write --set"),
        ("params.loss_weights.predict.z=8", "has no effect: loss_weights.predict.z is an axis"),
    ],
)
def test_a_faulty_override_is_told_by_its_option_not_by_a_line(
    faults: Faults, override: str, fault: str
) -> None:
    (found,) = faults(TEXT, overrides=[override])
    assert found.startswith("t.yaml: --set ")
    assert fault in found


def test_faulty_options_are_told_by_their_names(faults: Faults) -> None:
    assert faults(TEXT, rand_inits=0, name="a/b") == [
        "t.yaml: --name: a/b cannot name a directory; must be 1 to 64 of the letters a-z, A-Z, "
        "digits, _ . + -, not starting with . + or -",
        "t.yaml: --rand-inits: 0 is out of range; must be a whole number of at least 1",
    ]


def test_faults_of_the_file_come_before_those_of_options(faults: Faults) -> None:
    found = faults("workload: sps\nseed: -1\n", overrides=["params.lr=x"])
    assert [fault.split(" ")[0] for fault in found] == ["t.yaml:2", "t.yaml:"]
