"""Which site this is, what is said about it where, and what of that is in force."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from hpcexp.errors import UsageError
from hpcexp.site.document import Document, read_documents

SITE_VARIABLE = "HPCEXP_SITE"
VARIABLES: dict[str, tuple[str, ...]] = {
    "HPCEXP_EXPERIMENTS_DIR": ("experiments_dir",),
    "HPCEXP_CACHE_DIR": ("cache_dir",),
    "HPCEXP_SCRATCH_DIR": ("scratch_dir",),
    "HPCEXP_SSH": ("ssh_command",),
    "HPCEXP_PARTITION": ("resources", "partition"),
    "HPCEXP_ACCOUNT": ("resources", "account"),
    "HPCEXP_QOS": ("resources", "qos"),
    "HPCEXP_CONSTRAINT": ("resources", "constraint"),
    "HPCEXP_MAX_PARALLEL": ("resources", "max_parallel"),
    "HPCEXP_MAX_JOBS": ("resources", "max_jobs"),
    "HPCEXP_NOTIFY_COMMAND": ("notify", "command"),
}
NUMBERS = frozenset({"max_parallel", "max_jobs"})
ADDED = frozenset({"setup", "exclude"})
"""Lists that add up: what prepares a machine, and nodes that are broken."""
DIRECTORIES = ("experiments_dir", "cache_dir")
DEFAULT_EXPERIMENTS_DIR = "experiments"

# Of a file: which sites there are, and which one it is, is no setting of a site.
NO_SETTINGS = frozenset({"sites", "site", "hosts"})

Table = tuple[Document, Mapping[str, Any]]
"""A table about a site, and the file that it stands in."""


@dataclass(frozen=True)
class Site:
    """What is in force here.

    `name` is empty where no named site was chosen, `why` says how it was. `settings` are nested as
    in the files; `sources` name, for each dotted name, where its value stands.
    """

    name: str = ""
    why: str = "no site is named"
    settings: Mapping[str, Any] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)
    documents: tuple[Document, ...] = ()

    def get(self, name: str) -> Any:
        """A setting by its name, None where it is not given."""
        return self.settings.get(name)

    @property
    def resources(self) -> Mapping[str, Any]:
        """What jobs ask for where their template does not say."""
        resources = self.settings.get("resources")
        return resources if isinstance(resources, Mapping) else {}


def choose_site(name: str | None = None) -> Site:
    """The site by `name`, else by `HPCEXP_SITE`, the host's name or `site` of the files.

    Values are as they stand in the files: `check` says whether they make sense.
    Raises UsageError for a name that no file has, TemplateError for a file that is no TOML.
    """
    documents = read_documents()
    chosen, why = _choose_name(documents, name)
    return _merge(documents, chosen, why)


def find_experiments_dir() -> Path:
    """Where experiments are: as the environment, the project or the user says, else `experiments`.

    Raises as `choose_site` does, and UsageError for what is no directory's name.
    """
    given = os.environ.get("HPCEXP_EXPERIMENTS_DIR")
    if given:  # without a look at any file
        return Path(given)
    found = choose_site().get("experiments_dir")
    if found is not None and not isinstance(found, str):
        raise UsageError(f"experiments_dir: {found!r:.60} is no path; write a text in quotes")
    return Path(found or DEFAULT_EXPERIMENTS_DIR)


def list_sites(documents: Sequence[Document]) -> dict[str, list[Table]]:
    """Each named site, and the tables about it, the user's before the project's."""
    found: dict[str, list[Table]] = {}
    for document in documents:
        sites = document.values.get("sites", {})
        for name, table in sites.items() if isinstance(sites, Mapping) else ():
            if isinstance(table, Mapping):
                found.setdefault(name, []).append((document, table))
    return found


def _choose_name(documents: Sequence[Document], given: str | None) -> tuple[str, str]:
    sites = list_sites(documents)
    by_variable = os.environ.get(SITE_VARIABLE, "")
    if given or by_variable:
        how = "--site" if given else SITE_VARIABLE
        return _check_name(given or by_variable, sites, how), f"chosen by {how}"
    host = socket.gethostname()
    for name, tables in sites.items():
        for document, table in tables:
            pattern = _find_pattern(table, host)
            if pattern:
                where = document.spell_source(("sites", name, "hosts"))
                return name, f"this host, {host}, is like {pattern} ({where})"
    for document in reversed(documents):
        default = document.values.get("site")
        if isinstance(default, str):
            where = document.spell_source(("site",))
            return _check_name(default, sites, where), f"no host is like {host}; {where} names it"
    if not sites:
        return "", "no site is named"
    return "", f"this host, {host}, is like that of none of: {', '.join(sites)}"


def _find_pattern(table: Mapping[str, Any], host: str) -> str:
    hosts = table.get("hosts", [])
    patterns = [p for p in hosts if isinstance(p, str)] if isinstance(hosts, list) else []
    names = (host, host.partition(".")[0])
    return next((p for p in patterns if any(fnmatchcase(n, p) for n in names)), "")


def _check_name(name: str, sites: Mapping[str, Any], how: str) -> str:
    if name in sites:
        return name
    from difflib import get_close_matches

    if not sites:
        raise UsageError(
            f"{how}: no such site: {name}; no file names any: hpcexp site says where they are read"
        )
    near = get_close_matches(name, sites, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(sites)}"
    raise UsageError(f"{how}: no such site: {name}; {hint}")


def _merge(documents: Sequence[Document], name: str, why: str) -> Site:
    settings: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for document in documents:
        general = {k: v for k, v in document.values.items() if k not in NO_SETTINGS}
        _lay(settings, sources, _expand(general, document), lambda n, d=document: d.spell_source(n))
        sites = document.values.get("sites", {})
        table = sites.get(name, {}) if isinstance(sites, Mapping) else {}
        if isinstance(table, Mapping):
            own = {k: v for k, v in table.items() if k not in NO_SETTINGS}
            spell = lambda n, d=document: d.spell_source(("sites", name, *n))  # noqa: E731
            _lay(settings, sources, _expand(own, document), spell)
    for variable, names, value in list_environment():
        nested: Any = value
        for part in reversed(names):
            nested = {part: nested}
        _lay(settings, sources, nested, lambda _, v=variable: f"${v}")
    return Site(name, why, settings, sources, tuple(documents))


def list_environment() -> Iterator[tuple[str, tuple[str, ...], Any]]:
    """The variables that are set: their names, what they set, and the value."""
    for variable, names in VARIABLES.items():
        text = os.environ.get(variable, "")
        if text:
            is_number = names[-1] in NUMBERS and text.isdecimal()
            yield variable, names, int(text) if is_number else text


def _lay(
    base: dict[str, Any], sources: dict[str, str], over: Mapping[str, Any], spell: Any
) -> None:
    """Lay settings over others: tables name by name, lists that add up, else the later one."""

    def lay(base: dict[str, Any], over: Mapping[str, Any], names: tuple[str, ...]) -> None:
        for key, value in over.items():
            place = (*names, key)
            dotted = ".".join(place)
            if isinstance(value, Mapping):
                inner = base.get(key)
                base[key] = dict(inner) if isinstance(inner, Mapping) else {}
                lay(base[key], value, place)
            elif key in ADDED and isinstance(value, list) and isinstance(base.get(key), list):
                base[key] = [*base[key], *value]
                sources[dotted] = f"{sources[dotted]} and {spell(place)}"
            else:
                base[key], sources[dotted] = value, spell(place)

    lay(base, over, ())


def _expand(values: Mapping[str, Any], document: Document) -> dict[str, Any]:
    """Directories with `~` and variables filled in; the project's count from its file."""
    expanded = dict(values)
    for name in DIRECTORIES:
        text = values.get(name)
        if isinstance(text, str) and text:
            path = Path(os.path.expandvars(text)).expanduser()
            expanded[name] = str(document.path.parent / path if document.is_project else path)
    return expanded
