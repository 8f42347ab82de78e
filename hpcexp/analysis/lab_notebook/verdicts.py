"""What the statistics conclude of an experiment, as the notebook shows it."""

from __future__ import annotations

from typing import Any

from hpcexp.errors import HpcexpError
from hpcexp.store.files import read_json
from hpcexp.store.layout import STATISTICS_FILE, ExperimentDir


def read_verdicts(experiment: ExperimentDir) -> tuple[str, ...] | None:
    """Lines such as `supported: 16 and 32 are lower than 128 (p = 0.013)`; None without any.

    They are read, not computed: a notebook of a thousand experiments must not test them all.
    Where runs have changed since, a last line says so.
    """
    path = experiment.plots_dir / STATISTICS_FILE
    if experiment.archive is not None and not path.exists():  # not plotted since
        path = ExperimentDir(experiment.path).plots_dir / STATISTICS_FILE
    try:
        words = _find_words(read_json(path))
        is_old = path.stat().st_mtime < experiment.summary_path.stat().st_mtime
    except (HpcexpError, OSError):
        return None
    if not words:
        return None
    old = (f"runs have changed since this was found: hpcexp plot {experiment.name}",)
    return (*map(_spell, words), *(old if is_old else ()))


def _find_words(content: Any) -> list[str]:
    words = content.get("words") if isinstance(content, dict) else None
    return [word for word in words if isinstance(word, str)] if isinstance(words, list) else []


def _spell(line: str) -> str:
    """The first word, which says how sure it is, is set off by a colon."""
    kind, _, text = line.partition(" ")
    return f"{kind}: {' '.join(text.split())}" if text.strip() else line
