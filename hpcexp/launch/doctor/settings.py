"""The settings of the site: which count, where they stand, and what is wrong with them."""

from __future__ import annotations

from hpcexp.errors import HpcexpError
from hpcexp.launch.doctor.findings import Report, error, passed
from hpcexp.site import Site
from hpcexp.site.check import load_site

CHECK = "site"


def examine_settings() -> tuple[Report, Site]:
    """What is in force, and the site; an empty one where its files have faults."""
    try:
        site = load_site()
    except HpcexpError as problem:
        first, *others = str(problem).splitlines()
        advice = "mend the files that are named; until then commands that read them are refused"
        return Report((error(CHECK, first, todo=advice, details=others),)), Site()
    details = []
    for name, source in site.sources.items():
        value: object = site.settings
        for part in name.split("."):
            value = value[part] if isinstance(value, dict) else value
        details.append(f"{name} = {value}  ({source})")
    found = f"{site.name or 'no name'}: {site.why}"
    return Report((passed(CHECK, found, details=details),)), site
