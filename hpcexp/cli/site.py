"""`hpcexp site`, and what commands that submit do with the site."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hpcexp.cli.options import experiments_dir_option, json_option, print_json

if TYPE_CHECKING:
    from hpcexp.site import Site
    from hpcexp.store.layout import ExperimentDir


@click.command()
@json_option
@experiments_dir_option
def site(*, as_json: bool, experiments_dir: Path | None) -> None:
    """Say which site this is, what its settings are, and where each comes from.

    Settings stand in ~/.config/hpcexp/config.toml and in a project's hpcexp.toml, which is looked
    for upwards from here; HPCEXP_* variables go before both, then the template, then the command
    line. docs/sites.md has them all.

    Examples:

    \b
      hpcexp site
      hpcexp site --site garching --json
    """
    from hpcexp.site.check import load_site
    from hpcexp.site.layers import list_sites

    found = load_site()
    if as_json:
        print_json({**site_to_json(found), "sites": list(list_sites(found.documents))})
        return
    click.echo(f"site      {found.name or 'none'} ({found.why})")
    click.echo(f"files     {', '.join(describe_files(found))}")
    if sites := list(list_sites(found.documents)):
        click.echo(f"sites     {', '.join(sites)}")
    rows = list(list_settings(found, experiments_dir=experiments_dir))
    width = max(len(name) for name, _, _ in rows)
    click.echo()
    for name, value, source in rows:
        click.echo(f"{name:<{width}}  {value}  ({source})")


def site_to_json(found: Site) -> dict[str, Any]:
    """What is in force, for scripts."""
    return {
        "site": found.name or None,
        "why": found.why,
        "files": [str(document.path) for document in found.documents],
        "settings": found.settings,
        "sources": found.sources,
    }


def describe_files(found: Site) -> list[str]:
    """The files that were read, and where others would be."""
    from hpcexp.site.document import PROJECT_NAME, find_user_path

    files = [str(document.path) for document in found.documents]
    if all(document.is_project for document in found.documents):
        files.insert(0, f"no {find_user_path()}")
    if not any(document.is_project for document in found.documents):
        files.append(f"no {PROJECT_NAME} here or above")
    return files


def list_settings(
    found: Site, *, experiments_dir: Path | None = None
) -> Iterator[tuple[str, str, str]]:
    """Each setting that is given: its dotted name, its value, and where that stands."""
    if experiments_dir is not None:
        yield "experiments_dir", str(experiments_dir), "--experiments-dir"
    elif "experiments_dir" not in found.sources:
        yield "experiments_dir", "experiments", "default: in the working directory"
    for name, source in found.sources.items():
        value: Any = found.settings
        for part in name.split("."):
            value = value[part]
        if name != "experiments_dir" or experiments_dir is None:
            shown = value if isinstance(value, str) else json.dumps(value, default=str)
            yield name, shown, source


def use_site() -> Site:
    """The site that is in force, checked, with its data cache for what is trained here."""
    from hpcexp.site.check import load_site

    found = load_site()
    if cache_dir := found.get("cache_dir"):
        os.environ["HPCEXP_CACHE_DIR"] = cache_dir
    return found


def use_site_of(experiment: ExperimentDir) -> Mapping[str, Any]:
    """What jobs of an experiment ask for instead of what its launch asked for.

    Nothing, unless a site was named on the command line: then what that one says, with what the
    template gives itself. Says so where this is another site than that of the launch.
    Raises UsageError where a site is named and it is not known what the template gave.
    """
    from hpcexp.cli.options import is_site_named
    from hpcexp.errors import UsageError
    from hpcexp.store.experiment import read_plan

    found = use_site()
    record = read_plan(experiment).site
    launched = record.get("name", "")
    if is_site_named() and (launched != found.name or not record):
        from hpcexp.site.apply import resources_elsewhere

        if not record:
            raise UsageError(
                f"{experiment.name}: was launched without a note of what its template asked for; "
                "leave --site out, and change resources with --set, such as --set partition=gpu"
            )
        return resources_elsewhere(record, found)
    if record and launched != found.name:
        click.echo(
            f"! launched {_spell_site(launched)}, and this is {found.name or 'no named site'}: its "
            "jobs ask for what they asked for there"
            + (f"; --site {found.name} asks for what this site says" if found.name else ""),
            err=True,
        )
    return {}


def _spell_site(name: str) -> str:
    return f"on site {name}" if name else "without a named site"
