"""Names and order of groups and runs, as properties over every value that YAML can hold."""

from __future__ import annotations

import json
import math
import re
import string
import subprocess
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcexp.grid import (
    BASE_GROUP_NAME,
    MAX_RUN_NAME_BYTES,
    Group,
    expand_groups,
    expand_runs,
    spell_value,
)

SAFE = set(string.ascii_letters + string.digits + "._=,+-@~")

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.text(alphabet="aA1+~@=,._-e/ ", max_size=6)
    | st.sampled_from(
        ["1", "1.0", "true", "null", "nan", "inf", "1e-3", "..", "-x", "a/b", "é", ""]
    )
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(alphabet="aA.b~=+", max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)
axis_names = st.from_regex(r"[a-z][a-z_]{0,8}(\.[a-z_]{1,8}){0,2}", fullmatch=True)


few_examples = settings(max_examples=40, deadline=None)


def key(value: Any) -> str:
    """Equal only for values that are equal and of the same types throughout."""
    return json.dumps(value, sort_keys=True)


@st.composite
def grids(draw: st.DrawFn) -> dict[str, list[Any]]:
    names = draw(st.lists(axis_names, max_size=3, unique=True))
    return {name: draw(st.lists(values, min_size=1, max_size=3, unique_by=key)) for name in names}


@few_examples
@given(grids(), st.integers(1, 4))
def test_the_number_of_runs_is_the_product_of_the_axes_and_the_initialisations(
    axes: dict[str, list[Any]], rand_inits: int
) -> None:
    runs = expand_runs(expand_groups(axes), rand_inits=rand_inits)
    assert len(runs) == math.prod(len(axis) for axis in axes.values()) * rand_inits
    assert [run.index for run in runs] == list(range(len(runs)))


@few_examples
@given(grids(), st.integers(1, 3))
def test_no_two_runs_share_a_name_even_where_case_is_ignored(
    axes: dict[str, list[Any]], rand_inits: int
) -> None:
    runs = expand_runs(expand_groups(axes), rand_inits=rand_inits)
    assert len({run.name.lower() for run in runs}) == len(runs)


@few_examples
@given(grids())
def test_a_run_name_is_short_and_safe_as_a_file_name_and_in_a_shell(
    axes: dict[str, list[Any]],
) -> None:
    for run in expand_runs(expand_groups(axes), rand_inits=2):
        assert set(run.name) <= SAFE
        assert run.name[0] in string.ascii_lowercase
        assert not run.name.partition("=")[2].startswith("~")  # a shell would expand it
        assert len(run.name.encode()) <= MAX_RUN_NAME_BYTES


@few_examples
@given(grids())
def test_expansion_is_deterministic(axes: dict[str, list[Any]]) -> None:
    assert expand_groups(axes) == expand_groups(json.loads(json.dumps(axes)))


@settings(deadline=None)
@given(values, values)
def test_two_different_values_are_spelled_differently_even_where_case_is_ignored(
    first: Any, second: Any
) -> None:
    same = key(first) == key(second)
    assert (spell_value(first).lower() == spell_value(second).lower()) is same


@given(st.text(alphabet="aA1+~@=,._-", max_size=5), st.text(alphabet="aA1+~@=,._-", max_size=5))
def test_texts_of_the_spelling_s_own_marks_stay_apart(first: str, second: str) -> None:
    assert (spell_value(first).lower() == spell_value(second).lower()) is (first == second)


@pytest.mark.parametrize(
    ("value", "spelled"),
    [
        (48, "48"),
        (-1, "-1"),
        (0.001, "0.001"),
        (1e-5, "1e-05"),
        (1e22, "1e22"),
        (1.0, "1.0"),
        (1, "1"),
        ("1", "@1"),
        (True, "true"),
        ("true", "@true"),
        (False, "false"),
        (None, "null"),
        ("null", "@null"),
        ("adam", "adam"),
        ("ReLU", "ReLU@d"),
        ("", "@"),
        ("-x", "@-x"),
        ("..", "@.."),
        ("a b/c", "a~20b~2fc"),
        ("é", "@~c3~a9"),
        (float("inf"), "inf"),
        (float("nan"), "nan"),
        ([64, 128, 256], "+64+128+256"),
        ([64], "+64"),
        ([], "+"),
        ([[1, 2], [3]], "+~_+1+2~-+~_+3~-"),
        ({}, "+="),
        ({"predict": {"z": 0.0}, "kld": 1}, "+kld=1+predict.z=0.0"),
    ],
)
def test_spelling_of_a_value(value: Any, spelled: str) -> None:
    assert spell_value(value) == spelled


@pytest.mark.parametrize("value", ["~root", "a b", "$HOME", "*", "-n", [["ReLU", {}], 1e22], None])
def test_a_shell_reads_an_unquoted_name_as_it_is(value: Any) -> None:
    (group,) = expand_groups({"axis": [value]})
    echoed = subprocess.run(["bash", "-c", f"echo {group.name}"], capture_output=True, text=True)
    assert echoed.stdout == f"{group.name}\n"


def test_the_order_of_a_mapping_does_not_change_its_spelling() -> None:
    assert spell_value({"a": 1, "b": 2}) == spell_value({"b": 2, "a": 1})


def test_a_long_value_ends_in_a_hash_and_leaves_room_for_the_others() -> None:
    first, second = spell_value("a" * 500), spell_value("a" * 501)
    assert first != second
    assert re.fullmatch(r"a{46}~~[0-9a-f]{12}", first)


def test_what_yaml_cannot_hold_is_refused() -> None:
    with pytest.raises(TypeError, match="cannot spell a set"):
        spell_value({1, 2})


def test_groups_follow_the_order_of_the_axes_with_the_last_fastest() -> None:
    groups = expand_groups({"rnn_width": [48, 16], "lr": [1e-3, 1e-4]})
    assert [group.name for group in groups] == [
        "rnn_width=48,lr=0.001",
        "rnn_width=48,lr=0.0001",
        "rnn_width=16,lr=0.001",
        "rnn_width=16,lr=0.0001",
    ]
    assert groups[1].values == {"rnn_width": 48, "lr": 1e-4}


def test_a_nested_axis_goes_by_its_full_dotted_name() -> None:
    (group,) = expand_groups({"loss_weights.predict.z": [0]})
    assert group.name == "loss_weights.predict.z=0"


def test_an_empty_grid_is_one_group_named_base() -> None:
    assert expand_groups({}) == (Group(name=BASE_GROUP_NAME, values={}),)


def test_runs_count_their_initialisations_from_zero_group_by_group() -> None:
    runs = expand_runs(expand_groups({"rnn_width": [16, 48]}), rand_inits=2)
    assert [(run.name, run.rand_init) for run in runs] == [
        ("rnn_width=16_rand_0", 0),
        ("rnn_width=16_rand_1", 1),
        ("rnn_width=48_rand_0", 0),
        ("rnn_width=48_rand_1", 1),
    ]


def test_adding_a_value_leaves_the_other_groups_names_alone() -> None:
    small = {group.name for group in expand_groups({"a": ["x" * 200, 1]})}
    large = {group.name for group in expand_groups({"a": ["x" * 200, 1, 2]})}
    assert small < large


def test_a_value_given_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="two groups are named lr=1"):
        expand_groups({"lr": [1, 1]})


def test_less_than_one_initialisation_is_refused() -> None:
    with pytest.raises(ValueError, match="rand_inits is 0"):
        expand_runs(expand_groups({}), rand_inits=0)


def test_groups_and_runs_can_be_members_of_a_set() -> None:
    runs = expand_runs(expand_groups({"lr": [1, 2]}), rand_inits=2)
    assert len({run.group for run in runs}) == 2
    assert len(set(runs)) == 4
