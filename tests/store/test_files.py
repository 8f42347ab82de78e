from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from hpcexp.errors import HpcexpError
from hpcexp.store.files import read_json, read_record, write_json, write_text


@dataclass(frozen=True)
class Point:
    x: int
    y: int = 2


def test_a_value_comes_back_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"name": "größe", "values": [1, 2.5, None, True]})
    assert read_json(path) == {"name": "größe", "values": [1, 2.5, None, True]}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_a_file_is_replaced_and_never_changed_in_place(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with path.open() as reader:
        write_text(path, "new")
        assert reader.read() == "old"
    assert path.read_text() == "new"


def test_a_write_that_fails_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, [1])
    with pytest.raises(TypeError):
        write_json(path, [object()])
    assert read_json(path) == [1]
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_a_file_name_that_is_no_utf8_survives_in_json(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    name = b"caf\xe9".decode(errors="surrogateescape")
    write_json(path, name)
    assert read_json(path) == name


@pytest.mark.parametrize(
    ("content", "complaint"),
    [(b"", "damaged"), (b'{"x": 1', "damaged"), (b"\xff\xfe\x00", "damaged")],
)
def test_damage_is_an_error_that_names_the_file(
    tmp_path: Path, content: bytes, complaint: str
) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(HpcexpError, match=rf"a\.json: {complaint}"):
        read_json(path)


def test_a_missing_file_and_a_directory_are_errors_in_words(tmp_path: Path) -> None:
    with pytest.raises(HpcexpError, match="no such file; is this an experiment directory"):
        read_json(tmp_path / "a.json")
    with pytest.raises(HpcexpError, match="cannot be read"):
        read_json(tmp_path)


def test_a_record_ignores_fields_of_the_future_and_fills_in_defaults(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"x": 1, "z": 3})
    assert read_record(path, Point) == Point(1, 2)


@pytest.mark.parametrize(("value", "complaint"), [({"y": 1}, "without x"), ([1], "no Point")])
def test_a_record_that_lacks_something_is_damaged(
    tmp_path: Path, value: object, complaint: str
) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(value))
    with pytest.raises(HpcexpError, match=rf"a\.json: damaged \({complaint}"):
        read_record(path, Point)
