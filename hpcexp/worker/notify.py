"""Telling somebody, once, that an experiment has ended."""

from __future__ import annotations

import json
import logging
import os
import subprocess
from collections import Counter
from collections.abc import Mapping
from typing import Any

from hpcexp.errors import HpcexpError
from hpcexp.store.deciding import read_deciding
from hpcexp.store.experiment import Plan, read_plan
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.searching import is_searching
from hpcexp.store.status import SETTLED, State
from hpcexp.store.statuses import read_settled

logger = logging.getLogger("hpcexp.worker")

TIMEOUT_S = 60


def notify_if_ended(experiment: ExperimentDir) -> None:
    """Run the template's command and call its webhook if this was the last run to end.

    Many jobs may end at once: who makes the file `notified` first does it. What goes wrong is
    said in the job's log, and harms nothing.
    """
    try:
        plan = read_plan(experiment)
        if not any(plan.notify.values()):
            return
        statuses = read_settled(experiment, [run.name for run in plan.runs])
        if any(status.state not in SETTLED for status in statuses.values()):
            return
        deciding = read_deciding(experiment)
        if deciding is not None and not deciding.is_over:
            return  # the last look tells
        if is_searching(plan):
            return  # more samples are to come
        os.close(os.open(experiment.notified_path, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    except FileExistsError:
        return
    except (HpcexpError, OSError) as error:
        logger.warning("nobody could be notified: %s", error)
        return
    message = describe_end(experiment, plan, Counter(s.state for s in statuses.values()))
    if command := plan.notify.get("command"):
        _run(command, message)
    if webhook := plan.notify.get("webhook"):
        _post(os.path.expandvars(webhook), message)


def describe_end(
    experiment: ExperimentDir, plan: Plan, counts: Mapping[State, int]
) -> dict[str, Any]:
    """What is sent: `text` is a sentence, which chats show."""
    summary = ", ".join(f"{count} {state.words}" for state, count in counts.items())
    return {
        "text": f"{experiment.name} has ended: {summary}",
        "experiment": str(experiment.path),
        "name": plan.name,
        "question": plan.question,
        "states": {str(state): count for state, count in counts.items()},
    }


def _run(command: str, message: Mapping[str, Any]) -> None:
    environment = {
        "HPCEXP_EXPERIMENT": str(message["experiment"]),
        "HPCEXP_SUMMARY": str(message["text"]),
    }
    try:
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            input=json.dumps(message),
            capture_output=True,
            text=True,
            errors="replace",
            env=os.environ | environment,
            timeout=TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        logger.warning("notify.command: %s", error)
        return
    if done.returncode:
        said = (done.stderr or done.stdout).strip()
        logger.warning("notify.command ended with %d: %s", done.returncode, said)
    else:
        logger.info("notified with: %s", command)


def _post(url: str, message: Mapping[str, Any]) -> None:
    if not url.startswith(("https://", "http://")):
        logger.warning("notify.webhook: %s is not set here, or is no address", url[:40])
        return
    import urllib.request  # only here: most workers never need it, and it loads slowly

    request = urllib.request.Request(
        url, data=json.dumps(message).encode(), headers={"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S):
            logger.info("notified the webhook")
    except (OSError, ValueError) as error:
        # Without the address, which may be a secret.
        logger.warning("notify.webhook: %s", error)
