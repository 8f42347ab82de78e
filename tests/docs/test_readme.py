"""Every command of the README works as it stands."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.docs.snippets import PROJECT_DIR, make_place, read_snippets, run_snippet

README = PROJECT_DIR / "README.md"


@pytest.mark.timeout(300)
def test_the_commands_and_the_code_of_the_readme_run_in_their_order(tmp_path: Path) -> None:
    snippets = read_snippets(README)
    assert len(snippets) >= 9
    place = make_place(tmp_path)
    outputs = [
        run_snippet(snippet, directory=place)
        for snippet in snippets
        if not snippet.text.startswith("make ")
    ]
    assert "encoder_batch_norm=true" in outputs[-1]


def test_the_make_targets_of_the_readme_exist() -> None:
    targets = [s.text.split()[1] for s in read_snippets(README) if s.text.startswith("make ")]
    assert targets == ["demo", "test"]
    for target in targets:
        done = subprocess.run(
            ["make", "--dry-run", target], cwd=PROJECT_DIR, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr


def test_every_link_of_the_documentation_leads_to_a_file() -> None:
    import re

    pages = [README, PROJECT_DIR / "CHANGELOG.md", *(PROJECT_DIR / "docs").rglob("*.md")]
    broken = [
        f"{page.name}: {target}"
        for page in pages
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
        if not (page.parent / target).exists()
    ]
    assert broken == []
