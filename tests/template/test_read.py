"""YAML text to nodes: lines, duplicates, aliases, and texts that are refused whole."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcexp.template.nodes import find_nearest, to_plain
from hpcexp.template.read import UnreadableError, parse_document, read_text


def read(text: str) -> tuple[Any, list[str]]:
    node, problems = parse_document(text, label="t.yaml")
    return to_plain(node), [f"{p.line} {p.where}: {p.message}" for p in problems]


def refuse(text: str) -> str:
    with pytest.raises(UnreadableError) as caught:
        parse_document(text, label="t.yaml")
    problem = caught.value.problem
    assert "\n" not in problem.message
    return f"{problem.line or ''} {problem.message}"


def find_line(text: str, *names: str | int) -> int | None:
    node, _ = parse_document(text, label="t.yaml")
    found, rest = find_nearest(node, names)
    assert not rest
    return found.origin.line


def test_values_keep_the_line_of_their_key_and_items_their_own() -> None:
    text = "a:\n  b:\n    - 1\n    - 2\n  c: 3\n"
    assert find_line(text, "a") == 1
    assert find_line(text, "a", "b") == 2
    assert find_line(text, "a", "b", 1) == 4
    assert find_line(text, "a", "c") == 5


def test_quoted_scalars_are_text() -> None:
    assert read("a: '1'\nb: \"true\"\nc: !!str 010\nd: |\n  5\n") == (
        {"a": "1", "b": "true", "c": "010", "d": "5\n"},
        [],
    )


def test_a_key_given_twice_is_a_fault_with_both_lines() -> None:
    _, problems = read("params:\n  lr: 1\n  x: 2\n  lr: 3\n")
    assert problems == ["4 params.lr: given twice, on lines 2 and 4; keep one"]


def test_faults_of_one_text_are_all_reported() -> None:
    _, problems = read("a: 010\nb: !!python/name:os.system x\n1: x\n? [k]\n: v\n")
    assert problems == [
        "1 a: 010 is 8 in YAML 1.1 (octal) and 10 in YAML 1.2; write 10 or 0o10",
        "2 b: the tag !!python/name:os.system is not allowed; write the plain value",
        "3 : a key must be text; 1 is not",
        "4 : a key must be text, not a list or a mapping",
    ]


def test_merge_keys_fill_in_what_is_not_given() -> None:
    text = "x: &x {a: 1, b: 2}\ny: &y {b: 3, c: 4}\nz: {<<: [*x, *y], a: 0}\n"
    assert read(text)[0]["z"] == {"a": 0, "b": 2, "c": 4}


def test_merging_something_else_is_a_fault() -> None:
    _, problems = read("z: {<<: 3}\n")
    assert problems == ["1 z.<<: must be an alias of a mapping, or a list of such aliases"]


def test_an_alias_repeats_its_value() -> None:
    assert read("a: &v [1, 2]\nb: *v\n")[0]["b"] == [1, 2]


def test_a_value_that_contains_itself_is_a_fault() -> None:
    _, problems = read("a: &a [*a]\n")
    assert problems == ["1 a: contains itself through an alias"]


def test_an_alias_bomb_is_refused_before_it_fills_the_memory() -> None:
    levels = "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 30))
    message = refuse("a0: &a0 [1]\n" + levels)
    assert "more than 200000 values once its aliases are followed" in message


def test_deep_nesting_is_refused() -> None:
    assert "nested more than 50 deep" in refuse("a: " + "[" * 5000)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb:\t- 2\n", "2 not YAML: a tab; indent with spaces (column 3)"),
        ("a:\n\tb: 1\n", "2 not YAML: a tab; indent with spaces (column 1)"),
        ("a: b: c\n", '1 not YAML: a second ": " in one line'),
        ("a: [1\n", "2 not YAML: expected ',' or ']'"),
        (" a: 1\nb: 2\n", "2 not YAML: a wrong indent"),
        ("a: *nothing\n", "1 not YAML: found undefined alias 'nothing' (column 4)"),
        ("a: 1\n---\nb: 2\n", "2 not YAML: a second document"),
        ("a: 1\nb: \x07\n", "2 not YAML: the character U+0007"),
        ("- 1\n", "1 not a mapping"),
        ("just text\n", "1 not a mapping"),
        ("", " empty; write at least workload: NAME"),
        ("# only a comment\n", " empty"),
    ],
)
def test_a_text_that_is_no_mapping_is_refused_in_one_line(text: str, message: str) -> None:
    assert refuse(text).startswith(message)


def test_a_file_that_is_not_utf_8_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    path.write_bytes("a: 1\nb: é\n".encode("latin-1"))
    with pytest.raises(UnreadableError, match="not UTF-8: byte 0xe9") as caught:
        read_text(path, label="t.yaml")
    assert caught.value.problem.line == 2


def test_a_byte_order_mark_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\n")
    assert read_text(path, label="t.yaml") == "a: 1\n"


def test_a_folder_and_a_huge_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match="cannot be read"):
        read_text(tmp_path, label="t.yaml")
    path = tmp_path / "t.yaml"
    path.write_bytes(b"#" * (5 << 20))
    with pytest.raises(UnreadableError, match="larger than 4 MiB"):
        read_text(path, label="t.yaml")


@given(st.text(alphabet="ab:-[]{}&*!|>'\"%@`#,?<0 1\n\t~.", max_size=40))
def test_any_text_is_read_or_refused_but_never_crashes(text: str) -> None:
    with contextlib.suppress(UnreadableError):
        node, _ = parse_document(text, label="t.yaml")
        assert isinstance(node.value, dict)


def test_half_of_a_surrogate_pair_is_refused() -> None:
    assert read('a: "\\ud800"\n')[1] == [
        "1 a: holds half of a surrogate pair, which is no character"
    ]
