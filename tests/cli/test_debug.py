"""`hpcexp debug` and `hpcexp lr-range` as a user types them."""

from __future__ import annotations

import json

import pytest

from tests.cli.conftest import CommandLine

UNMIX = """\
workload: unmix
params:
  dataset: {resolution: 8}
  encoder: {channels: [16, 64], strides: [2, 2]}
  decoder_width: 32
  batch_size: 8
  train_set_size: 40
  validate_set_size: 20
  max_step: 20
  lr: 0.003
grid:
  decoder: [pair_mlp, dot]
"""


@pytest.fixture
def unmix(hpcexp: CommandLine) -> str:
    return hpcexp.write("unmix.yaml", UNMIX)


def test_a_healthy_group_passes_and_nothing_is_written(hpcexp: CommandLine, unmix: str) -> None:
    before = set(hpcexp.directory.rglob("*"))
    shown = hpcexp("debug", unmix, "--group", "decoder=pair_mlp", "--layers")
    assert shown.startswith("unmix, group decoder=pair_mlp\nPASSED  data ")
    assert "\n13 passed, none failed, 1 skipped" in shown
    assert "decoder.scores.2" in shown
    assert set(hpcexp.directory.rglob("*")) == before


def test_a_group_that_cannot_learn_fails_with_what_that_usually_means(
    hpcexp: CommandLine, unmix: str
) -> None:
    options = ("--group", "decoder=dot", "--steps", "20")
    shown = hpcexp("debug", unmix, *options, exit_code=1)
    assert "FAILED  spread" in shown
    assert "usually               a saturated activation" in shown
    (made,) = json.loads(hpcexp("debug", unmix, *options, "--json", exit_code=1))
    assert made["has_failures"]
    failed = {check["check"] for check in made["checks"] if check["level"] == "FAILED"}
    assert {"initial loss", "overfit one batch", "spread"} <= failed


def test_what_is_not_there_is_a_usage_error(hpcexp: CommandLine, unmix: str) -> None:
    said = hpcexp("debug", unmix, "--group", "decoder=dots", exit_code=2)
    assert "has no group 'decoder=dots'; did you mean decoder=dot?" in said
    assert "not on this machine" in hpcexp("debug", unmix, "--device", "moon", exit_code=2)
    said = hpcexp("lr-range", unmix, "--min", "1", "--max", "0.1", exit_code=2)
    assert said.strip() == "--min 1 --max 0.1: rates are above 0, and the first is the smaller"


def test_a_directory_without_images_is_said_without_a_traceback(
    hpcexp: CommandLine, unmix: str
) -> None:
    said = hpcexp(
        "debug", unmix, "--set", "params.dataset={kind: folder, path: nowhere}", exit_code=2
    )
    assert "there is no directory" in said
    assert "Traceback" not in said


def test_the_range_test_writes_a_picture_and_a_table(hpcexp: CommandLine, unmix: str) -> None:
    said = hpcexp("lr-range", unmix, "--steps", "12")
    assert "the first of 2 groups; --group chooses another" in said
    hpcexp.write("file", "")
    said = hpcexp("lr-range", unmix, "--steps", "10", "--output", "file/there", exit_code=2)
    assert "cannot be written" in said
    names = {path.name for path in (hpcexp.directory / "lr_range" / "unmix").iterdir()}
    assert names == {f"decoder=pair_mlp.{suffix}" for suffix in ("pdf", "png", "csv")}
