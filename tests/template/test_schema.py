"""The JSON Schema says yes and no where the loader does, for what a schema can know."""

from __future__ import annotations

import json
import textwrap
from typing import Any

import jsonschema
import pytest

from hpcexp.template import build_json_schema
from hpcexp.template.nodes import to_plain
from hpcexp.template.read import parse_document
from hpcexp.workloads import WORKLOADS
from tests.template.conftest import Faults, Load
from tests.template.test_load import FULL, PROFILES

GOOD = [
    FULL,
    PROFILES,
    "workload: sps\n",
    "extends: base.yaml\nparams: {anything: 1}\n",
    "workload: sps\ngrid: {symmetry: [{rules: []}], vae_channels: [[64], [8, 16]], lr: null}\n",
    "workload: sps\nparams: {dataset: {resolution: 8}, scheduled_sampling: {duration: 0.1}}\n",
    "workload: sps\nparams: {dataset: {kind: two_body, ball_colours: random}}\n",
    "workload: sps\nparams: {loss_weights: {kld: {end: 1.0, duration: 0.5}, cycle: null}}\n",
    "workload: sps\nparams: {stop: [{metric: loss, below: 0.1}]}\n",
    "workload: sps\nparams: {symmetry: {rules: [{slices: ['0:2'], sample: [rotate]}]}}\n",
    "workload: sps\ngrid: {dataset.kind: [bounce, one_dim], image_loss: [mse, bce]}\n",
    "workload: sps\nparams: {grad_clip: null}\nresources: {sbatch: {nice: 5, exclusive: true}}\n",
]
BAD = [
    "workload: spss\n",
    "workload: sps\nlr: 1\n",
    "workload: sps\nparams: {lr: fast}\n",
    "workload: sps\nparams: {lr: 0}\n",
    "workload: sps\nparams: {encoder_batch_norm: off}\n",
    "workload: sps\nparams: {loss_weights: {predict: {y: 1}}}\n",
    "workload: sps\ngrid: {predict.z: [1]}\n",
    "workload: sps\ngrid: {loss_weights.predict.z: [-1]}\n",
    "workload: sps\ngrid: {lr: []}\n",
    "workload: sps\ngrid: {lr: 0.1}\n",
    "workload: sps\ngrid: {lr: [0.1, 0.1]}\n",
    "workload: sps\nparams: {dataset: {kind: cube}}\n",
    "workload: sps\nparams: {dataset: {kind: one_dim, cylinder_radius: 3.0}}\n",
    "workload: sps\nparams: {loss_weights: {kld: {kind: oscillation, low: -1}}}\n",
    "workload: sps\ngrid: {dataset.kind: [bounce, cube]}\n",
    "workload: sps\nrand_inits: 0\n",
    "workload: sps\nname: a/b\n",
    "workload: sps\nresources: {timeout: 45000}\n",
    "workload: sps\nresources: {timeout: 12:30}\n",
    "workload: sps\nresources: {partion: gpu}\n",
    "workload: sps\nprofiles: {smoke: {params: {lr: fast}}}\n",
    "workload: sps\nprofiles: {smoke: {workload: sps}}\n",
    "params: {}\n",
]


def validate(text: str) -> list[str]:
    document, _ = parse_document(textwrap.dedent(text), label="t.yaml")
    validator = jsonschema.Draft202012Validator(build_json_schema())
    return [error.message for error in validator.iter_errors(to_plain(document))]


def test_the_schema_is_a_valid_schema_of_its_draft_and_plain_json() -> None:
    schema = build_json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    assert json.loads(json.dumps(schema)) == schema


@pytest.mark.parametrize("text", GOOD)
def test_a_good_template_fits_the_schema(text: str) -> None:
    assert validate(text) == []


@pytest.mark.parametrize("text", BAD)
def test_what_the_loader_refuses_does_not_fit_the_schema(text: str, faults: Faults) -> None:
    assert validate(text)
    assert faults(text)


@pytest.mark.parametrize("text", [text for text in GOOD if "extends" not in text])
def test_what_fits_the_schema_is_loaded(text: str, load: Load) -> None:
    assert load(text.replace(", lr: null", "")).num_runs >= 1


def test_every_reference_has_a_definition() -> None:
    schema = build_json_schema()
    references = set(_find_references(schema))
    assert references
    assert references <= {f"#/$defs/{name}" for name in schema["$defs"]}


@pytest.mark.parametrize("workload", WORKLOADS)
def test_every_hyperparameter_is_an_axis_with_its_description(workload: str) -> None:
    definitions = build_json_schema()["$defs"]
    for name, field in definitions[f"{workload}.params"]["properties"].items():
        axis = definitions[f"{workload}.grid"]["properties"][name]
        assert axis["description"] == field.get("description", f"The whole section {name}.")


def _find_references(schema: Any) -> list[str]:
    if isinstance(schema, list):
        return [reference for item in schema for reference in _find_references(item)]
    if not isinstance(schema, dict):
        return []
    own = [schema["$ref"]] if "$ref" in schema else []
    return own + [reference for item in schema.values() for reference in _find_references(item)]
