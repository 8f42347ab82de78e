"""The command line in this process: as `hpcexp ...`, without the seconds that imports take."""

from __future__ import annotations

import os
import traceback
from pathlib import Path

import pytest
from click.testing import CliRunner

from hpcexp.cli.app import app
from hpcexp.errors import HpcexpError


def type_here(*arguments: str, exit_code: int = 0, answer: str = "") -> str:
    """What a command prints in the working directory; variables that it sets are put back."""
    before = dict(os.environ)
    try:
        result = CliRunner().invoke(app, arguments, input=answer, prog_name="hpcexp")
    finally:
        os.environ.clear()
        os.environ.update(before)
    said, code = result.output, result.exit_code
    if isinstance(result.exception, HpcexpError):
        said, code = f"{said}{result.exception}\n", result.exception.exit_code
    elif result.exception and not isinstance(result.exception, SystemExit):
        said += "".join(traceback.format_exception(result.exception))
    assert code == exit_code, f"{code}\n{said}"
    return said


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
