"""The report of 1,000 runs: seconds until it is written, its size, seconds until it is open.

    python benchmarks/report.py            # about half a minute
    python benchmarks/report.py --smoke    # 20 runs: does it still run?

It is opened in Chromium where there is one, from the disk, until its script has drawn everything.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # the experiment of the tests

from hpcexp.analysis.report.circumstances import Circumstances
from hpcexp.analysis.report.write import write_report
from tests.browser.chromium import find_chromium, start_chromium
from tests.browser.large import build_large
from tests.browser.pictures import draw_eval_pictures

NUM_OPENED = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--smoke", action="store_true")
    num_runs = 20 if parser.parse_args().smoke else 1000
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory:
        experiment = build_large(Path(directory), num_runs=num_runs)
        draw_eval_pictures(
            experiment, [f"batch_size={2**i}_rand_{k}" for i in range(10) for k in (0, 1)]
        )
        start = time.perf_counter()
        written = write_report(experiment, Circumstances(statuses={}))
        seconds = time.perf_counter() - start
        print(f"{'runs':>6} {'written in':>12} {'size':>10} {'open in':>20}")
        opened = measure_opening(written.path, Path(directory) / "profile")
        print(f"{num_runs:>6} {seconds:>10.1f} s {written.num_bytes / 1e6:>7.2f} MB {opened:>20}")
        print("open in: the median of 5 and the slowest")


def measure_opening(path: Path, profile_dir: Path) -> str:
    """`0.52 s, 0.61 s`, each in a new tab."""
    if find_chromium() is None:
        return "no Chromium here"
    with start_chromium(profile_dir) as browser:
        seconds = sorted(browser.open_page().open(path) for _ in range(NUM_OPENED))
    return f"{seconds[NUM_OPENED // 2]:.2f} s, {seconds[-1]:.2f} s"


if __name__ == "__main__":
    main()
