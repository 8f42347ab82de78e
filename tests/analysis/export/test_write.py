"""An export is written whole or not at all, and replaces nothing but an export."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from hpcexp.analysis import Results
from hpcexp.analysis.export import EXPORTERS
from hpcexp.analysis.export.write import MARK, write_export
from hpcexp.cli.export import KINDS
from hpcexp.errors import HpcexpError, UsageError


def test_the_command_line_offers_every_kind() -> None:
    assert tuple(EXPORTERS) == KINDS


def test_an_older_export_is_replaced_and_nothing_else_is_left(
    results: Results, tmp_path: Path
) -> None:
    first = write_export(results, "csv", directory=tmp_path)
    (first / "old").touch()
    assert write_export(results, "csv", directory=tmp_path) == first
    assert sorted(p.name for p in first.iterdir()) == [MARK, "metrics.csv", "runs.csv"]
    assert [p.name for p in tmp_path.iterdir()] == ["csv"]
    mark = json.loads((first / MARK).read_text())
    assert (mark["experiment"], mark["kind"]) == (results.experiment.name, "csv")


def test_a_directory_of_something_else_is_not_replaced(results: Results, tmp_path: Path) -> None:
    (tmp_path / "csv").mkdir()
    (tmp_path / "csv" / "thesis.csv").touch()
    with pytest.raises(UsageError, match="no export of hpcexp: it is not replaced"):
        write_export(results, "csv", directory=tmp_path)
    assert (tmp_path / "csv" / "thesis.csv").exists()


def test_an_export_that_fails_leaves_the_old_one(
    results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_export(results, "csv", directory=tmp_path)

    def fail(_results: Results, directory: Path) -> None:
        (directory / "half").touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setitem(EXPORTERS, "csv", fail)
    with pytest.raises(HpcexpError, match=r"No space left on device\); choose another place"):
        write_export(results, "csv", directory=tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["csv"]
    assert (tmp_path / "csv" / "runs.csv").exists()


@pytest.mark.parametrize("kind", ["tensorboard", "wandb", "mlflow"])
def test_a_package_that_is_missing_is_named_with_what_to_type(
    results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setitem(sys.modules, kind, None)
    with pytest.raises(UsageError, match=rf"pip install 'hpcexp\[{kind}\]'"):
        write_export(results, kind, directory=tmp_path)
    assert list(tmp_path.iterdir()) == []
