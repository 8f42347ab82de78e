"""The keys of a template file, and what does not depend on the workload."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema

from hpcexp.errors import Problem
from hpcexp.template.names import describe_alternatives
from hpcexp.template.nodes import Node, show
from hpcexp.template.resources import Resources

NAME_PATTERN = r"^[A-Za-z0-9_][A-Za-z0-9_.+-]{0,63}$"
MAX_SEED = 2**63 - 1

_NAME_WORDS = "1 to 64 of the letters a-z, A-Z, digits, _ . + -, not starting with . + or -"
_SECTIONS = ("params", "grid", "derive", "comparison", "resources", "notify", "profiles")
_OWN_KEYS = ("name", "question", "extends")
PROFILE_KEYS = (
    "name", "params", "grid", "zip", "groups", "sample", "exclude", "derive", "rand_inits",
    "seed", "comparison", "resources", "notify", "track",
)  # fmt: skip
TEMPLATE_KEYS = (
    "name", "question", "extends", "workload", "params", "grid", "zip", "groups", "sample",
    "exclude", "derive", "rand_inits", "seed", "comparison", "resources", "notify", "track",
    "profiles",
)  # fmt: skip

Entries = dict[str, Node]


def check_name(name: str) -> str:
    """The name of an experiment, which becomes a part of its directory's name.

    Raises ValueError where it is not safe there.
    """
    kept = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.+-")
    if not 1 <= len(name) <= 64 or set(name) - kept or name[0] in ".+-":
        raise ValueError(f"{show(name)} cannot name a directory; must be {_NAME_WORDS}")
    return name


def _check_question(text: str) -> str:
    if not text.isprintable():
        raise ValueError("holds a line break; write one line")
    return text


Name = Annotated[
    str,
    AfterValidator(check_name),
    WithJsonSchema({"type": "string", "pattern": NAME_PATTERN}),
]


class Header(BaseModel):
    """The scalars of a template."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    name: Name = Field(description="Name of the experiment; the file's name where left out.")
    question: Annotated[str, AfterValidator(_check_question)] | None = Field(
        default=None, description="What the experiment asks, in one line."
    )
    workload: str = Field(description="What is trained, such as sps.")
    rand_inits: int = Field(
        default=1, ge=1, description="Random initialisations of each group of the grid."
    )
    seed: int = Field(
        default=0, ge=0, le=MAX_SEED, description="Seed of every random number of the experiment."
    )


def keep_inherited(entries: Mapping[str, Node]) -> Entries:
    """What a template hands on to one that extends it: all but its name and question."""
    return {key: node for key, node in entries.items() if key not in _OWN_KEYS}


def check_sections(entries: Mapping[str, Node]) -> tuple[Entries, list[Problem]]:
    """The entries with sections that are mappings, and the faults of the others.

    An empty section (`params:` and nothing below) is an empty mapping.
    """
    kept: Entries = {}
    problems: list[Problem] = []
    for key, node in entries.items():
        if key == "profiles":
            node = _check_children(node, _check_profile, problems)
        elif key in _SECTIONS:
            node = _as_mapping(node, problems)
        kept[key] = node
    return kept, problems


def find_unknown_keys(
    entries: Mapping[str, Node], *, hyperparameters: Mapping[str, Any]
) -> list[Problem]:
    """Keys that no template has, at the top and in the profiles; says where they belong."""
    problems = _find_unknown(entries, TEMPLATE_KEYS, "a template", hyperparameters)
    profiles = entries.get("profiles")
    for profile in profiles.entries.values() if profiles else ():
        problems += _find_unknown(profile.entries, PROFILE_KEYS, "a profile", hyperparameters)
    return problems


def _check_profile(node: Node, problems: list[Problem]) -> Node:
    entries, found = check_sections(_as_mapping(node, problems).entries)
    problems += found
    return Node(entries, node.origin)


def _check_children(
    node: Node, check: Callable[[Node, list[Problem]], Node], problems: list[Problem]
) -> Node:
    mapping = _as_mapping(node, problems)
    return Node(
        {key: check(child, problems) for key, child in mapping.entries.items()}, node.origin
    )


def _as_mapping(node: Node, problems: list[Problem]) -> Node:
    if isinstance(node.value, dict):
        return node
    if node.value is not None:
        problems.append(node.origin.problem("must be a mapping: indented lines of NAME: VALUE"))
    return Node({}, node.origin)


def _find_unknown(
    entries: Mapping[str, Node],
    known: tuple[str, ...],
    owner: str,
    hyperparameters: Mapping[str, Any],
) -> list[Problem]:
    return [
        node.origin.problem(f"no such key of {owner}{_place(key, known, hyperparameters)}")
        for key, node in entries.items()
        if key not in known
    ]


def _place(key: str, known: tuple[str, ...], hyperparameters: Mapping[str, Any]) -> str:
    if key in hyperparameters:
        return "; it is a hyperparameter: write it under params or grid"
    if key in Resources.model_fields:
        return "; it is a resource: write it under resources"
    if key in TEMPLATE_KEYS:
        return "; write it at the top of the file"
    return describe_alternatives(key, known)
