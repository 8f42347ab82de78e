"""The template language: YAML with lines -> a checked Template, or every fault at once.

Reads files and writes none; imports yaml and pydantic, never torch or pandas.
"""

from hpcexp.template.additions import (
    BUDGET,
    LABEL,
    NewGroup,
    describe_faults,
    parse_budget,
    parse_new_groups,
)
from hpcexp.template.assemble import DeriveError, apply_dotted, assemble, merge_plain
from hpcexp.template.check import MAX_RUNS
from hpcexp.template.load import load_template
from hpcexp.template.nodes import Source, show
from hpcexp.template.resource_changes import parse_resource_changes
from hpcexp.template.resources import Container, Resources
from hpcexp.template.schema import build_json_schema
from hpcexp.template.template import Template

__all__ = [
    "BUDGET",
    "Container",
    "DeriveError",
    "LABEL",
    "MAX_RUNS",
    "NewGroup",
    "Resources",
    "Source",
    "Template",
    "apply_dotted",
    "assemble",
    "build_json_schema",
    "describe_faults",
    "load_template",
    "merge_plain",
    "parse_budget",
    "parse_new_groups",
    "parse_resource_changes",
    "show",
]
