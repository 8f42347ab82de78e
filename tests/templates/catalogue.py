"""The templates that can be launched, and what their comments and the notebook say of them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

PROJECT_DIR = Path(__file__).parents[2]
TEMPLATES_DIR = PROJECT_DIR / "templates"
FACTS_PATH = PROJECT_DIR / "tests" / "data" / "notebook_experiments.json"


@dataclass(frozen=True)
class Fact:
    """What is known of one experiment of the notebook."""

    experiment: str
    template: str
    num_groups: int
    rand_inits: int
    varied: frozenset[str]

    @property
    def name(self) -> str:
        """Its name without date and time."""
        return re.sub(r"^.*@\d\d_\d\d_\d\d_", "", self.experiment)


def list_facts() -> list[Fact]:
    """The 87 experiments of the notebook from 22 October to 18 December 2022."""
    rows = json.loads(FACTS_PATH.read_text())
    return [Fact(**{**row, "varied": frozenset(row["varied"])}) for row in rows]


def list_templates() -> list[str]:
    """Names of all the templates but those to extend: `tr`, `open/one_dim`, ..."""
    paths = sorted(TEMPLATES_DIR.rglob("*.yaml"))
    names = [path.relative_to(TEMPLATES_DIR).with_suffix("").as_posix() for path in paths]
    return [name for name in names if not name.startswith("base/")]


def list_notebook() -> list[str]:
    """Names of the templates of the notebook's experiments."""
    return [name for name in list_templates() if "/" not in name and name != "quickstart"]


def list_open() -> list[str]:
    """Names of the templates of the notebook's open list."""
    return [name for name in list_templates() if name.startswith("open/")]


def get_path(name: str) -> Path:
    """The file of a template."""
    return TEMPLATES_DIR / f"{name}.yaml"


def read_remark(name: str, *, about: str) -> str:
    """What a template's comments say `about` one of: Run on, Open on, Concluded, Flaw."""
    lines = [
        line.removeprefix("# ")
        for line in get_path(name).read_text().splitlines()
        if line.startswith("# ")
    ]
    remarks = re.split(r"\n(?=(?:Run on|Open on|Concluded:|Flaws?:))", "\n".join(lines))
    found = [text for text in remarks if text.startswith(about)]
    return " ".join(found[0].split()) if found else ""
