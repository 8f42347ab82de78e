"""`hpcexp logs`."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from hpcexp.cli.options import experiment_argument, experiments_dir_option, find, runs_argument

if TYPE_CHECKING:
    from hpcexp.launch.logs import RunLog
    from hpcexp.store.layout import ExperimentDir

POLL_EVERY_S = 1.0
BLOCK_BYTES = 65_536


@click.command()
@experiment_argument
@runs_argument
@click.option("--follow", "-f", is_flag=True, help="Go on printing until the runs end.")
@click.option("--failed", is_flag=True, help="Only of runs that failed, diverged or were lost.")
@click.option("--lines", "-n", type=click.IntRange(min=0), help="Only the last lines of each.")
@click.option(
    "--attempt", type=click.IntRange(min=1), help="Attempt, from 1.  [default: the newest]"
)
@click.option("--job", "of_job", is_flag=True, help="What the job printed, all starts of it.")
@experiments_dir_option
def logs(
    *,
    experiment_name: str,
    runs: tuple[str, ...],
    follow: bool,
    failed: bool,
    lines: int | None,
    attempt: int | None,
    of_job: bool,
    experiments_dir: Path | None,
) -> None:
    """Print the logs of runs; -f follows them.

    It is the log of a run's newest attempt, or what its job printed before it began. RUN is a
    run, a group or a pattern such as '*_rand_0'.

    Examples:

    \b
      hpcexp logs latest rnn_width=48_rand_1 -f
      hpcexp logs latest --failed -n 20
    """
    from hpcexp.launch.logs import find_logs
    from hpcexp.launch.observe import observe

    experiment = find(experiment_name, experiments_dir, archives=True)
    found = find_logs(observe(experiment), runs, attempt=attempt, only_failed=failed, of_job=of_job)
    for text in _read(found, experiment, num_lines=lines, follow=follow):
        click.echo(text, nl=False)


def _read(
    found: Sequence[RunLog], experiment: ExperimentDir, *, num_lines: int | None, follow: bool
) -> Iterator[bytes]:
    """The texts, each under its title where there are several."""
    files = {log.run: log.path.open("rb") for log in found}
    titles = {log.run: log.title for log in found}
    log_paths = {log.run: log.path for log in found}
    shown = ""
    try:
        for run, file in files.items():
            if len(files) > 1:
                yield _make_title(titles[run], experiment.locate(log_paths[run]))
            _seek_last_lines(file, num_lines)
            while text := file.read(BLOCK_BYTES):
                yield text
            shown = run
        while follow:
            is_active = _is_active(experiment, list(files))
            for run, file in files.items():
                if text := file.read():
                    if run != shown:
                        yield _make_title(titles[run], experiment.locate(log_paths[run]))
                        shown = run
                    yield text
            if not is_active:
                return
            time.sleep(POLL_EVERY_S)
    finally:
        for file in files.values():
            file.close()


def _make_title(title: str, place: str) -> bytes:
    return f"\n==> {title} ({place}) <==\n".encode()


def _is_active(experiment: ExperimentDir, runs: Sequence[str]) -> bool:
    from hpcexp.launch.observe import ACTIVE, observe

    statuses = observe(experiment).statuses
    return any(statuses[run].state in ACTIVE for run in runs)


def _seek_last_lines(file: BinaryIO, num_lines: int | None) -> None:
    """Go to where the last lines begin, without reading what comes before them."""
    if num_lines is None:
        return
    position = file.seek(0, os.SEEK_END)
    tail = b""
    while position and tail.count(b"\n") <= num_lines:
        step = min(BLOCK_BYTES, position)
        position = file.seek(position - step)
        tail = file.read(step) + tail
    kept = b"".join(tail.splitlines(keepends=True)[-num_lines:]) if num_lines else b""
    file.seek(-len(kept), os.SEEK_END)
