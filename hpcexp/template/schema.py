"""The JSON Schema of a template (draft 2020-12), for editors and for `hpcexp schema`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from hpcexp.sampling import METHODS
from hpcexp.template.comparison import Comparison
from hpcexp.template.document import Header
from hpcexp.template.fields import list_field_variants
from hpcexp.template.notify import Notify
from hpcexp.template.resources import Resources
from hpcexp.template.track import TRACKERS, Track
from hpcexp.workloads import list_workloads, load_config_class
from hpcexp.workloads.own.reference import PATTERN

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_GRID_DESCRIPTION = "Axes: each dotted name takes each value of its list; null removes an axis."


def build_json_schema(*, only: str | None = None) -> dict[str, Any]:
    """The schema of every template: its own keys, and the hyperparameters of each workload.

    With `only`, the hyperparameters of that workload alone, which may be a laboratory's. Rules
    that need two values at once, such as a batch that fits its training set, and names that
    come from an extended file, are beyond it: `load_template` checks them.

    Raises UsageError for an unknown workload, or one that cannot be imported.
    """
    definitions: dict[str, Any] = {}
    workloads = [only] if only is not None else list(list_workloads())
    header = _define(Header, "template", definitions)["properties"]
    resources = _make_partial(_define(Resources, "resources", definitions))
    definitions["resources"] = resources
    definitions["comparison"] = _make_partial(_define(Comparison, "comparison", definitions))
    definitions["notify"] = _make_partial(_define(Notify, "notify", definitions))
    definitions["track"] = _make_partial(_define(Track, "track", definitions))
    for options in definitions["track"]["properties"].values():
        options["anyOf"].append({"type": "boolean"})
    return {
        "$schema": _DRAFT,
        "title": "hpcexp template",
        "description": "Hyperparameters, grid, random initialisations and resources.",
        "type": "object",
        "properties": _describe_keys(header, _describe_names(only)),
        "additionalProperties": False,
        "anyOf": [{"required": ["workload"]}, {"required": ["extends"]}],
        "allOf": [_describe_workload(name, definitions) for name in workloads],
        "$defs": definitions,
    }


def _describe_names(only: str | None) -> dict[str, Any]:
    """What names a workload: one of the table, or where a laboratory's code is."""
    if only is not None:
        return {"const": only}
    return {
        "anyOf": [{"enum": list(list_workloads())}, {"type": "string", "pattern": f"^({PATTERN})$"}]
    }


def _describe_keys(header: Mapping[str, Any], names: Mapping[str, Any]) -> dict[str, Any]:
    path = {"type": "string", "description": "A path relative to this file."}
    shared = {
        "name": header["name"],
        "params": {"type": ["object", "null"], "description": "Hyperparameters, nested."},
        "grid": {"type": ["object", "null"], "description": _GRID_DESCRIPTION},
        **_describe_factors(),
        "sample": _describe_sample(),
        "rand_inits": header["rand_inits"],
        "seed": header["seed"],
        "resources": {"anyOf": [{"$ref": "#/$defs/resources"}, {"type": "null"}]},
        "comparison": {"anyOf": [{"$ref": "#/$defs/comparison"}, {"type": "null"}]},
        "notify": {"anyOf": [{"$ref": "#/$defs/notify"}, {"type": "null"}]},
        "track": _describe_track(),
    }
    profile = {"type": ["object", "null"], "properties": shared, "additionalProperties": False}
    return {
        **shared,
        "question": header["question"],
        "extends": {
            "anyOf": [path, {"type": "array", "items": path}],
            "description": "Templates that this one starts from; later ones win.",
        },
        "workload": {**header["workload"], **names},
        "profiles": {
            "type": ["object", "null"],
            "description": "Named overrides, chosen with --profile.",
            "additionalProperties": profile,
        },
    }


def _describe_track() -> dict[str, Any]:
    name = {"enum": list(TRACKERS)}
    return {
        "anyOf": [
            {"$ref": "#/$defs/track"},
            {"type": "array", "items": name},
            name,
            {"type": "null"},
        ],
        "description": "Trackers that follow the runs while they train: names, or options of each.",
    }


def _describe_factors() -> dict[str, Any]:
    together = {
        "type": "object",
        "minProperties": 1,
        "additionalProperties": {"type": "array", "minItems": 1},
    }
    entry = {"type": "object", "minProperties": 1}
    return {
        "zip": {
            "anyOf": [together, {"type": "array", "items": together}, {"type": "null"}],
            "description": "Axes of equal length that move together, or a list of such sets.",
        },
        "groups": {
            "type": ["object", "null"],
            "minProperties": 1,
            "additionalProperties": {"type": ["object", "null"]},
            "description": "Named groups and the hyperparameters of each; times grid and zip.",
        },
        "exclude": {
            "type": ["array", "null"],
            "items": entry,
            "description": "Combinations to leave out: values of axes, or `group` and its name.",
        },
        "derive": {
            "type": ["object", "null"],
            "additionalProperties": {"type": ["string", "number", "null"]},
            "description": "Hyperparameters computed from others: `32000 * batch_size // 128`.",
        },
    }


def _describe_sample() -> dict[str, Any]:
    pair = {"type": "array", "minItems": 2, "maxItems": 2, "items": {"type": "number"}}
    whole = {**pair, "items": {"type": "integer"}}
    kinds = {
        "uniform": pair,
        "log_uniform": pair,
        "integer": whole,
        "choice": {"type": "array", "minItems": 1},
        "normal": pair,
    }
    axis = {
        "type": ["object", "null"],
        "properties": {**kinds, "only_if": {"type": "object"}},
        "additionalProperties": False,
    }
    number = {"type": "integer", "minimum": 1}
    return {
        "type": ["object", "null"],
        "description": "Sampled axes: how many combinations, of which distributions.",
        "properties": {
            "count": {**number, "description": "Samples in all; each meets every combination."},
            "method": {"enum": list(METHODS), "description": "How samples are chosen."},
            "seed": {"type": "integer", "minimum": 0, "description": "Another draw."},
            "start": {**number, "description": "tpe: samples before the first result counts."},
            "at_once": {**number, "description": "tpe: samples that train at a time."},
            "axes": {"type": "object", "additionalProperties": axis},
        },
        "additionalProperties": False,
    }


def _describe_workload(workload: str, definitions: dict[str, Any]) -> dict[str, Any]:
    """`params` and `grid`, also those of profiles, where a template names the workload."""
    config_class = load_config_class(workload)
    config = _define(config_class, workload, definitions)
    definitions[f"{workload}.params"] = _make_partial(config)
    definitions[f"{workload}.grid"] = _describe_grid(config_class, workload)
    sections = {
        section: {"anyOf": [{"$ref": f"#/$defs/{workload}.{section}"}, {"type": "null"}]}
        for section in ("params", "grid")
    }
    return {
        "if": {"properties": {"workload": {"const": workload}}, "required": ["workload"]},
        "then": {
            "properties": {
                **sections,
                "profiles": {"additionalProperties": {"properties": sections}},
            }
        },
    }


def _describe_grid(config_class: type[BaseModel], workload: str) -> dict[str, Any]:
    axes = {}
    for name, fields in list_field_variants(config_class).items():
        kept = [{k: v for k, v in f.items() if k not in ("default", "title")} for f in fields]
        items = kept[0] if len(kept) == 1 else {"anyOf": kept}
        axes[name] = {
            "type": ["array", "null"],
            "minItems": 1,
            "uniqueItems": True,
            "items": _redirect(_accept_any(items), workload),
            "description": fields[0].get("description", f"The whole section {name}."),
        }
    return {"type": "object", "properties": axes, "additionalProperties": False}


def _define(model: type[BaseModel], prefix: str, definitions: dict[str, Any]) -> dict[str, Any]:
    """The model's own schema; the models inside it go to `definitions` under the prefix."""
    schema: dict[str, Any] = _accept_any(
        model.model_json_schema(ref_template=f"#/$defs/{prefix}.{{model}}")
    )
    for name, definition in schema.pop("$defs", {}).items():
        definitions[f"{prefix}.{name}"] = _make_partial(definition)
    return schema


def _accept_any(schema: Any) -> Any:
    """Unions by `kind` as unions of which at least one fits.

    A section that names no kind is of the default one, and may well fit others besides:
    `oneOf`, which pydantic writes, would refuse it.
    """
    if isinstance(schema, Mapping):
        kept = {key: value for key, value in schema.items() if key != "discriminator"}
        return {"anyOf" if k == "oneOf" else k: _accept_any(v) for k, v in kept.items()}
    return [_accept_any(item) for item in schema] if isinstance(schema, list) else schema


def _make_partial(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Without `required`: what a file leaves out may come from one that it extends."""
    return {key: value for key, value in schema.items() if key != "required"}


def _redirect(schema: Any, prefix: str) -> Any:
    """References to the definitions of a model alone, made to point at ours."""
    if isinstance(schema, Mapping):
        return {
            key: value.replace("#/$defs/", f"#/$defs/{prefix}.")
            if key == "$ref"
            else _redirect(value, prefix)
            for key, value in schema.items()
        }
    return [_redirect(item, prefix) for item in schema] if isinstance(schema, list) else schema
