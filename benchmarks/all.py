"""Every benchmark, one after another; `--write` puts what they print into a page of docs/results.

    python benchmarks/all.py                                       # prints
    python benchmarks/all.py --write docs/results/performance.md   # and replaces the page's tables
    python benchmarks/all.py --only packing --write ...            # that one
    python benchmarks/all.py --smoke                               # tiny, to see that all run

On a machine with a GPU only those are run that it makes a difference to. A page has a place for
each benchmark, between `<!-- train_step on cpu: begin -->` and `<!-- train_step on cpu: end -->`;
what is printed on a GPU goes between those `on gpu`. Nothing else on the page is touched.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from datetime import UTC, datetime
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
    "step": (),
    "scale": ("--num-runs", "10000"),
}
"""What each is called with. `error_rates`, `histories`, `chaos` and `report` measure no speed of
training, and have pages of their own."""
FOR_A_GPU = ("train_step", "packing")


def run(name: str, *, smoke: bool) -> str:
    """What a benchmark prints; it is shown as it comes.

    Raises CalledProcessError where it fails.
    """
    command = [
        sys.executable,
        str(HERE / f"{name}.py"),
        *(("--smoke",) if smoke else ARGUMENTS[name]),
    ]
    print(f"\n== {name}", flush=True)
    lines = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line)
    if process.returncode != 0:
        raise subprocess.CalledProcessError(process.returncode, command)
    return "".join(lines)


def make_entry(name: str, printed: str) -> str:
    """What a page shows: the command, the commit, the day, and the tables."""
    call = " ".join(("python", f"benchmarks/{name}.py", *ARGUMENTS[name]))
    head = f"`{call}`, commit {read_commit()}, {datetime.now(UTC):%Y-%m-%d}\n"
    text = printed.strip("\n")
    if not re.search(r"^\|--", text, flags=re.MULTILINE):
        text = f"```text\n{text}\n```"
    return f"{head}\n{text}"


def read_commit() -> str:
    """The commit that is measured, and whether files differ from it."""
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
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, to see that they run")
    given = parser.parse_args()
    if given.write and not given.write.is_file():
        parser.error(f"--write {given.write}: there is no such page")
    failed = []
    for name in given.only:
        try:
            printed = run(name, smoke=given.smoke)
        except subprocess.CalledProcessError as error:
            print(f"{name} failed ({error.returncode})", file=sys.stderr)
            failed.append(name)
            continue
        if given.write:
            place = f"{name} on {'gpu' if has_gpu else 'cpu'}"
            page = replace_entry(given.write.read_text(), place, make_entry(name, printed))
            given.write.write_text(page)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
