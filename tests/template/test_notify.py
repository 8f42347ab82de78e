from __future__ import annotations

from pathlib import Path

import pytest

from hpcexp.errors import TemplateError
from hpcexp.template import load_template


def write(tmp_path: Path, notify: str) -> Path:
    path = tmp_path / "t.yaml"
    path.write_text(f"workload: sps\nnotify: {notify}\n")
    return path


def test_a_command_and_an_address_are_kept(tmp_path: Path) -> None:
    path = write(tmp_path, '{command: "echo done", webhook: "$LAB_WEBHOOK"}')
    notify = load_template(path).notify
    assert (notify.command, notify.webhook) == ("echo done", "$LAB_WEBHOOK")


def test_nobody_is_told_unless_asked(tmp_path: Path) -> None:
    notify = load_template(write(tmp_path, "null")).notify
    assert (notify.command, notify.webhook) == (None, None)


@pytest.mark.parametrize(
    ("notify", "message"),
    [
        ("{webhook: lab.example/hook}", "'lab.example/hook' is no address; write https://"),
        ('{command: " "}', "write one shell line"),
        ("{mail: me}", "no such way to notify"),
    ],
)
def test_what_cannot_be_done_is_told_with_its_line(
    tmp_path: Path, notify: str, message: str
) -> None:
    with pytest.raises(TemplateError) as caught:
        load_template(write(tmp_path, notify))
    assert "line 2" in str(caught.value)
    assert message in str(caught.value)
