from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator

import pandas as pd
import pytest

from hpcexp.analysis.figures import beside
from hpcexp.analysis.figures.beside import render_drawings
from hpcexp.analysis.figures.drawing import Drawing, render_drawing
from hpcexp.analysis.figures.page import make_figure

LABELS = ("a", "b", "c", "d", "e")


def draw(label: str) -> Drawing:
    figure, (ax,) = make_figure(axes_width=2, axes_height=1)
    ax.plot(range(5), label=label)
    ax.set_title(label)
    return Drawing(label, figure, pd.DataFrame({"label": [label]}))


def draw_all() -> Iterator[tuple[str, Drawing]]:
    return ((label, draw(label)) for label in LABELS)


@pytest.fixture
def two_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """And no thread but this one, as far as anybody can tell: those that run tests have some."""
    monkeypatch.setattr(beside, "count_cpus", lambda: 2)
    monkeypatch.setattr(threading, "active_count", lambda: 1)


def render_here(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, bytes]]]:
    with monkeypatch.context() as patch:
        patch.setattr(beside, "count_cpus", lambda: 1)
        return list(render_drawings(draw_all()))


def tell_process(_: Drawing) -> dict[str, bytes]:
    return {"pid": str(os.getpid()).encode()}


@pytest.mark.usefixtures("two_cpus")
def test_other_processes_render_the_same_bytes_in_the_same_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here = render_here(monkeypatch)
    assert [label for label, _ in here] == list(LABELS)
    monkeypatch.setattr(beside, "render_drawing", lambda d: render_drawing(d) | tell_process(d))
    there = list(render_drawings(draw_all()))
    processes = {int(files.pop("pid")) for _, files in there}
    assert there == here
    assert len(processes - {os.getpid()}) == len(LABELS)
    assert not multiprocessing.active_children()


@pytest.mark.usefixtures("two_cpus")
def test_there_are_no_more_processes_at_once_than_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    def render_slowly(_: Drawing) -> dict[str, bytes]:
        time.sleep(0.2)
        return {}

    def watch() -> Iterator[tuple[str, Drawing]]:
        for labelled in draw_all():
            counts.append(len(multiprocessing.active_children()))
            yield labelled

    counts: list[int] = []
    monkeypatch.setattr(beside, "render_drawing", render_slowly)
    assert len(list(render_drawings(watch()))) == len(LABELS)
    assert max(counts) == 2


@pytest.mark.usefixtures("two_cpus")
def test_what_a_lost_process_should_have_rendered_is_rendered_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here, own = render_here(monkeypatch), os.getpid()

    def be_killed(drawing: Drawing) -> dict[str, bytes]:
        if os.getpid() != own and drawing.stem == "c":
            os.kill(os.getpid(), signal.SIGKILL)
        return render_drawing(drawing)

    monkeypatch.setattr(beside, "render_drawing", be_killed)
    assert list(render_drawings(draw_all())) == here


@pytest.mark.usefixtures("two_cpus")
def test_an_error_of_rendering_is_raised_here(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(drawing: Drawing) -> dict[str, bytes]:
        raise ValueError(f"no ink for {drawing.stem}")

    monkeypatch.setattr(beside, "render_drawing", fail)
    with pytest.raises(ValueError, match="no ink for a"):
        list(render_drawings(draw_all()))
    assert not multiprocessing.active_children()


@pytest.mark.usefixtures("two_cpus")
def test_ctrl_c_leaves_no_process() -> None:
    def interrupt() -> Iterator[tuple[str, Drawing]]:
        yield "a", draw("a")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(render_drawings(interrupt()))
    assert not multiprocessing.active_children()


def test_beside_threads_all_is_rendered_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beside, "count_cpus", lambda: 2)
    monkeypatch.setattr(beside, "render_drawing", tell_process)
    leave = threading.Event()
    thread = threading.Thread(target=leave.wait)
    thread.start()
    try:
        rendered = list(render_drawings(draw_all()))
    finally:
        leave.set()
        thread.join()
    assert {int(files["pid"]) for _, files in rendered} == {os.getpid()}
