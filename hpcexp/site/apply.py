"""What a template leaves out, as the site says it."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Mapping
from typing import Any

from hpcexp.site.layers import ADDED, Site
from hpcexp.template import Resources, Template
from hpcexp.template.notify import Notify


def apply_site(template: Template, site: Site) -> Template:
    """The template with the site's resources and notification where it says nothing itself.

    What the template says wins, but for lists that add up (`setup`, `exclude`): the site's
    items come first. Options of `sbatch` are laid over the site's one by one.
    """
    given = template.resources.model_dump(mode="json", include=template.resources.model_fields_set)
    own_notify = template.notify.model_dump(include=template.notify.model_fields_set)
    resources = make_resources(site)
    return dataclasses.replace(
        template,
        resources=Resources.model_validate(combine(resources, given)),
        notify=Notify.model_validate({**(site.get("notify") or {}), **own_notify}),
        site=make_record(site, resources=resources, given=given),
    )


def make_resources(site: Site) -> dict[str, Any]:
    """What the site says of resources, and its directories as shell lines before a job.

    Directories that the environment names need no line: jobs inherit it.
    """
    lines = []
    if site.get("cache_dir") and not _is_from_environment(site, "cache_dir"):
        lines.append(f"export HPCEXP_CACHE_DIR={shlex.quote(site.get('cache_dir'))}")
    if scratch := site.get("scratch_dir"):
        # In double quotes: the job's own variables are filled in on its node.
        text = scratch.replace("\\", "\\\\").replace('"', '\\"').replace("`", "\\`")
        lines += [f'export TMPDIR="{text}"', 'mkdir -p "$TMPDIR"']
    setup = [*lines, *site.resources.get("setup", [])]
    return {**site.resources, **({"setup": setup} if setup else {})}


def combine(site: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Resources of a site, and over them those that a template gives."""
    merged = {**site, **given}
    for name in ADDED & site.keys() & given.keys():
        merged[name] = [*site[name], *given[name]]
    if "sbatch" in site and "sbatch" in given:
        spelled = {option.replace("_", "-") for option in given["sbatch"]}
        kept = {k: v for k, v in site["sbatch"].items() if k.replace("_", "-") not in spelled}
        merged["sbatch"] = {**kept, **given["sbatch"]}
    return merged


def make_record(
    site: Site, *, resources: Mapping[str, Any], given: Mapping[str, Any]
) -> dict[str, Any]:
    """What an experiment keeps of its site."""
    return {
        "name": site.name,
        "why": site.why,
        "resources": dict(resources),
        "given": dict(given),
        "sources": dict(site.sources),
    }


def resources_elsewhere(record: Mapping[str, Any], site: Site) -> dict[str, Any]:
    """The resources of an experiment as this site would have given them to its template.

    `record` is what the experiment keeps of the site that it was launched on.
    """
    combined = combine(make_resources(site), record.get("given", {}))
    return Resources.model_validate(combined).model_dump(mode="json")


def _is_from_environment(site: Site, name: str) -> bool:
    return site.sources.get(name, "").startswith("$")
