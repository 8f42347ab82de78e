"""The template language: YAML with lines -> a checked Template, or every fault at once.

Reads files and writes none; imports yaml and pydantic, never torch or pandas.
"""

from hpcexp.template.assemble import apply_dotted
from hpcexp.template.load import load_template
from hpcexp.template.nodes import Source
from hpcexp.template.resource_changes import parse_resource_changes
from hpcexp.template.resources import Resources
from hpcexp.template.schema import build_json_schema
from hpcexp.template.template import Template

__all__ = [
    "Resources",
    "Source",
    "Template",
    "apply_dotted",
    "build_json_schema",
    "load_template",
    "parse_resource_changes",
]
