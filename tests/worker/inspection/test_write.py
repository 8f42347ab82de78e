from __future__ import annotations

import math
from pathlib import Path

import pytest

from hpcexp.train.inspection import Findings, Part, Table
from hpcexp.worker.inspection.write import make_number_table, render_findings, render_part
from tests.worker.inspection.parts import make_animation, make_curves
from tests.worker.inspection.test_images import make_grid


def test_a_table_is_csv_with_all_digits_and_nothing_for_nan() -> None:
    table = Table({"frame": [0, 1], "z0": [0.1 + 0.2, math.nan], "name": ["a,b", "c"]})
    content = render_part(table, headline="")
    assert content.decode() == 'frame,z0,name\n0,0.30000000000000004,"a,b"\n1,,c\n'


@pytest.mark.parametrize(
    ("part", "name", "start"),
    [
        (make_grid(), "part.png", b"\x89PNG"),
        (make_curves(), "part.png", b"\x89PNG"),
        (make_animation(), "part.gif", b"GIF89a"),
        (Table({"a": [1]}), "part.csv", b"a\n1\n"),
    ],
)
def test_each_kind_of_part_has_its_kind_of_file(part: Part, name: str, start: bytes) -> None:
    contents = render_findings(
        Findings("some", parts={"part": part}),
        path_of=lambda name, suffix: Path(f"{name}.{suffix}"),
        headline="run",
    )
    ((path, content),) = contents.items()
    assert path == Path(name)
    assert content.startswith(start)


def test_numbers_are_a_table_of_one_row() -> None:
    table = make_number_table(Findings("some", numbers={"mig": 0.5, "sap": 0.25}))
    assert render_part(table, headline="") == b"mig,sap\n0.5,0.25\n"
