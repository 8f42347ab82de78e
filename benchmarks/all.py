"""Every benchmark, one after another; `--write` puts what they print into a page of docs/results.

    python benchmarks/all.py                                       # prints
    python benchmarks/all.py --write docs/results/performance.md   # and replaces the page's tables
    python benchmarks/all.py --only packing --write ...            # that one
    python benchmarks/all.py --smoke                               # tiny, to see that all run

On a machine with a GPU only those are run that it makes a difference to. A page has a place for
each benchmark, between `<!-- train_step on cpu: begin -->` and `<!-- train_step on cpu: end -->`;
what is printed on a GPU goes between those `on gpu`. Nothing else on the page is touched. The page
is written after each: one that fails leaves the others' tables alone, and one that is stopped, by
its limit or by Ctrl-C, the tables that it has printed, marked as incomplete.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import torch

HERE = Path(__file__).parent
ARGUMENTS: dict[str, tuple[str, ...]] = {
    "train_step": (),
    "packing": (),
    "start": (),
    "metrics_storage": (),
    "aggregate": ("--runs", "1000"),
    "render": (),
    "scale": ("--num-runs", "10000"),
}
"""What each is called with. `error_rates`, `histories`, `chaos` and `report` measure no speed of
training, and have pages of their own."""
LIMIT_MIN = 8.0
"""Minutes after which a benchmark is stopped: the others are to be measured, too."""
FOR_A_GPU = ("train_step", "packing")
INTERRUPTED = "interrupted"


@dataclass(frozen=True)
class Outcome:
    """What a benchmark printed, and why it ended early, if it did."""

    printed: str
    problem: str | None = None

    @property
    def has_table(self) -> bool:
        """Whether it got as far as a table, all of whose rows are there."""
        return re.search(r"^\|--.*\n(\|.*\n)+", self.printed, flags=re.MULTILINE) is not None


def run(name: str, *, smoke: bool, limit_min: float) -> Outcome:
    """Run a benchmark, and show what it prints as it comes.

    It is stopped after so many minutes, and where this process is interrupted or terminated.
    """
    command = [
        sys.executable,
        str(HERE / f"{name}.py"),
        *(("--smoke",) if smoke else ARGUMENTS[name]),
    ]
    print(f"\n== {name}", flush=True)
    lines: list[str] = []
    problem: str | None = None
    # A session of its own: what it starts is stopped with it.
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, errors="replace", start_new_session=True
    ) as process:
        assert process.stdout is not None
        is_late = threading.Event()

        def expire() -> None:
            is_late.set()
            stop(process)

        timer = threading.Timer(60 * limit_min, expire)
        timer.start()
        try:
            for line in process.stdout:
                print(line, end="", flush=True)
                lines.append(line)
            if process.wait() != 0:
                late = f"stopped after {limit_min:g} minutes"
                problem = late if is_late.is_set() else f"exit {process.returncode}"
        except KeyboardInterrupt:
            problem = INTERRUPTED
        finally:
            timer.cancel()
            stop(process)
    return Outcome("".join(lines), problem)


def stop(process: subprocess.Popen[str]) -> None:
    """Kill a benchmark and what it started, if it is still there."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)


def interrupt(*_: object) -> None:
    """SIGTERM is taken as Ctrl-C: what has been measured is written."""
    raise KeyboardInterrupt


def make_entry(name: str, printed: str, *, problem: str | None = None) -> str:
    """What a page shows: the command, the commit, the day, and the tables."""
    call = " ".join(("python", f"benchmarks/{name}.py", *ARGUMENTS[name]))
    head = f"`{call}`, commit {read_commit()}, {datetime.now(UTC):%Y-%m-%d}\n"
    if problem is not None:
        head += f"\n**Incomplete** ({problem}): what it printed until then.\n"
    text = printed.strip("\n")
    if not re.search(r"^\|--", text, flags=re.MULTILINE):
        text = f"```text\n{text}\n```"
    return f"{head}\n{text}"


@cache
def read_commit() -> str:
    """The commit that is measured, and whether files differ from it: asked before a page does."""
    command = [
        "git",
        "-C",
        str(HERE),
        "describe",
        "--always",
        "--abbrev=7",
        "--dirty",
        "--exclude=*",
    ]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def replace_entry(page: str, place: str, entry: str) -> str:
    """The page with another entry at a place.

    Raises ValueError where the page has no such place.
    """
    begin, end = f"<!-- {place}: begin -->", f"<!-- {place}: end -->"
    before, found, rest = page.partition(begin)
    _, found_end, after = rest.partition(end)
    if not (found and found_end):
        raise ValueError(f"the page has no place for {place}: give it the lines {begin} and {end}")
    return f"{before}{begin}\n{entry}\n{end}{after}"


def main() -> int:
    """Run them; 1 where one failed, after all others have run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    has_gpu = torch.cuda.is_available()
    default = list(FOR_A_GPU) if has_gpu else list(ARGUMENTS)
    parser.add_argument("--only", nargs="+", choices=ARGUMENTS, default=default)
    parser.add_argument("--write", type=Path, metavar="PAGE", help="a page with places for them")
    parser.add_argument(
        "--limit-min", type=float, default=LIMIT_MIN, help="minutes that each may take"
    )
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, to see that they run")
    given = parser.parse_args()
    if given.write and not given.write.is_file():
        parser.error(f"--write {given.write}: there is no such page")
    signal.signal(signal.SIGTERM, interrupt)
    failed = []
    for name in given.only:
        outcome = run(name, smoke=given.smoke, limit_min=given.limit_min)
        if outcome.problem is not None:
            print(f"{name}: {outcome.problem}", file=sys.stderr)
            failed.append(name)
        if given.write and (outcome.problem is None or outcome.has_table):
            place = f"{name} on {'gpu' if has_gpu else 'cpu'}"
            entry = make_entry(name, outcome.printed, problem=outcome.problem)
            write_page(given.write, replace_entry(given.write.read_text(), place, entry))
        if outcome.problem == INTERRUPTED:
            return 130
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def write_page(page: Path, text: str) -> None:
    """Replace a page whole or not at all."""
    aside = page.with_name(f".{page.name}.tmp")
    aside.write_text(text)
    aside.replace(page)


if __name__ == "__main__":
    sys.exit(main())
