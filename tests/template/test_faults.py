"""pydantic's errors in our words, on a model that has every kind of field."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, model_validator

from hpcexp.template.check import check_values
from hpcexp.template.check_groups import check_groups
from hpcexp.template.faults import find_faults
from hpcexp.template.fields import list_fields
from hpcexp.template.nodes import Node
from hpcexp.template.read import parse_document


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Bounce(Strict):
    kind: Literal["bounce"] = "bounce"
    frames: int = Field(default=4, ge=2)


class Recorded(Strict):
    kind: Literal["recorded"]
    path: str = Field(min_length=2)


class Model(Strict):
    lr: float = Field(default=0.1, gt=0, le=1)
    share: float = Field(default=0.5, ge=0, le=1)
    steps: int = Field(default=1, ge=1, description="Number of updates.")
    clip: float | None = Field(default=None, gt=0)
    norm: bool = False
    label: str = "a"
    warmup: int | Literal["auto"] = "auto"
    widths: Annotated[tuple[int, ...], Field(strict=False, min_length=1)] = (1,)
    scale: float | list[float] = 1.0
    optimizer: Literal["adam", "sgd"] = "adam"
    even: int = Field(default=2, multiple_of=2)
    weights: dict[str, float] = {}
    data: Annotated[Bounce | Recorded, Field(discriminator="kind")] = Bounce()

    @model_validator(mode="after")
    def _fits(self) -> Model:
        if isinstance(self.data, Bounce) and self.steps > self.data.frames:
            raise ValueError(f"steps ({self.steps}) is larger than data.frames")
        return self


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"lr": "fast"}, "lr: fast is text; must be a number greater than 0 and of at most 1"),
        ({"lr": 0}, "lr: 0 is out of range; must be a number greater than 0 and of at most 1"),
        ({"lr": float("inf")}, "lr: .inf is not finite; must be a number greater than 0"),
        ({"lr": {"a": 1}}, 'lr: {"a": 1} is a mapping; must be a number'),
        ({"lr": "0.1"}, "write 0.1 without quotes or underscores"),
        ({"lr": True}, "lr: true is a boolean; must be a number"),
        ({"share": 2}, "share: 2 is out of range; must be a number from 0 to 1"),
        ({"steps": 1.5}, "steps: 1.5 is not a whole number; must be a whole number of at least 1"),
        ({"steps": 2.0}, "; write 2"),
        ({"steps": "1_000"}, "; write 1000 without quotes or underscores"),
        ({"steps": None}, "steps: null is no value; must be a whole number"),
        ({"clip": "x"}, "clip: x is text; must be a number greater than 0 or null"),
        ({"norm": "off"}, "norm: off is text; must be true or false (did you mean false?)"),
        ({"norm": "Yes"}, "norm: Yes is text; must be true or false (did you mean true?)"),
        ({"norm": "true"}, 'norm: "true" is text; must be true or false; write true without'),
        ({"norm": 1}, "norm: 1 is a whole number; must be true or false"),
        ({"label": 3}, 'label: 3 is a whole number; must be text; write "3"'),
        ({"warmup": 1.5}, "must be a whole number or auto"),
        ({"warmup": "auto!"}, "must be a whole number or auto"),
        (
            {"widths": 64},
            "widths: 64 is a whole number; must be a list of whole numbers; write [64",
        ),
        ({"widths": []}, "widths: [] is of the wrong length; must have at least 1 items"),
        ({"widths": [1, "b"]}, "widths.1: b is text; must be a whole number"),
        ({"scale": "x"}, "scale: x is text; must be a number or a list of numbers"),
        ({"optimizer": "adm"}, "optimizer: adm is not allowed; must be adam or sgd; did you mean"),
        ({"even": 3}, "even: 3: input should be a multiple of 2"),
        ({"weights": {"a": "x"}}, "weights.a: x is text; must be a number"),
        ({"data": {"kind": "film"}}, "data: kind: film is not allowed; must be one of bounce, rec"),
        ({"data": {"frames": 3}}, "data: kind: missing; must be one of bounce or recorded"),
        ({"data": {"kind": "recorded"}}, "data.path: missing; must be text"),
        ({"data": {"kind": "bounce", "frames": 1}}, "data.frames: 1 is out of range; must be a"),
        ({"data": {"kind": "bounce", "frame": 1}}, "no such field; did you mean data.frames?"),
        ({"data": 3}, "data: 3"),
        ({"steps": 9}, "steps (9) is larger than data.frames"),
        ({"number_of_updates": 1}, "no such field; did you mean steps?"),
        ({"frames": 1}, "frames: no such field; did you mean data.frames?"),
    ],
)
def test_a_fault_says_what_was_found_and_what_is_allowed(
    values: dict[str, Any], message: str
) -> None:
    (fault,) = find_faults(Model, values, noun="field")
    assert message in f"{'.'.join(map(str, fault.names))}: {fault.message}"


def test_good_values_have_no_faults() -> None:
    assert find_faults(Model, {"lr": 1, "data": {"kind": "bounce"}}, noun="field") == []


def test_all_faults_are_found_together() -> None:
    values = {"lr": "x", "steps": 0, "data": {"kind": "bounce", "frames": "y"}, "foo": 1}
    places = {fault.names for fault in find_faults(Model, values, noun="field")}
    assert places == {("lr",), ("steps",), ("data", "frames"), ("foo",)}


def test_the_fields_of_all_members_of_a_union_are_known_by_dotted_names() -> None:
    assert {"data", "data.kind", "data.frames", "data.path", "lr"} <= set(list_fields(Model))


def check(text: str) -> list[str]:
    document, _ = parse_document(text, label="t.yaml")
    sections = {name: document.entries.get(name) for name in ("params", "grid")}
    params, grid = (node or Node({}, document.origin) for node in sections.values())
    checked = check_values(Model, params, grid, noun="field")
    problems = [*checked.problems, *check_groups(Model, params, checked, noun="field")]
    return [f"{p.line} {p.where}: {p.message}" for p in problems]


def test_a_member_of_a_union_may_be_chosen_by_an_axis() -> None:
    text = "grid: {data: [{kind: bounce}, {kind: recorded, path: a.h5}], weights.x: [1, 2]}"
    assert check(text) == []


def test_a_required_field_may_come_from_an_axis() -> None:
    assert check("params: {data: {kind: recorded}}\ngrid: {data.path: [ab, cd]}") == []


def test_a_field_that_fits_only_one_member_of_a_union_is_told_with_its_group() -> None:
    text = "params: {data: {frames: 3}}\ngrid:\n  data.kind: [bounce, recorded]"
    assert any("group data.kind=recorded" in problem for problem in check(text))


def test_an_axis_of_lists_needs_lists_within_its_list() -> None:
    assert check("grid: {widths: [64, 128]}") == [
        "1 grid.widths: an axis is a list of values, and each value must be a list of whole "
        "numbers; write [[64, 128]]"
    ]
    assert check("grid: {scale: [1.0, [1.0, 2.0]]}") == []
    assert check("grid: {scale: [1.0, 2.0]}") == []
