"""Lines of names in a TOML text, as tomllib reads them."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

from hpcexp.site.lines import index_lines

TEXT = '''\
# a comment = with [brackets]
plain = 1
"quoted.name" = "a = b # no comment"
many = [
  "x = 1",  # ] in a comment
  "[not.a.table]",
]
text = """
inside = "no name"
[neither]
"""
dotted.name = true

[ sites . "with space" ]   # after
hosts = ["login[0-9]"]
inline = { a = 1, b = [2, 3] }
last = 'single'
'''


def names_of(values: Mapping[str, Any], place: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, value in values.items():
        yield (*place, name)
        if isinstance(value, Mapping):
            yield from names_of(value, (*place, name))


def test_every_name_is_on_its_line() -> None:
    assert index_lines(TEXT) == {
        ("plain",): 2,
        ("quoted.name",): 3,
        ("many",): 4,
        ("text",): 8,
        ("dotted", "name"): 12,
        ("sites", "with space"): 14,
        ("sites", "with space", "hosts"): 15,
        ("sites", "with space", "inline"): 16,
        ("sites", "with space", "last"): 17,
    }


def test_no_name_is_found_that_tomllib_does_not_read() -> None:
    assert set(index_lines(TEXT)) <= set(names_of(tomllib.loads(TEXT)))
