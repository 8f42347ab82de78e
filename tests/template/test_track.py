from __future__ import annotations

from pathlib import Path

import pytest

from hpcexp.errors import TemplateError, UsageError
from hpcexp.template import load_template
from hpcexp.template.track import choose_trackers

WANDB = {"mode": "offline", "project": "symmetry"}


def write(tmp_path: Path, track: str) -> Path:
    path = tmp_path / "t.yaml"
    path.write_text(f"workload: sps\ntrack: {track}\n")
    return path


@pytest.mark.parametrize(
    ("track", "plan"),
    [
        ("null", {}),
        ("tensorboard", {"tensorboard": {}}),
        ("[tensorboard, wandb]", {"tensorboard": {}, "wandb": {"mode": "offline"}}),
        ("{tensorboard: true, mlflow: false, wandb: {project: symmetry}}",
         {"tensorboard": {}, "wandb": WANDB}),
    ],
)  # fmt: skip
def test_trackers_are_named_or_given_options(tmp_path: Path, track: str, plan: object) -> None:
    assert load_template(write(tmp_path, track)).track.to_plan() == plan


@pytest.mark.parametrize(
    ("track", "message"),
    [
        ("[tensorbord]", "track: no such tracker: tensorbord; did you mean tensorboard?"),
        ("{wandb: {mode: onlin}}", "track.wandb.mode: "),
        ("{wandb: {api_key: x}}", "track.wandb.api_key: no such tracker"),
        ("3", "write a list of names: [tensorboard, wandb, mlflow]"),
    ],
)
def test_what_is_no_tracker_is_told_with_its_line(tmp_path: Path, track: str, message: str) -> None:
    with pytest.raises(TemplateError) as caught:
        load_template(write(tmp_path, track))
    assert "line 2" in str(caught.value)
    assert message in str(caught.value)


def test_the_site_adds_trackers_and_turns_all_off() -> None:
    plan = {"wandb": WANDB}
    assert choose_trackers(plan, {}) == plan
    site = {"HPCEXP_TRACK": "tensorboard, wandb"}
    assert choose_trackers(plan, site) == {"tensorboard": {}, "wandb": WANDB}
    assert choose_trackers(plan, {"HPCEXP_TRACK": "none"}) == {}
    with pytest.raises(UsageError, match="no such tracker: wnadb; did you mean wandb"):
        choose_trackers(plan, {"HPCEXP_TRACK": "wnadb"})
