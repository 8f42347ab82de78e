"""What a pydantic model allows under a dotted name, in words; read from its JSON schema."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from pydantic import BaseModel

from hpcexp.template.nodes import join_choices

Schema = Mapping[str, Any]

_TYPE_WORDS = {
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "string": "text",
    "null": "null",
    "object": "a mapping",
}
_ITEM_WORDS = {
    "integer": "whole numbers",
    "number": "numbers",
    "boolean": "true or false",
    "string": "texts",
    "array": "lists",
    "object": "mappings",
}


@cache
def load_schema(model: type[BaseModel]) -> Schema:
    """The model's JSON schema, kept: it takes milliseconds to make."""
    return model.model_json_schema()


@cache
def list_fields(model: type[BaseModel]) -> Mapping[str, Schema]:
    """Dotted name -> schema of every field, sections included, in the model's order."""
    root = load_schema(model)
    return dict(_walk_fields(root, root, ""))


def list_field_variants(model: type[BaseModel]) -> Mapping[str, list[Schema]]:
    """Dotted name -> schemas of the field, several where sections of other kinds share it."""
    root = load_schema(model)
    variants: dict[str, list[Schema]] = {}
    for name, field in _walk_fields(root, root, ""):
        known = variants.setdefault(name, [])
        if field not in known:
            known.append(field)
    return variants


def describe_fields(model: type[BaseModel]) -> dict[str, str]:
    """Dotted name -> description of every field that has one."""
    fields = list_fields(model).items()
    return {name: field["description"] for name, field in fields if "description" in field}


def find_variants(model: type[BaseModel], names: Sequence[str | int]) -> list[Schema]:
    """The schemas that a value at `names` may follow; several in a union, none if unknown."""
    root = load_schema(model)
    variants = list(_resolve(root, root))
    for name in names:
        variants = [
            resolved
            for variant in variants
            for child in _children(variant, name)
            for resolved in _resolve(child, root)
        ]
    return variants


def describe_allowed(variants: Sequence[Schema]) -> str:
    """What is allowed in words, such as `a number greater than 0 or null`."""
    phrases = dict.fromkeys(_describe_variant(variant) for variant in variants)
    return join_choices(phrases) if phrases else ""


def list_choices(variants: Sequence[Schema]) -> list[Any]:
    """The literal values among what is allowed."""
    return [choice for variant in variants for choice in _get_choices(variant)]


def allows_type(variants: Sequence[Schema], type_name: str) -> bool:
    """Whether a JSON type such as `array` is among what is allowed; true where unsaid."""
    return any(variant.get("type", type_name) == type_name for variant in variants)


def _walk_fields(schema: Schema, root: Schema, prefix: str) -> Iterator[tuple[str, Schema]]:
    for variant in _resolve(schema, root):
        for name, child in variant.get("properties", {}).items():
            yield f"{prefix}{name}", child
            yield from _walk_fields(child, root, f"{prefix}{name}.")


def _resolve(schema: Schema, root: Schema) -> Iterator[Schema]:
    """Follow references and unions to the schemas that describe one type each."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        yield from _resolve(root["$defs"][name], root)
        return
    for word in ("anyOf", "oneOf", "allOf"):
        if word in schema:
            for choice in schema[word]:
                yield from _resolve(choice, root)
            return
    yield schema


def _children(schema: Schema, name: str | int) -> list[Schema]:
    if isinstance(name, int):
        prefix = schema.get("prefixItems", [])
        items = schema.get("items")
        child = prefix[name] if name < len(prefix) else items
    else:
        child = schema.get("properties", {}).get(name, schema.get("additionalProperties"))
    return [child] if isinstance(child, Mapping) else []


def _get_choices(schema: Schema) -> list[Any]:
    return [schema["const"]] if "const" in schema else list(schema.get("enum", []))


def _describe_variant(schema: Schema) -> str:
    choices = _get_choices(schema)
    if choices:
        return join_choices(c if isinstance(c, str) else json.dumps(c) for c in choices)
    if schema.get("type") == "array":
        return _describe_list(schema)
    words = _TYPE_WORDS.get(schema.get("type", ""), "any value")
    return f"{words} {_describe_bounds(schema)}".rstrip()


def _describe_list(schema: Schema) -> str:
    items = schema.get("items", {})
    words = _ITEM_WORDS.get(items.get("type", ""), "values")
    return f"a list of {words} {_describe_bounds(items)}".rstrip()


def _describe_bounds(schema: Schema) -> str:
    if "minimum" in schema and "maximum" in schema:
        return f"from {schema['minimum']} to {schema['maximum']}"
    words = {
        "exclusiveMinimum": "greater than",
        "minimum": "of at least",
        "exclusiveMaximum": "less than",
        "maximum": "of at most",
    }
    return " and ".join(f"{words[key]} {schema[key]}" for key in words if key in schema)
