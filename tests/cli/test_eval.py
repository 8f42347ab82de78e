from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from hpcexp.cli.app import app
from hpcexp.cli.eval import MAX_SEQUENCES, parse_at, parse_sequences
from hpcexp.errors import UsageError
from hpcexp.store.status import RunStatus, write_status
from tests.cli.conftest import CommandLine


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", (0,)),
        ("4", (0, 1, 2, 3)),
        ("0,3,7", (0, 3, 7)),
        ("7,3", (7, 3)),
        ("7,", (7,)),
        ("7,7", (7,)),
    ],
)
def test_sequences_are_a_count_or_a_list(text: str, expected: tuple[int, ...]) -> None:
    assert parse_sequences(text) == expected


@pytest.mark.parametrize("text", ["0", "", "a", "-1", "1;2", "1,,2", str(MAX_SEQUENCES + 1), "٣"])
def test_other_sequences_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match=f"--sequences {text}: "):
        parse_sequences(text)


@pytest.mark.parametrize(("text", "at"), [("last", "last"), ("best", "best"), ("500", 500)])
def test_parameters_are_the_last_the_best_or_those_of_an_epoch(text: str, at: object) -> None:
    assert parse_at(text) == at


@pytest.mark.parametrize("text", ["first", "", "-1", "1.5", "Best", "²"])
def test_other_parameters_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="write last, best, or an epoch such as 500"):
        parse_at(text)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    """An experiment of four runs, the last of which is as if it had never begun."""
    from tests.cli.conftest import TEMPLATE

    directory = tmp_path_factory.mktemp("trained")
    (directory / "tiny.yaml").write_text(TEMPLATE)
    hpcexp = CommandLine(directory)
    hpcexp("launch", "tiny.yaml", "--inline")
    pending = hpcexp.experiments[0].run("rnn_width=6_rand_1")
    for path in pending.checkpoints_dir.iterdir():
        path.unlink()
    write_status(pending, RunStatus())
    return hpcexp


def test_everything_is_drawn_and_the_table_is_shown(trained: CommandLine) -> None:
    said = trained("eval", "latest", "--sequences", "2")
    assert "done     rnn_width=4_rand_0, epoch 2" in said
    assert "skipped  rnn_width=6_rand_1: no parameters yet" in said
    assert "linear projection MSE" in said
    directory = trained.experiments[0].path / "eval" / "last"
    names = sorted(path.name for path in directory.iterdir() if path.name != ".lock")
    assert names == [
        *("decoder", "encoder", "encoder.csv", "encoder.pdf", "encoder.png"),
        *("prediction", "trajectory"),
    ]
    with (directory / "encoder.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [bool(row["linear_projection_mse"]) for row in rows] == [True, True, True, False]
    assert len(list((directory / "prediction").iterdir())) == 12


def test_json_names_runs_numbers_and_files(trained: CommandLine) -> None:
    said = trained("eval", "latest", "rnn_width=4", "--kind", "decoder", "--json")
    report = json.loads(said)
    assert [run["run"] for run in report["runs"]] == ["rnn_width=4_rand_0", "rnn_width=4_rand_1"]
    assert all(Path(trained.directory, f).exists() for run in report["runs"] for f in run["files"])


MISTAKES = [
    (("--kind", "encodr"), "there are: encoder, decoder, trajectory, prediction"),
    (("--metric", "loss"), "--metric loss is for --at best, not for --at last"),
    (("--split", "test"), "there are: train, validate, evaluate"),
    (("--sequences", "5", "--kind", "prediction"), "there is no sequence 4 in the validate"),
    (("--at", "1"), "--at 1: rnn_width=4_rand_0: has no parameters of epoch 1; there are: last"),
    (("--at", "best", "--metric", "mse"), "rnn_width=4_rand_0: has no metric mse; it has: loss"),
    (("--device", "gpu"), "--device gpu: not on this machine"),
    (("nogroup",), "has no run or group 'nogroup'"),
]


@pytest.mark.parametrize(("arguments", "message"), MISTAKES)
def test_a_mistake_is_refused_and_nothing_is_made(
    trained: CommandLine, arguments: tuple[str, ...], message: str
) -> None:
    path, output_dir = trained.experiments[0].path, trained.directory / "nothing"
    with pytest.raises(UsageError, match=message):
        app.main(
            ["eval", str(path), *arguments, "--output", str(output_dir)], standalone_mode=False
        )
    assert not output_dir.exists()


def test_a_mistake_is_a_message_without_a_traceback(trained: CommandLine) -> None:
    said = trained("eval", "latest", "--kind", "encodr", exit_code=2)
    assert "no such kind: encodr" in said
    assert "Traceback" not in said


def read_rows(trained: CommandLine, where: str) -> dict[str, dict[str, str]]:
    path = trained.experiments[0].path / "eval" / where / "encoder.csv"
    with path.open() as file:
        return {row["run"]: row for row in csv.DictReader(file)}


def test_a_table_keeps_the_rows_of_earlier_calls(trained: CommandLine) -> None:
    arguments = ("eval", "latest", "--kind", "encoder", "--split", "validate")
    trained(*arguments, "rnn_width=6_rand_0")
    before = read_rows(trained, "last_on_validate")
    said = trained(*arguments, "rnn_width=4")
    assert "(rows of earlier calls: 1)" in said
    after = read_rows(trained, "last_on_validate")
    assert list(after) == ["rnn_width=4_rand_0", "rnn_width=4_rand_1", "rnn_width=6_rand_0"]
    assert after["rnn_width=6_rand_0"] == before["rnn_width=6_rand_0"]


def test_a_table_that_cannot_be_read_is_said_and_made_anew(trained: CommandLine) -> None:
    arguments = ("eval", "latest", "--kind", "encoder", "--split", "train", "rnn_width=4_rand_0")
    path = trained.experiments[0].path / "eval" / "last_on_train" / "encoder.csv"
    path.parent.mkdir(parents=True)
    path.write_text("rubbish\n")
    said = trained(*arguments)
    assert "encoder.csv: not a table of this version" in said
    assert list(read_rows(trained, "last_on_train")) == ["rnn_width=4_rand_0"]
