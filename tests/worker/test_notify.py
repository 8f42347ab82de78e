from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from hpcexp.store.layout import ExperimentDir
from hpcexp.store.status import RunStatus, State, write_status
from hpcexp.worker.notify import notify_if_ended
from tests.worker.conftest import list_runs, make_experiment


class Inbox(HTTPServer):
    """A chat's webhook on this machine."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.received: list[Any] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hook"


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        text = self.rfile.read(int(self.headers["Content-Length"]))
        assert isinstance(self.server, Inbox)
        self.server.received.append(json.loads(text))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_arguments: Any) -> None:
        """Say nothing."""


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    inbox = Inbox()
    thread = threading.Thread(target=inbox.serve_forever)
    thread.start()
    yield inbox
    inbox.shutdown()
    thread.join()
    inbox.server_close()


def make(tmp_path: Path, **notify: str) -> ExperimentDir:
    experiment = make_experiment(tmp_path, grid={"rnn_width": [5, 6]})
    plan = json.loads(experiment.plan_path.read_text())
    experiment.plan_path.write_text(json.dumps({**plan, "notify": notify}))
    return experiment


def end(experiment: ExperimentDir, *states: State) -> None:
    for run_dir, state in zip(list_runs(experiment), states, strict=False):
        write_status(run_dir, RunStatus(state=state))


def test_the_last_run_to_end_tells_once(tmp_path: Path, inbox: Inbox) -> None:
    told = tmp_path / "told"
    line = f'printf "%s\\n" "$HPCEXP_SUMMARY" "$HPCEXP_EXPERIMENT" >> {told}; cat >> {told}'
    experiment = make(tmp_path, command=line, webhook=inbox.url)
    end(experiment, State.COMPLETED)
    notify_if_ended(experiment)
    assert not told.exists()
    end(experiment, State.COMPLETED, State.DIVERGED)
    for _ in range(2):
        notify_if_ended(experiment)
    summary, path, text = told.read_text().splitlines()
    assert summary == f"{experiment.name} has ended: 1 completed, 1 diverged"
    assert path == str(experiment.path)
    assert inbox.received == [json.loads(text)]
    assert inbox.received[0]["text"] == summary
    assert inbox.received[0]["states"] == {"completed": 1, "diverged": 1}


def test_an_address_may_come_from_the_environment(
    tmp_path: Path, inbox: Inbox, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    experiment = make(tmp_path, webhook="$LAB_WEBHOOK")
    end(experiment, State.COMPLETED, State.COMPLETED)
    notify_if_ended(experiment)
    assert "$LAB_WEBHOOK is not set here" in caplog.text
    experiment.notified_path.unlink()
    monkeypatch.setenv("LAB_WEBHOOK", inbox.url)
    notify_if_ended(experiment)
    assert len(inbox.received) == 1


@pytest.mark.parametrize(
    ("notify", "said"),
    [
        ({"command": "echo no such user >&2; exit 3"}, "ended with 3: no such user"),
        ({"webhook": "http://127.0.0.1:9/secret"}, "notify.webhook: <urlopen error"),
    ],
)
def test_what_goes_wrong_is_said_and_harms_nothing(
    tmp_path: Path, notify: dict[str, str], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    experiment = make(tmp_path, **notify)
    end(experiment, State.COMPLETED, State.FAILED)
    notify_if_ended(experiment)
    assert said in caplog.text
    assert "secret" not in caplog.text


def test_without_a_wish_nothing_is_done(tmp_path: Path) -> None:
    experiment = make(tmp_path)
    end(experiment, State.COMPLETED, State.COMPLETED)
    notify_if_ended(experiment)
    assert not experiment.notified_path.exists()
