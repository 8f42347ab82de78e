from __future__ import annotations

from typing import Any

import pytest

from hpcexp.errors import TemplateError
from hpcexp.template import parse_budget, parse_new_groups
from hpcexp.workloads.sps.config import Config


@pytest.mark.parametrize(
    ("text", "names", "values"),
    [
        ("rnn_width=64", (), {"rnn_width": 64}),
        ("rnn_width=64,lr=1e-3", (), {"rnn_width": 64, "lr": 1e-3}),
        ("params.lr=0.1", (), {"lr": 0.1}),
        (" rnn_width = 64 , lr=1 ", (), {"rnn_width": 64, "lr": 1}),
        ("vae_channels=[4, 8],lr=0.1", (), {"vae_channels": [4, 8], "lr": 0.1}),
        ("symmetry={rules: [], K: 2}", (), {"symmetry": {"rules": [], "K": 2}}),
        ("loss_weights.kld=0", (), {"loss_weights.kld": 0}),
        ('dataset.kind="a,b"', (), {"dataset.kind": "a,b"}),
        ("lr_schedule=null", (), {"lr_schedule": None}),
        ("small_batch", ("small_batch",), {}),
        ("small_batch,lr=0.1", ("small_batch",), {"lr": 0.1}),
    ],
)
def test_a_group_is_read_as_a_template_would_be(
    text: str, names: tuple[str, ...], values: dict[str, Any]
) -> None:
    (group,) = parse_new_groups([text], config_class=Config)
    assert (group.text, group.names, group.values) == (text, names, values)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rnn_widht=64", "rnn_widht: no such hyperparameter; did you mean rnn_width?"),
        ("lr=", "no value; write lr=VALUE"),
        ("lr=[1", "--add-group lr="),
        ("rnn_width=010", "010 is 8 in YAML 1.1"),
        ("", "names no group"),
        (",", "names no group"),
        ("symmetry={rules: []},symmetry.K=2", "symmetry.K and symmetry overlap"),
        ("lr=1,lr=2", "lr and lr overlap"),
    ],
)
def test_a_group_that_cannot_be_read_says_why(text: str, message: str) -> None:
    with pytest.raises(TemplateError) as caught:
        parse_new_groups([text], config_class=Config)
    assert message in str(caught.value)
    assert f"--add-group {text}" in str(caught.value)


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(TemplateError, match="command line: 2 problems"):
        parse_new_groups(["rnn_widht=64", "lr=0.1", "lr="], config_class=Config)


def test_a_budget_is_a_number_of_epochs_or_of_steps() -> None:
    assert parse_budget(["max_epoch=9000"]) == {"max_epoch": 9000}
    assert parse_budget(["params.max_step=null", "max_epoch=5"]) == {
        "max_step": None,
        "max_epoch": 5,
    }
    assert parse_budget([]) == {}


def test_a_budget_that_is_given_twice_is_refused() -> None:
    with pytest.raises(TemplateError, match=r"--set max_epoch: is given twice; give it once"):
        parse_budget(["max_epoch=5", "params.max_epoch=7"])


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("lr=0.1", "only max_epoch and max_step of an experiment can be raised"),
        ("lr=0.1", "--add-group lr=0.1"),
        ("max_epoch", "no value; write max_epoch=VALUE"),
        ("resources.cpus=4", "only max_epoch and max_step"),
    ],
)
def test_what_is_no_budget_is_refused(setting: str, message: str) -> None:
    with pytest.raises(TemplateError) as caught:
        parse_budget([setting])
    assert message in str(caught.value)
