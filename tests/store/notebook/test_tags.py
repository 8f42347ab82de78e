"""Tags are single words, and lines of nothing but #words are tags."""

from __future__ import annotations

import pytest

from hpcexp.errors import UsageError
from hpcexp.store.notebook.tags import check_tag, find_tags


def test_lines_of_nothing_but_words_with_a_hash_are_tags() -> None:
    lines = ["#present_in_meeting", "  #a, #b-1 ", "issue #3 is a word", "# heading", "#组会"]
    assert find_tags(lines) == ("present_in_meeting", "a", "b-1", "组会")


def test_the_hash_may_be_left_out_or_typed() -> None:
    assert check_tag("#paper") == check_tag(" paper ") == "paper"


@pytest.mark.parametrize("text", ["", "two words", "a/b", "../up", "#", "-x"])
def test_anything_but_one_word_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is no tag: write one word"):
        check_tag(text)
