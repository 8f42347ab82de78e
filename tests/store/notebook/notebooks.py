"""Notebooks of the laboratory's format: one of our own, and one that the environment names."""

from __future__ import annotations

import os
from pathlib import Path

OWN_PATH = Path(__file__).parents[2] / "data" / "laboratory_notebook.txt"
NOTEBOOKS = [OWN_PATH, *(Path(p) for p in [os.environ.get("HPCEXP_LABORATORY_NOTEBOOK")] if p)]


def read_exactly(path: str | Path) -> str:
    """The text with its ends of lines as they are."""
    return Path(path).read_bytes().decode()
