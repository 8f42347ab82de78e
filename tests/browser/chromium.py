"""A real Chromium without a window, driven through its DevTools protocol over a pipe.

Needs no driver program and no library: messages are JSON, each ended by a zero byte, on the file
descriptors 3 (to the browser) and 4 (from it), as `--remote-debugging-pipe` says.
https://chromedevtools.github.io/devtools-protocol/
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
TIMEOUT_S = 30.0
FLAGS = (
    "--headless=new",
    "--disable-gpu",
    "--disable-dev-shm-usage",  # /dev/shm of a container is small
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--hide-scrollbars",
    "--no-first-run",
    "--force-color-profile=srgb",
    "--remote-debugging-pipe",
)


def find_chromium() -> str | None:
    """The program, where there is one."""
    return next((path for name in PROGRAMS if (path := shutil.which(name))), None)


@dataclass
class Page:
    """A tab, and everything that it complained of or asked the network for."""

    browser: Browser
    session: str
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """One command of the protocol to this page."""
        return self.browser.call(method, params, session=self.session)

    def open(self, path: Path) -> float:
        """Load a file from the disk; seconds until its script has drawn everything."""
        start = time.monotonic()
        self.call("Page.navigate", url=path.resolve().as_uri())
        self.wait_for(
            "document.readyState === 'complete' && document.documentElement.dataset.ready"
        )
        return time.monotonic() - start

    def run(self, expression: str) -> Any:
        """The value of an expression of JavaScript, which may be a promise."""
        answer = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait_for(self, expression: str, *, timeout_s: float = TIMEOUT_S) -> None:
        """Until an expression is true."""
        end = time.monotonic() + timeout_s
        while not self.run(expression):
            assert time.monotonic() < end, f"not within {timeout_s} s: {expression}"
            time.sleep(0.02)

    def resize(self, width: int, height: int = 900) -> None:
        """The size of the window in CSS pixels."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=False,
        )  # fmt: skip
        self.settle()

    def prefer(self, *, scheme: str) -> None:
        """What the system prefers: light or dark."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", features=features)

    def settle(self) -> None:
        """Until what has changed is drawn."""
        self.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def move(self, x: float, y: float) -> None:
        """Put the pointer somewhere."""
        self._mouse("mouseMoved", x, y)

    def click(self, selector: str) -> None:
        """Bring an element into view and click on its middle."""
        x, y = self.find_middle(selector)
        self.drag((x, y), (x, y))

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Press the button in one place and let it go in another."""
        self._mouse("mouseMoved", *start)
        self._mouse("mousePressed", *start, button="left", clickCount=1)
        if end != start:
            self._mouse("mouseMoved", *end, button="left", buttons=1)
        self._mouse("mouseReleased", *end, button="left", clickCount=1)
        self.settle()

    def press(self, key: str) -> None:
        """A key, by its name such as `ArrowRight`, `Tab` or `+`."""
        codes = {"Tab": 9, "Enter": 13, "Escape": 27, " ": 32}
        known = {"windowsVirtualKeyCode": codes[key]} if key in codes else {}
        text = {"text": "\r" if key == "Enter" else key} if len(key) == 1 or key == "Enter" else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, **known, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key, **known)
        self.settle()

    def find_middle(self, selector: str) -> tuple[float, float]:
        """Where the middle of an element is in the window, once it is in view."""
        self.run(
            f"document.querySelector({json.dumps(selector)})"
            ".scrollIntoView({block: 'center', behavior: 'instant'})"
        )
        self.settle()
        box = self.run(
            f"(() => {{ const b = document.querySelector({json.dumps(selector)})"
            ".getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2]; })()"
        )
        return box[0], box[1]

    def take_picture(self, *, whole: bool = False) -> bytes:
        """A PNG of what is in the window, or of the whole page."""
        answer = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        return base64.b64decode(answer["data"])

    def print_pdf(self) -> bytes:
        """The page on A4 paper."""
        answer = self.call("Page.printToPDF", paperWidth=8.27, paperHeight=11.69,
                           printBackground=False, preferCSSPageSize=True)  # fmt: skip
        return base64.b64decode(answer["data"])

    def _mouse(self, kind: str, x: float, y: float, **options: Any) -> None:
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **options)

    def take_note(self, method: str, params: Mapping[str, Any]) -> None:
        """Remember an event that a quiet page never sends."""
        if method == "Runtime.exceptionThrown":
            self.complaints.append(str(params["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning"):
            self.complaints.append(str(params["args"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.complaints.append(params["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])


class Browser:
    """The process, and the two ends of its pipe."""

    def __init__(self, process: subprocess.Popen[bytes], writer: int, reader: int) -> None:
        self._process, self._writer, self._reader = process, writer, reader
        self._buffer = b""
        self._number = 0
        self._pages: dict[str, Page] = {}

    def call(
        self, method: str, params: Mapping[str, Any] | None = None, *, session: str | None = None
    ) -> dict[str, Any]:
        """One command; events that come before its answer are given to their pages."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params or {}}
        if session is not None:
            message["sessionId"] = session
        os.write(self._writer, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                result: dict[str, Any] = answer["result"]
                return result
            page = self._pages.get(answer.get("sessionId", ""))
            if page is not None and "method" in answer:
                page.take_note(answer["method"], answer["params"])

    def open_page(self) -> Page:
        """A new tab that remembers what goes wrong in it."""
        target = self.call("Target.createTarget", {"url": "about:blank"})["targetId"]
        attached = self.call("Target.attachToTarget", {"targetId": target, "flatten": True})
        page = Page(self, attached["sessionId"])
        self._pages[page.session] = page
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.call(f"{domain}.enable")
        page.resize(1280)
        return page

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._reader], [], [], TIMEOUT_S)
            assert ready, f"Chromium has been silent for {TIMEOUT_S} s"
            part = os.read(self._reader, 1 << 20)
            assert part, f"Chromium has ended ({self._process.poll()})"
            self._buffer += part
        message, _, self._buffer = self._buffer.partition(b"\0")
        decoded: dict[str, Any] = json.loads(message)
        return decoded


@contextmanager
def start_chromium(profile_dir: Path) -> Iterator[Browser]:
    """A browser that ends with the block; `profile_dir` holds what it writes."""
    program = find_chromium()
    assert program is not None
    to_browser, from_us = os.pipe()
    to_us, from_browser = os.pipe()
    # As root Chromium has no sandbox; what it opens here is our own page.
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (to_browser, from_browser)]

    def give_ends() -> None:
        for number, end in enumerate(ends, start=3):
            os.dup2(end, number)

    process = subprocess.Popen(
        [program, *FLAGS, *sandbox, f"--user-data-dir={profile_dir}", "about:blank"],
        pass_fds=(3, 4),
        preexec_fn=give_ends,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    for end in (to_browser, from_browser, *ends):
        os.close(end)
    browser = Browser(process, from_us, to_us)
    try:
        yield browser
        browser.call("Browser.close")
        process.wait(TIMEOUT_S)
    finally:
        process.kill()
        process.wait()
        os.close(from_us)
        os.close(to_us)
