"""Writing the notebook of a directory of experiments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from hpcexp.analysis.lab_notebook.cards import Card
from hpcexp.analysis.lab_notebook.diary import Diary, read_diary
from hpcexp.analysis.lab_notebook.markdown import render_markdown
from hpcexp.analysis.lab_notebook.pages import render_notebook, render_slides
from hpcexp.analysis.lab_notebook.pictures import get_picture
from hpcexp.analysis.lab_notebook.slides import choose_slides
from hpcexp.analysis.lab_notebook.slides_pdf import find_missing_letters, render_pdf
from hpcexp.errors import HpcexpError, UsageError
from hpcexp.store.files import write_bytes
from hpcexp.store.layout import NotebookDir, notebook_dir
from hpcexp.store.notebook.tags import MEETING


@dataclass(frozen=True)
class Written:
    """Files that were written, and what could not be read for them.

    `missing_letters` are those that a PDF cannot show.
    """

    paths: tuple[Path, ...]
    experiments: tuple[str, ...]
    problems: tuple[str, ...]
    missing_letters: str = ""


def write_notebook(
    experiments_dir: Path,
    *,
    outputs: Sequence[Path] = (),
    since: date | None = None,
    until: date | None = None,
    with_pictures: bool = True,
    on_progress: Callable[[int, int], None] = lambda *_: None,
) -> Written:
    """Write the notebook as HTML and Markdown, or to `outputs` (`.html` or `.md`).

    Raises HpcexpError where a file cannot be written.
    """
    place = notebook_dir(experiments_dir)
    diary = read_diary(experiments_dir, since=since, until=until)
    cards = diary.cards if with_pictures else ()
    pictures = collect_pictures(cards, place=place, on_progress=on_progress)
    paths = tuple(outputs) or (place.page_path("html"), place.page_path("md"))
    for path in paths:
        page = _render(diary, pictures, path, experiments_dir=experiments_dir)
        write_page(path, page.encode())
    return Written(paths, tuple(card.name for card in diary.cards), diary.problems)


def write_slides(
    experiments_dir: Path,
    *,
    tag: str = MEETING,
    since: date | None = None,
    outputs: Sequence[Path] = (),
    on_progress: Callable[[int, int], None] = lambda *_: None,
) -> Written:
    """Write the experiments with a tag as slides: HTML and PDF, or to `outputs`.

    Raises UsageError where no experiment is tagged so, HpcexpError where a file cannot be
    written.
    """
    place = notebook_dir(experiments_dir)
    slides = choose_slides(experiments_dir, since=since, tag=tag)
    if not slides.slides:
        when = "" if since is None else f" since {since}"
        raise UsageError(
            f"no experiment in {experiments_dir}/ has a note tagged {tag}{when}: "
            f'hpcexp note EXP_DIR "..." --tag {tag}'
        )
    cards = [slide.card for slide in slides.slides]
    pictures = collect_pictures(cards, place=place, on_progress=on_progress)
    paths = tuple(outputs) or (place.slides_path(tag, "html"), place.slides_path(tag, "pdf"))
    for path in paths:
        if path.suffix == ".pdf":
            content = render_pdf(slides, pictures=pictures)
        else:
            content = render_slides(slides, pictures=pictures).encode()
        write_page(path, content)
    has_pdf = any(path.suffix == ".pdf" for path in paths)
    missing = find_missing_letters(slides) if has_pdf else ""
    return Written(paths, tuple(card.name for card in cards), slides.problems, missing)


def collect_pictures(
    cards: Sequence[Card],
    *,
    place: NotebookDir,
    on_progress: Callable[[int, int], None] = lambda *_: None,
) -> dict[str, bytes]:
    """PNG files of the experiments that have something to draw."""
    pictures = {}
    for number, card in enumerate(cards, start=1):
        picture = get_picture(card, place=place)
        if picture is not None:
            pictures[card.name] = picture
        on_progress(number, len(cards))
    return pictures


def write_page(path: Path, content: bytes) -> None:
    """Write a page whole or not at all, and the directory that it is in.

    Raises HpcexpError where that is not possible.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, content)
    except OSError as error:
        raise HpcexpError(
            f"{path}: cannot be written ({error.strerror}); choose another place with --output"
        ) from error


def _render(diary: Diary, pictures: dict[str, bytes], path: Path, *, experiments_dir: Path) -> str:
    if path.suffix == ".html":
        return render_notebook(diary, title=experiments_dir.resolve().name, pictures=pictures)
    place = notebook_dir(experiments_dir.resolve())
    files = {name: place.figure_path(name) for name in pictures}
    kept = {name: file for name, file in files.items() if file.exists()}
    return render_markdown(diary, pictures=kept, beside=path.resolve().parent)
