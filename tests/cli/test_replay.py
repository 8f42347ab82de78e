"""`hpcexp replay` on runs that diverged in the hands of `hpcexp launch --local`."""

from __future__ import annotations

import json

import pytest

from tests.cli.conftest import TEMPLATE, CommandLine

WILD = TEMPLATE.replace("rnn_width: [4, 6]", "lr: [0.001, 1e30]").replace(
    "max_step: 6", "max_step: 6\n  on_divergence: {kind: skip, max_skips: 1}"
)
"""The second group diverges at step 1, leaves it out, and diverges again."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    directory = tmp_path_factory.mktemp("trained")
    (directory / "tiny.yaml").write_text(WILD)
    hpcexp = CommandLine(directory)
    hpcexp("launch", "tiny.yaml", "--local", "--jobs", "2")
    return hpcexp


def test_a_run_that_diverged_says_why_and_the_other_group_is_not_affected(
    trained: CommandLine,
) -> None:
    said = trained("status", "latest")
    name = trained.experiments[0].name
    assert "lr=1e30_rand_0  diverged: loss " in said
    assert "first in the output of " in said
    assert "the step before it had been left out" in " ".join(said.split())
    assert "skipped steps: 2, in 2 runs" in said
    assert f"-> hpcexp replay {name} lr=1e30_rand_0" in said
    runs = json.loads(trained("status", name, "--json"))["runs"]
    assert [run["state"] for run in runs] == ["completed"] * 2 + ["diverged"] * 2


def test_the_step_is_shown_to_happen_again(trained: CommandLine) -> None:
    said = trained("replay", "latest", "lr=1e30_rand_0", "--device", "cpu")
    assert "became NaN at step" in said
    assert "self_recon" in said
    assert "first in the output of " in said
    assert "> encoder." in said
    assert "it happened again, in the same place, with the same numbers" in said


def test_json_has_all_of_it_and_no_nan(trained: CommandLine) -> None:
    said = trained("replay", trained.experiments[0].name, "lr=1e30_rand_1", "--json")
    replayed = json.loads(said, parse_constant=pytest.fail)
    assert replayed["happened_again"]
    assert replayed["same_place"]
    assert replayed["same_numbers"]
    assert replayed["recorded"] == replayed["replayed"]
    assert "NaN" in replayed["replayed"]["losses"].values()
    names = [module["name"] for module in replayed["modules"]]
    assert replayed["first"]["module"] in names


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["lr=0.001_rand_0"], "nothing to replay: it is completed"),
        (["lr=0.001"], "no run of lr=0.001 has diverged"),
        (["lr=1e30"], "2 runs of lr=1e30 have diverged; name one of lr=1e30_rand_0, lr=1e30_rand"),
        ([], "2 runs of "),
        (["lr=1e31_rand_0"], "did you mean lr=1e30_rand_0?"),
        (["lr=1e30_rand_0", "--device", "abacus"], "--device abacus: not on this machine"),
    ],
)
def test_what_cannot_be_replayed_is_said_with_exit_code_2(
    trained: CommandLine, arguments: list[str], said: str
) -> None:
    answer = trained("replay", "latest", *arguments, exit_code=2)
    assert said in answer
    assert "Traceback" not in answer


def test_a_step_that_does_not_diverge_again_is_exit_code_1(hpcexp: CommandLine) -> None:
    import torch

    from hpcexp.train.checkpoint import read_checkpoint, write_checkpoint

    hpcexp.write("tiny.yaml", WILD)
    hpcexp("launch", "tiny.yaml", "--inline", "--set", "rand_inits=1")
    path = hpcexp.experiments[0].run("lr=1e30_rand_0").forensics_path
    record = read_checkpoint(path)
    for tensor in record["state"]["parameters"].values():
        tensor.copy_(0.1 * torch.ones_like(tensor))
    write_checkpoint(path, record)
    # The only run with a record needs no name.
    said = hpcexp("replay", "latest", exit_code=1)
    assert "it did not happen again" in said
