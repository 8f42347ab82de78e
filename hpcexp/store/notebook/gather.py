"""All that was written about experiments: their own notes, and remarks of imported notebooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hpcexp.store.layout import ExperimentDir
from hpcexp.store.notebook.imported import ImportedNotebook, find_remarks, read_imported
from hpcexp.store.notebook.notes import Note, Notes, read_notes


@dataclass(frozen=True)
class Writings:
    """What imported notebooks say, by the experiment's name; `problems` is what is unreadable."""

    notebooks: tuple[ImportedNotebook, ...]
    remarks: Mapping[str, Sequence[Note]]
    problems: tuple[str, ...]

    def about(self, experiment: ExperimentDir) -> Notes:
        """The notes on an experiment and what notebooks say of it, by date."""
        notes = read_notes(experiment)
        remarks = self.remarks.get(experiment.name, ())
        ordered = sorted([*remarks, *notes.notes], key=_sort_key)
        return Notes(tuple(ordered), notes.problems)


def read_writings(experiments_dir: Path) -> Writings:
    """Read the notebooks that were imported into a directory of experiments."""
    notebooks, problems = read_imported(experiments_dir)
    remarks: dict[str, list[Note]] = {}
    for notebook in notebooks:
        for name, found in find_remarks(notebook).items():
            remarks.setdefault(name, []).extend(found)
    return Writings(tuple(notebooks), remarks, tuple(problems))


def read_all_notes(experiment: ExperimentDir) -> Notes:
    """All that was written about one experiment."""
    writings = read_writings(experiment.place.parent)
    notes = writings.about(experiment)
    return Notes(notes.notes, (*notes.problems, *writings.problems))


def _sort_key(note: Note) -> tuple[str, str]:
    """By day, then by time: a remark, which has only a day, comes first."""
    return (note.created[:10] or "9999", note.created)
