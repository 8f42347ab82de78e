"""Self-contained HTML pages: they need no network and open from the disk."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from hpcexp.analysis.lab_notebook.diary import Diary, nest_text
from hpcexp.analysis.lab_notebook.slides import Slides


def render_notebook(diary: Diary, *, title: str, pictures: Mapping[str, bytes]) -> str:
    """The notebook as HTML; `pictures` are PNG files by experiment."""
    return render_page(
        "notebook.html.j2",
        diary=diary,
        title=title,
        pictures=encode_pictures(pictures),
        known={card.name for card in diary.cards},
    )


def render_slides(slides: Slides, *, pictures: Mapping[str, bytes]) -> str:
    """Slides as HTML; `pictures` are PNG files by experiment."""
    return render_page("slides.html.j2", slides=slides, pictures=encode_pictures(pictures))


def render_page(template: str, **values: Any) -> str:
    """A template of this package; everything that people wrote is escaped."""
    return _make_environment().get_template(template).render(**values)


def encode_pictures(pictures: Mapping[str, bytes]) -> dict[str, str]:
    """Pictures as text for `data:` addresses."""
    return {name: base64.b64encode(png).decode() for name, png in pictures.items()}


@cache
def _make_environment() -> Environment:
    loader = PackageLoader("hpcexp.analysis.lab_notebook")
    environment = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["css"] = loader.get_source(environment, "base.css")[0]
    environment.globals["nest"] = nest_text
    return environment
