"""Configuration files against what may stand in them: every fault, with its line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from hpcexp.errors import Problem, TemplateError
from hpcexp.site.document import Document
from hpcexp.site.layers import (
    DIRECTORIES,
    Site,
    choose_site,
    list_environment,
)
from hpcexp.template.faults import find_faults
from hpcexp.template.notify import Notify
from hpcexp.template.resources import Line, Resources

NOUN = "setting of a site"


class Settings(BaseModel):
    """What a file says for every site."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    experiments_dir: Line | None = Field(default=None, description="Where experiments are.")
    cache_dir: Line | None = Field(default=None, description="Where data sets are kept.")
    scratch_dir: Line | None = Field(
        default=None,
        description="Where jobs keep what they need only while they run; may hold variables of "
        "the job, such as /local/$SLURM_JOB_ID.",
    )
    ssh_command: Line | None = Field(
        default=None, description="The command by which pull and push reach other machines."
    )
    resources: Resources = Field(
        default_factory=Resources, description="What jobs ask for where a template does not say."
    )
    notify: Notify = Field(default_factory=Notify, description="Whom to tell at the end.")


class NamedSite(Settings):
    """What a file says about one site."""

    hosts: list[Line] = Field(
        default=[], description="Patterns of the names of its login nodes, such as login*."
    )
    ssh: Line | None = Field(
        default=None, description="How ssh reaches it, such as me@login.example, for pull and push."
    )


class Config(Settings):
    """A whole file."""

    site: Line | None = Field(
        default=None, description="The site, where no site's hosts are like this one."
    )
    sites: dict[str, NamedSite] = Field(default_factory=dict, description="Named sites.")


def load_site(name: str | None = None) -> Site:
    """The site that is in force, after a look at all that the files and the environment say.

    Raises TemplateError with every fault, UsageError for the name of a site that there is not.
    """
    site = choose_site(name)
    problems = [p for document in site.documents for p in find_problems(document)]
    problems += _check_environment()
    # Only of the site that counts: another machine has other variables.
    problems += [
        Problem(site.sources[name], None, name, f"{text} names a variable that is not set here")
        for name in DIRECTORIES
        if isinstance(text := site.get(name), str) and "$" in text
    ]
    if problems:
        raise TemplateError(problems)
    return site


def find_problems(document: Document) -> list[Problem]:
    """Every fault of a file."""
    values = dict(document.values)
    sites = values.pop("sites", {})
    if not isinstance(sites, Mapping):
        return [document.problem(("sites",), "must hold tables; write [sites.NAME]")]
    problems = list(_check_table(document, Config, values, ()))
    for name, table in sites.items():
        if isinstance(table, Mapping):
            problems += _check_table(document, NamedSite, table, ("sites", name))
        else:
            problems.append(document.problem(("sites", name), f"write [sites.{name}]"))
    return sorted(problems, key=lambda problem: problem.line or 0)


def _check_table(
    document: Document,
    model: type[BaseModel],
    values: Mapping[str, Any],
    place: tuple[str, ...],
) -> Iterator[Problem]:
    for fault in find_faults(model, dict(values), noun=NOUN):
        yield document.problem((*place, *map(str, fault.names)), fault.message)
    for name in DIRECTORIES:
        text = values.get(name)
        if isinstance(text, str) and (message := _explain_directory(text, document)):
            yield document.problem((*place, name), message)


def _explain_directory(text: str, document: Document) -> str:
    starts_elsewhere = text.startswith(("/", "~", "$"))
    if not document.is_project and not starts_elsewhere:
        return f"{text} depends on where you are; write a whole path, or one that begins with ~"
    return ""


def _check_environment() -> list[Problem]:
    problems = []
    for variable, names, value in list_environment():
        nested: Any = value
        for part in reversed(names):
            nested = {part: nested}
        problems += [
            Problem("environment", None, variable, fault.message)
            for fault in find_faults(Config, nested, noun=NOUN)
        ]
    return problems
