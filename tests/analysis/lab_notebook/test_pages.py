"""Pages are self-contained, escape what people wrote, and show figures."""

from __future__ import annotations

import base64
import io
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from hpcexp.analysis.lab_notebook.diary import read_diary
from hpcexp.analysis.lab_notebook.pages import render_notebook
from hpcexp.analysis.lab_notebook.pictures import get_picture
from hpcexp.analysis.lab_notebook.write import write_notebook
from hpcexp.errors import HpcexpError
from hpcexp.store.layout import ExperimentDir, notebook_dir
from hpcexp.store.status import State
from tests.analysis.builder import Fate, build_experiment
from tests.analysis.lab_notebook.conftest import HOSTILE, WIDE
from tests.analysis.lab_notebook.text_of import read_html, read_markdown

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def test_what_people_wrote_is_text_in_both_kinds_of_page(experiments_dir: Path) -> None:
    html_path, markdown_path = write_notebook(experiments_dir, with_pictures=False).paths
    page = html_path.read_text()
    assert "<script>alert" not in page
    assert read_html(page).count(HOSTILE) == 2  # on the day of the note, and with the experiment
    assert read_markdown(markdown_path.read_text()).count(HOSTILE) == 2


def test_a_page_needs_nothing_but_itself(experiments_dir: Path) -> None:
    page = write_notebook(experiments_dir).paths[0].read_text()
    addresses = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert addresses
    assert {a for a in addresses if not a.startswith(("#", "data:"))} == set()
    assert "@import" not in page
    assert "url(" not in page


def test_every_link_within_the_page_leads_somewhere(experiments_dir: Path) -> None:
    page = write_notebook(experiments_dir, with_pictures=False).paths[0].read_text()
    targets = set(re.findall(r'href="#([^"]*)"', page))
    assert targets == {WIDE}
    assert targets <= set(re.findall(r'id="([^"]*)"', page))


def test_the_figure_is_part_of_the_page_and_beside_the_markdown(experiments_dir: Path) -> None:
    html_path, markdown_path = write_notebook(experiments_dir).paths
    (encoded,) = re.findall(r'src="data:image/png;base64,([^"]+)"', html_path.read_text())
    with Image.open(io.BytesIO(base64.b64decode(encoded))) as image:
        assert image.width > 500
    assert 'alt="Boxplots of the final linear projection MSE' in html_path.read_text()
    (link,) = re.findall(r"!\[.*\]\((.*)\)", markdown_path.read_text())
    assert (markdown_path.parent / link).is_file()


def test_a_figure_is_drawn_once_and_again_when_runs_have_changed(experiments_dir: Path) -> None:
    (card,) = read_diary(experiments_dir).cards
    place = notebook_dir(experiments_dir)
    drawn = get_picture(card, place=place)
    place.figure_path(WIDE).write_bytes(b"kept")
    assert get_picture(card, place=place) == b"kept"
    summary = ExperimentDir(experiments_dir / WIDE).summary_path
    summary.write_bytes(summary.read_bytes())
    assert get_picture(card, place=place) == drawn


def test_an_experiment_that_has_recorded_nothing_has_no_figure(tmp_path: Path) -> None:
    build_experiment(tmp_path, {"lr": [0.1]}, fate=lambda _: Fate(state=State.PENDING))
    (card,) = read_diary(tmp_path).cards
    assert card.results == ()
    assert get_picture(card, place=notebook_dir(tmp_path)) is None
    page = render_notebook(read_diary(tmp_path), title="tests", pictures={})
    assert "3 pending" in page
    assert "<table" not in page


def test_a_place_that_cannot_be_written_is_an_error(experiments_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(HpcexpError, match="choose another place with --output"):
        write_notebook(experiments_dir, outputs=[tmp_path / "file" / "n.html"])


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_a_real_browser_opens_the_page_and_its_search_hides_what_does_not_match(
    experiments_dir: Path, tmp_path: Path
) -> None:
    path = tmp_path / "n.html"
    write_notebook(experiments_dir, outputs=[path], with_pictures=False)
    type_it = "<script>words.value = 'TABS'; words.dispatchEvent(new Event('input'))</script>"
    path.write_text(path.read_text().replace("</body>", f"{type_it}</body>"))
    assert CHROMIUM is not None
    done = subprocess.run(
        [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr",
         f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", path.as_uri()],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    articles = re.findall(r"<article[^>]*>", done.stdout)
    assert len(articles) > 5
    assert sum("hidden" not in article for article in articles) == 1
    assert "1 of" in done.stdout
    assert "CONSOLE" not in done.stderr
