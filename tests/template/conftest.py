"""Template files in a temporary folder, and the faults found in them."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hpcexp.errors import TemplateError
from hpcexp.template import Template, load_template

Write = Callable[..., Path]
Load = Callable[..., Template]
Faults = Callable[..., list[str]]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Write a template; the current folder is the one that holds it."""
    monkeypatch.chdir(tmp_path)

    def write_file(text: str | bytes, name: str = "t.yaml") -> Path:
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        content = text if isinstance(text, bytes) else textwrap.dedent(text).encode()
        path.write_bytes(content)
        return path

    return write_file


@pytest.fixture
def load(write: Write) -> Load:
    """Write a template and load it."""

    def load_text(text: str, **options: Any) -> Template:
        return load_template(write(text), **options)

    return load_text


@pytest.fixture
def faults(write: Write) -> Faults:
    """Write a template, and list its faults as `FILE:LINE WHERE: MESSAGE`."""

    def list_faults(text: str | bytes, **options: Any) -> list[str]:
        with pytest.raises(TemplateError) as caught:
            load_template(write(text), **options)
        assert caught.value.exit_code == 2
        return [
            f"{problem.path}:{problem.line or ''} {problem.where}: {problem.message}"
            for problem in caught.value.problems
        ]

    return list_faults
