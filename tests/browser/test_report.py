"""The report in a real browser: opened from the disk, pointed at, typed at, printed."""

from __future__ import annotations

import itertools
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.analysis.report.colour_science import measure_contrast
from tests.browser.chromium import Browser, Page
from tests.browser.conftest import QUESTION

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]

POINT = '#boxplot .point[class~="{kind}"]'


def read_tip(page: Page) -> str:
    """What is said beside the pointer; empty where nothing is."""
    return str(page.run("tip.hidden ? '' : [...tip.children].map(c => c.textContent).join('\\n')"))


def list_overlaps(page: Page, selector: str) -> list[str]:
    """Texts whose boxes cover one another, of those that stand upright."""
    boxes: list[dict[str, Any]] = page.run(
        f"[...document.querySelectorAll('{selector}')].filter(t => !t.getAttribute('transform'))"
        ".map(t => { const b = t.getBoundingClientRect(); return {"
        "text: t.textContent, l: b.left + 1, r: b.right - 1, t: b.top + 2, b: b.bottom - 2} })"
    )
    return [
        f"{a['text']} / {b['text']}"
        for a, b in itertools.combinations(boxes, 2)
        if a["l"] < b["r"] and b["l"] < a["r"] and a["t"] < b["b"] and b["t"] < a["b"]
    ]


# ------------------------------------------------------------------------ opened


def test_it_opens_from_the_disk_without_a_complaint_or_a_request(
    page: Page, report_path: Path
) -> None:
    assert page.complaints == []
    outside = [url for url in page.requests if not url.startswith("data:")]
    assert outside == [report_path.resolve().as_uri()]
    assert page.run("document.querySelector('h1').textContent") == QUESTION
    assert page.run("document.querySelectorAll('h1 b, .note i').length") == 0  # words, not markup


def test_a_page_that_complains_is_noticed(page: Page) -> None:
    page.run("console.error('a fault')")
    page.run("setTimeout(() => { throw new Error('another') })")
    page.run("fetch('http://127.0.0.1:9/').catch(() => 0)")  # forbidden by the page itself
    assert len(page.complaints) >= 3


def test_verdicts_come_before_results_and_warnings_are_among_them(page: Page) -> None:
    sections = page.run("[...document.querySelectorAll('main > section')].map(s => s.id)")
    assert sections == ["verdicts", "results", "pairs", "training", "pictures", "failures",
                        "used", "origin", "notes"]  # fmt: skip
    assert "warning" in page.run("document.querySelector('#verdicts').textContent")


def test_every_run_with_a_value_is_a_point(page: Page) -> None:
    kinds = page.run("[...document.querySelectorAll('#boxplot .point')].map(p => p.classList[1])")
    counts = {kind: kinds.count(kind) for kind in set(kinds)}
    assert counts == {"final": 4, "beyond": 1, "diverged": 1, "so-far": 1}
    words = page.run("document.querySelector('#boxplot').textContent")
    assert "n = 4" in words
    assert "1 above 1" in words
    assert "1 diverged" in words


# ------------------------------------------------------- pointed at and typed at


def test_a_point_tells_run_seed_and_value_when_pointed_at(page: Page) -> None:
    assert read_tip(page) == ""
    page.move(*page.find_middle(POINT.format(kind="diverged")))
    assert read_tip(page).splitlines() == [
        "rnn_width=16_rand_3", "group 16, seed 3",
        "linear projection MSE (validation): diverged", "diverged, epoch 7",
    ]  # fmt: skip
    page.press("Escape")
    assert read_tip(page) == ""


def test_the_keyboard_reaches_every_point(page: Page) -> None:
    page.run("document.getElementById('boxplot').focus()")
    seen = []
    for _ in range(7):
        page.press("ArrowUp")
        seen.append(read_tip(page).splitlines()[0])
    assert seen == [
        "rnn_width=16_rand_0", "rnn_width=16_rand_1", "rnn_width=16_rand_2", "rnn_width=16_rand_3",
        "rnn_width=256_rand_0", "rnn_width=256_rand_2", "rnn_width=256_rand_1",
    ]  # fmt: skip
    assert "rnn_width=256_rand_1" in page.run("spoken.textContent")  # for screen readers
    page.press("Home")
    page.press("ArrowRight")
    assert read_tip(page).startswith("rnn_width=256_rand_0")


def test_another_metric_and_a_log_axis_can_be_chosen(page: Page) -> None:
    page.run(
        "const s = document.getElementById('box-metric'); s.selectedIndex = 1;"
        "s.dispatchEvent(new Event('change'))"
    )
    assert "loss" in page.run("document.querySelector('#boxplot .axis-title').textContent")
    before = page.run("document.querySelector('#boxplot .point').outerHTML")
    page.click("#box-log")
    assert page.run("document.querySelector('#boxplot .point').outerHTML") != before


def test_groups_of_curves_are_switched_off_and_on(page: Page) -> None:
    def count() -> tuple[int, int]:
        medians, runs = page.run(
            "['median', 'run'].map(k => document.querySelectorAll(`#curves path.${k}`).length)"
        )
        return medians, runs

    assert count() == (2, 8)
    page.click("#curve-groups button")
    assert count() == (1, 4)
    assert page.run("document.querySelector('#curve-groups button').ariaPressed") == "false"
    page.click("#curve-groups button")
    page.click("#curve-runs")
    assert count() == (2, 0)


def test_curves_zoom_by_a_frame_and_by_keys_and_come_back(page: Page) -> None:
    def read_ticks() -> list[str]:
        ticks: list[str] = page.run(
            "[...document.querySelectorAll('#curves .tick')].map(t => t.textContent)"
        )
        return ticks

    x, y = page.find_middle("#curves svg")
    everything = read_ticks()
    page.drag((x - 120, y - 60), (x + 120, y + 60))
    zoomed = read_ticks()
    assert zoomed != everything
    page.click("#zoom-reset")
    assert read_ticks() == everything
    page.run("document.getElementById('curves').focus()")
    page.press("ArrowRight")
    assert read_tip(page).startswith("epoch 0, medians")
    page.press("+")
    assert read_ticks() != everything
    page.press("0")
    assert read_ticks() == everything


def test_a_curve_tells_its_run_and_smoothing_makes_it_smoother(page: Page) -> None:
    def measure_roughness() -> float:
        rough: float = page.run(
            "(() => { const ys = document.querySelector('#curves path.run').getAttribute('d')"
            ".slice(1).split('L').map(p => +p.split(' ')[1]);"
            "return ys.slice(2).reduce("
            "(sum, y, i) => sum + Math.abs(y - 2 * ys[i + 1] + ys[i]), 0) })()"
        )
        return rough

    rough = measure_roughness()
    page.run(
        "const range = document.getElementById('curve-smooth'); range.value = 2;"
        "range.dispatchEvent(new Event('input'))"
    )
    assert measure_roughness() < 0.7 * rough
    assert page.run("document.getElementById('curve-smooth-words').textContent") == "5 epochs"
    x, y = page.find_middle("#curves path.run")
    for offset in range(-40, 41, 4):
        page.move(x, y + offset)
        if "seed" in read_tip(page):
            return
    pytest.fail("no curve tells what it is")


def test_tables_are_sorted_by_a_click(page: Page) -> None:
    page.run("document.querySelector('#results details').open = true")
    page.click("#results details th:nth-child(5) button")
    values = page.run(
        "[...document.querySelectorAll('#results details tbody tr')]"
        ".map(r => r.cells[4].textContent)"
    )
    numbers = [float(v) for v in values if re.fullmatch(r"[\d.]+", v)]
    assert numbers == sorted(numbers)
    assert len(values) == 12


def test_an_animation_stands_still_until_it_is_played(page: Page) -> None:
    still = page.run("document.querySelector('.play').parentElement.querySelector('img').src")
    assert still.startswith("data:image/webp")
    page.click(".play")
    moving = page.run("document.querySelector('.play').parentElement.querySelector('img').src")
    assert moving != still
    page.click(".play")
    assert page.run("document.querySelector('.play').ariaPressed") == "false"


# ------------------------------------------------------------ seen by everybody


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_from_what_is_behind_it(page: Page, scheme: str) -> None:
    page.prefer(scheme=scheme)
    page.run("for (const d of document.querySelectorAll('details')) d.open = true")
    page.settle()
    seen: list[list[str]] = page.run(
        """(() => {
        const behind = e => { for (; e; e = e.parentElement) {
            const c = getComputedStyle(e).backgroundColor;
            if (c !== 'rgba(0, 0, 0, 0)') return c; } };
        const has = e => [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
        const pairs = [...document.body.querySelectorAll('*')]
          .filter(e => has(e) && e.checkVisibility())
          .map(e => { const s = getComputedStyle(e);
            return [e instanceof SVGElement ? s.fill : s.color, behind(e),
                    e.tagName + '.' + e.getAttribute('class')] });
        return [...new Map(pairs.map(p => [p.slice(0, 2).join(), p])).values()];
        })()"""
    )
    assert len(seen) > 5
    for ink, paper, where in seen:
        assert measure_contrast(to_hex(ink), to_hex(paper)) >= 4.5, (where, ink, paper)


def to_hex(colour: str) -> str:
    found = re.fullmatch(r"rgb\((\d+), (\d+), (\d+)\)", colour)
    assert found is not None, colour
    return "#" + "".join(f"{int(part):02x}" for part in found.groups())


def test_the_page_follows_the_system_and_its_own_switch(page: Page) -> None:
    def read_paper() -> str:
        return str(page.run("getComputedStyle(document.body).backgroundColor"))

    page.prefer(scheme="light")
    light = read_paper()
    page.prefer(scheme="dark")
    dark = read_paper()
    assert light != dark
    page.click("#theme")
    assert read_paper() == light
    page.run("localStorage.clear()")


@pytest.mark.parametrize("width", [360, 768, 1280, 1920])
def test_nothing_is_wider_than_the_window_and_labels_stand_apart(page: Page, width: int) -> None:
    page.resize(width)
    assert page.run("document.documentElement.scrollWidth") <= width
    for chart in ("#boxplot", "#rates", "#curves"):
        assert list_overlaps(page, f"{chart} text") == []


def test_what_is_shown_has_words_for_those_who_do_not_see_it(page: Page) -> None:
    without = page.run(
        "[...document.querySelectorAll('img')].filter(i => !i.alt).length"
        " + [...document.querySelectorAll('svg[role=img]')].filter(s => !s.ariaLabel).length"
        " + [...document.querySelectorAll('button, select, input')]"
        ".filter(b => !(b.textContent.trim() || b.ariaLabel || b.labels?.length)).length"
    )
    assert without == 0
    assert "16: median" in page.run("document.querySelector('#boxplot svg').ariaLabel")
    assert page.run("document.querySelectorAll('#results table.groups tbody tr').length") == 3
    levels = page.run("[...document.querySelectorAll('h1, h2, h3')].map(h => +h.tagName[1])")
    assert all(b - a <= 1 for a, b in itertools.pairwise(levels))


def test_tab_goes_through_everything_and_shows_where_it_is(page: Page) -> None:
    reached = []
    for _ in range(60):
        page.press("Tab")
        reached.append(page.run("document.activeElement.id || document.activeElement.tagName"))
    assert {"theme", "box-metric", "boxplot", "curve-metric", "curves"} <= set(reached)
    page.run("document.getElementById('boxplot').focus()")
    assert page.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"


# ---------------------------------------------------------------------- printed


def test_on_paper_there_are_charts_and_no_controls(page: Page, tmp_path: Path) -> None:
    page.prefer(scheme="dark")
    page.call("Emulation.setEmulatedMedia", media="print")
    page.settle()
    assert page.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    hidden = page.run(
        "['.bar', '.controls', '.play']"
        ".map(s => getComputedStyle(document.querySelector(s)).display)"
    )
    assert hidden == ["none"] * 3
    shown = "getComputedStyle(document.querySelector('#pictures details')).display"
    assert page.run(shown) == "block"
    pdf = tmp_path / "report.pdf"
    pdf.write_bytes(page.print_pdf())
    assert pdf.read_bytes().startswith(b"%PDF")
    assert 3 <= len(re.findall(rb"/Type\s*/Page\b", pdf.read_bytes())) <= 9


# ------------------------------------------------------------------------ large


def test_a_thousand_runs_are_within_five_megabytes_and_drawn_whole(
    chromium: Browser, large_report_path: Path
) -> None:
    assert large_report_path.stat().st_size < 5_000_000
    page = chromium.open_page()
    page.open(large_report_path)
    assert page.complaints == []
    points = page.run("document.querySelectorAll('#boxplot .point').length")
    assert points == 1000
    page.click("#curve-runs")
    assert page.run("document.querySelectorAll('#curves path.run').length") > 900
    page.move(*page.find_middle("#boxplot .point"))
    assert "seed" in read_tip(page)


def test_what_the_page_computes_with_is_valid_javascript() -> None:
    """The scripts alone, so that a fault is named with its file and line."""
    import shutil

    node = shutil.which("node")
    if node is None:
        pytest.skip("no node here; the other tests run the scripts in the page")
    import hpcexp.analysis.report as package

    for path in sorted((Path(package.__file__).parent / "page").glob("*.js")):
        subprocess.run([node, "--check", str(path)], check=True)
