"""Final values of eight experiments of a laboratory's notebook, as `import-results` reads them."""

from __future__ import annotations

import json
from pathlib import Path

PATH = Path(__file__).parents[1] / "data" / "notebook_results.json"


def read_values(experiment: str) -> list[list[float]]:
    """The values of each group of the experiment whose name ends so."""
    entries = json.loads(PATH.read_text())
    (entry,) = [e for e in entries if e["experiment"].endswith(experiment)]
    return [group["values"] for group in entry["groups"]]
