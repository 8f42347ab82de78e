"""Drawing what changed: a figure whose files are there, of the same results, is not drawn again.

Beside the figures stands what each was drawn of, as a digest, and the digests of its files: a file
that is gone or was changed is drawn again, as is everything when hpcexp's code, matplotlib, its
settings or the fonts change. Results whose files' fingerprint is not known are always drawn.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib as mpl

import hpcexp
from hpcexp.analysis.figures import FIGURES
from hpcexp.analysis.figures.beside import render_drawings
from hpcexp.analysis.figures.drawing import collect_text, write_files
from hpcexp.analysis.figures.fonts import using_fonts_for
from hpcexp.analysis.figures.media import Medium
from hpcexp.analysis.frames import Results
from hpcexp.errors import HpcexpError
from hpcexp.store.files import read_json, write_json

_Drawn = dict[str, Any]


def draw_figures(results: Results, names: Sequence[str], *, medium: Medium) -> tuple[Path, ...]:
    """The files of figures, PDF, PNG and CSV of each; those that are out of date are drawn."""
    directory = results.experiment.plots_dir / medium.folder
    record_path = results.experiment.drawn_path(medium.folder)
    before = _read_record(record_path)
    after, written = dict(before), list[Path]()
    with using_fonts_for(collect_text(results.plan, results.group_axis)):
        digest = _digest_inputs(results, medium)
        found = {name: _find_unchanged(before.get(name), digest, directory) for name in names}
        outdated = [name for name, hashes in found.items() if hashes is None]
        drawn = _draw(outdated, results, medium=medium, directory=directory)
        for name, hashes in found.items():
            hashes = drawn[name] if hashes is None else hashes
            written += [directory / file for file in hashes]
            if digest is not None:
                after[name] = {"of": digest, "files": hashes}
    if after != before:
        with suppress(OSError):  # then all is drawn again next time
            record_path.parent.mkdir(parents=True, exist_ok=True)
            write_json(record_path, after)
    return tuple(written)


def _draw(
    names: Sequence[str], results: Results, *, medium: Medium, directory: Path
) -> dict[str, dict[str, str]]:
    """The digests of figures' files by name: of what was written, whoever else writes there."""
    hashes: dict[str, dict[str, str]] = {name: {} for name in names}
    drawings = ((name, made) for name in names for made in FIGURES[name](results, medium=medium))
    for name, files in render_drawings(drawings):
        write_files(files, plots_dir=directory)
        hashes[name] |= {file: hash_bytes(content) for file, content in files.items()}
    return hashes


def hash_bytes(content: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def _find_unchanged(drawn: Any, digest: str | None, directory: Path) -> dict[str, str] | None:
    """The files of a figure by name, if they are what was drawn of the same results."""
    if digest is None or not isinstance(drawn, Mapping) or drawn.get("of") != digest:
        return None
    files: dict[str, str] = drawn["files"]
    try:
        found = {name: hash_bytes((directory / name).read_bytes()) for name in files}
    except OSError:
        return None
    return files if found == files else None


def _digest_inputs(results: Results, medium: Medium) -> str | None:
    """Of all that a figure may show or depend on."""
    if results.rows.fingerprint is None:
        return None
    inputs = (
        results.rows.fingerprint,
        results.experiment.name,
        results.plan,
        results.metric,
        results.runs.to_dict("list"),
        results.baselines,
        medium,
        _digest_code(),
        {name: mpl.rcParams[name] for name in sorted(mpl.rcParams) if "backend" not in name},
    )
    return hash_bytes(repr(inputs).encode(errors="backslashreplace"))


@cache
def _digest_code() -> str:
    """Of the versions of what draws; in a checkout the code changes under the same version."""
    root = Path(hpcexp.__file__).parent
    files = [(str(p), (s := p.stat()).st_size, s.st_mtime_ns) for p in sorted(root.rglob("*.py"))]
    return hash_bytes(repr((mpl.__version__, files)).encode())


def _read_record(path: Path) -> _Drawn:
    with suppress(HpcexpError):
        record = read_json(path)
        if isinstance(record, dict) and all(_is_entry(entry) for entry in record.values()):
            return record
    return {}


def _is_entry(entry: Any) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("files"), dict)
