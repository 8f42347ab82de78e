"""Ways to store a run's metrics, measured: size, cost of appending, time and memory to read.

    python benchmarks/metrics_storage.py           # 1,000 runs; 1 GB of disk, 4 minutes
    python benchmarks/metrics_storage.py --smoke   # tiny, in seconds; its numbers mean nothing

Every candidate appends blocks of 64 rows and syncs each; a run's rows are the two splits of
4,000 epochs with 12 metrics. Reading means all runs into one array for each column, on two
cores, in a process of its own. "Cold" is after the kernel was told to forget the files (what
lies beneath, such as a disk's own cache, may still remember); "warm" is the best of three.
Slow candidates read fewer runs, and their times are scaled. "Gone" and "zero" are what
reading gives where the last bytes of a run are missing, or are zeros; a reader is as
tolerant as a few lines make it. That is fair to all but SQLite, whose journal undoes torn
writes: there it shows what other damage does.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import math
import multiprocessing
import os
import resource
import shutil
import sqlite3
import statistics
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet as pq
from numpy.typing import NDArray

from hpcexp.store.metrics import SPLITS, MetricsRow, MetricsWriter, read_concatenated, read_last

METRICS = (
    *("loss", "loss.self_recon", "loss.predict.image", "loss.predict.z", "loss.kld"),
    *("linear_projection_mse", "image_mse", "grad_norm", "lr", "teacher_forcing_rate"),
    *("step_ms", "z_std"),
)
TRAIN_ONLY = ("grad_norm", "lr", "teacher_forcing_rate", "step_ms")
COLUMNS = ("epoch", "step", "split", "time", *METRICS)
TYPES = dict(zip(COLUMNS, ["i4", "i8", "u1", "f8", *["f4"] * len(METRICS)], strict=True))
SCHEMA = pa.schema([(name, pa.from_numpy_dtype(np.dtype(t))) for name, t in TYPES.items()])
BLOCK_ROWS = 64
STEPS_PER_EPOCH = 8
STEP_S = 0.031
NUM_CORES = 2

Arrays = dict[str, NDArray[Any]]


def make_rows(num_epochs: int, *, seed: int) -> list[MetricsRow]:
    """What a training run might record: noisy decaying losses, and values of train only."""
    generator = np.random.default_rng(seed)
    noise = generator.lognormal(sigma=0.3, size=(2 * num_epochs, len(METRICS)))
    rows = []
    for index, numbers in enumerate(noise.tolist()):
        epoch, split = index // 2 + 1, SPLITS[index % 2]
        values = {n: v / math.sqrt(epoch) for n, v in zip(METRICS, numbers, strict=True)}
        values |= {"lr": 1e-3, "teacher_forcing_rate": max(0.0, 1 - epoch / num_epochs)}
        values = {name: float(np.float32(value)) for name, value in values.items()}
        if split == "validate":
            values |= dict.fromkeys(TRAIN_ONLY, math.nan)
        when = 1.79e9 + epoch * STEPS_PER_EPOCH * STEP_S + 0.01 * numbers[0]
        rows.append(MetricsRow(epoch, epoch * STEPS_PER_EPOCH, split, when, values))
    return rows


def as_records(rows: Sequence[MetricsRow]) -> list[tuple[float, ...]]:
    """Rows as plain tuples in the order of COLUMNS."""
    return [
        (r.epoch, r.step, SPLITS.index(r.split), r.time, *(r.values[name] for name in METRICS))
        for r in rows
    ]


def as_arrays(rows: Sequence[MetricsRow]) -> Arrays:
    columns = zip(*as_records(rows), strict=True)
    return {n: np.array(c).astype(TYPES[n]) for n, c in zip(COLUMNS, columns, strict=True)}


def as_batch(rows: Sequence[MetricsRow]) -> Any:
    return pa.RecordBatch.from_pydict(as_arrays(rows), schema=SCHEMA)


def from_arrow(tables: Sequence[Any]) -> Arrays:
    whole = pa.concat_tables(tables)
    return {name: whole[name].to_numpy().astype(TYPES[name], copy=False) for name in COLUMNS}


def map_threads(function: Callable[[Path], Any], paths: Sequence[Path]) -> list[Any]:
    with ThreadPoolExecutor(NUM_CORES) as pool:
        return list(pool.map(function, paths))


class Candidate(ABC):
    """One way to store the metrics of a run at a path: a file, or a directory of files."""

    name: str
    opens_with: str  # what a person needs
    read_share = 1.0  # of the runs; the rest is extrapolated
    is_directory = False

    @abstractmethod
    def append(self, path: Path) -> Iterator[Callable[[Sequence[MetricsRow]], None]]:
        """Yield a function that appends a block and syncs it."""

    @abstractmethod
    def read(self, paths: Sequence[Path]) -> Arrays:
        """All rows of all runs, one array for each of COLUMNS."""


class Text(Candidate):
    """A line of text for each row."""

    def append(self, path: Path) -> Iterator[Callable[[Sequence[MetricsRow]], None]]:
        with path.open("a", encoding="utf-8") as file:
            file.write(self.header())

            def write(rows: Sequence[MetricsRow]) -> None:
                file.write("".join(self.lines(rows)))
                file.flush()
                os.fsync(file.fileno())

            yield write

    def header(self) -> str:
        return ""

    def read_complete_lines(self, path: Path) -> io.BytesIO:
        content = path.read_bytes()
        return io.BytesIO(content[: content.rfind(b"\n") + 1])

    @abstractmethod
    def lines(self, rows: Sequence[MetricsRow]) -> Iterator[str]: ...


class CsvPandas(Text):
    name, opens_with, read_share = "CSV, read by pandas", "anything", 0.1

    def header(self) -> str:
        return ",".join(COLUMNS) + "\n"

    def lines(self, rows: Sequence[MetricsRow]) -> Iterator[str]:
        buffer = io.StringIO()
        records = as_records(rows)
        csv.writer(buffer, lineterminator="\n").writerows(
            [*r[:3], f"{r[3]:.6f}", *(f"{v:.9g}" for v in r[4:])] for r in records
        )
        yield buffer.getvalue()

    def read(self, paths: Sequence[Path]) -> Arrays:
        frame = pd.concat(map_threads(self._read_run, paths))
        return {name: frame[name].to_numpy() for name in COLUMNS}

    def _read_run(self, path: Path) -> Any:
        return pd.read_csv(self.read_complete_lines(path), dtype=TYPES)


class CsvArrow(CsvPandas):
    name, read_share = "CSV, read by Arrow", 0.2

    def read(self, paths: Sequence[Path]) -> Arrays:
        return from_arrow(map_threads(self._read_run, paths))

    def _read_run(self, path: Path) -> Any:
        return pyarrow.csv.read_csv(
            self.read_complete_lines(path),
            read_options=pyarrow.csv.ReadOptions(use_threads=False),
            convert_options=pyarrow.csv.ConvertOptions(column_types=SCHEMA),
        )


class JsonLines(Text):
    name, opens_with, read_share = "JSON lines, read by Arrow", "anything", 0.05

    def lines(self, rows: Sequence[MetricsRow]) -> Iterator[str]:
        for record in as_records(rows):
            numbers = [None if math.isnan(v) else float(f"{v:.9g}") for v in record[4:]]
            values = [*record[:3], round(record[3], 6), *numbers]
            yield json.dumps(dict(zip(COLUMNS, values, strict=True))) + "\n"

    def read(self, paths: Sequence[Path]) -> Arrays:
        return from_arrow(map_threads(self._read_run, paths))

    def _read_run(self, path: Path) -> Any:
        return pyarrow.json.read_json(
            self.read_complete_lines(path),
            read_options=pyarrow.json.ReadOptions(use_threads=False),
            parse_options=pyarrow.json.ParseOptions(explicit_schema=SCHEMA),
        )


class ArrowStream(Candidate):
    name, opens_with = "Arrow IPC stream", "pyarrow"
    compression: str | None = None

    def append(self, path: Path) -> Iterator[Callable[[Sequence[MetricsRow]], None]]:
        options = pa.ipc.IpcWriteOptions(compression=self.compression)
        with path.open("wb") as file, pa.ipc.new_stream(file, SCHEMA, options=options) as stream:

            def write(rows: Sequence[MetricsRow]) -> None:
                stream.write_batch(as_batch(rows))
                file.flush()
                os.fsync(file.fileno())

            yield write

    def read(self, paths: Sequence[Path]) -> Arrays:
        return from_arrow(map_threads(self._read_intact, paths))

    def _read_intact(self, path: Path) -> Any:
        content, batches = path.read_bytes(), []
        try:
            return pa.ipc.open_stream(content).read_all()
        except (pa.ArrowInvalid, OSError):
            with suppress(pa.ArrowInvalid, OSError):
                for batch in pa.ipc.open_stream(content):
                    batches.append(batch)
        return pa.Table.from_batches(batches, SCHEMA)


class ArrowStreamZstd(ArrowStream):
    name, compression = "Arrow IPC stream, zstd", "zstd"


class Sqlite(Candidate):
    name, opens_with, read_share = "SQLite", "sqlite3", 0.02

    def append(self, path: Path) -> Iterator[Callable[[Sequence[MetricsRow]], None]]:
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA synchronous = FULL")
        names = ", ".join(f'"{name}"' for name in COLUMNS)
        connection.execute(f"CREATE TABLE rows ({names})")
        marks = ", ".join("?" * len(COLUMNS))

        def write(rows: Sequence[MetricsRow]) -> None:
            with connection:
                connection.executemany(f"INSERT INTO rows VALUES ({marks})", as_records(rows))

        yield write
        connection.close()

    def read(self, paths: Sequence[Path]) -> Arrays:
        records = [record for path in paths for record in self._read_records(path)]
        table = np.array(records, np.float64)  # raises where a damaged page gave text
        with np.errstate(invalid="ignore"):
            return {name: table[:, i].astype(TYPES[name]) for i, name in enumerate(COLUMNS)}

    def _read_records(self, path: Path) -> list[tuple[float, ...]]:
        connection = sqlite3.connect(path)
        try:
            return connection.execute("SELECT * FROM rows").fetchall()
        finally:
            connection.close()


class ParquetBlocks(Candidate):
    name, opens_with, read_share = "Parquet, a file per block", "pyarrow", 0.01
    is_directory = True

    def append(self, path: Path) -> Iterator[Callable[[Sequence[MetricsRow]], None]]:
        path.mkdir()

        def write(rows: Sequence[MetricsRow]) -> None:
            with (path / f"{rows[0].step:09d}.parquet").open("wb") as file:
                pq.write_table(pa.Table.from_batches([as_batch(rows)]), file)
                file.flush()
                os.fsync(file.fileno())

        yield write

    def read(self, paths: Sequence[Path]) -> Arrays:
        blocks = [block for path in paths for block in sorted(path.iterdir())]
        return from_arrow(map_threads(self._read_intact, blocks))

    def _read_intact(self, path: Path) -> Any:
        try:
            return pq.ParquetFile(path).read(use_threads=False)
        except (pa.ArrowInvalid, OSError):
            return SCHEMA.empty_table()


class Hpcexp(Candidate):
    name, opens_with, is_directory = "fixed-width rows (chosen)", "numpy", True

    def append(self, path: Path) -> Iterator[Callable[[Sequence[MetricsRow]], None]]:
        path.mkdir()
        with MetricsWriter.start(path, attempt=1, columns=METRICS, resume_step=None) as writer:

            def write(rows: Sequence[MetricsRow]) -> None:
                for start in range(0, len(rows), len(SPLITS)):  # an epoch at a time, as fit does
                    writer.append(rows[start : start + len(SPLITS)])
                writer.flush()

            yield write

    def read(self, paths: Sequence[Path]) -> Arrays:
        table, _ = read_concatenated(paths)
        arrays: Arrays = {name: table.column(name) for name in METRICS}
        fixed: Arrays = {"epoch": table.epoch, "step": table.step, "split": table.split}
        return arrays | fixed | {"time": table.time}


CANDIDATES: tuple[Candidate, ...] = (
    *(Hpcexp(), ArrowStream(), ArrowStreamZstd(), CsvArrow(), CsvPandas(), JsonLines()),
    *(Sqlite(), ParquetBlocks()),
)


@dataclass(frozen=True)
class Result:
    """What was measured of one candidate; times to read are for all the runs."""

    name: str
    opens_with: str
    run_bytes: float
    append_us: float
    worst_append_ms: float
    cold_s: float
    warm_s: float
    cpu_s: float
    peak_gb: float | None  # None: not all runs were read
    torn: tuple[str, str]


@dataclass(frozen=True)
class Reading:
    cold_s: float
    warm_s: float
    cpu_s: float
    peak_gb: float


def measure(candidate: Candidate, root: Path, *, num_runs: int, num_epochs: int) -> Result:
    rows = make_rows(num_epochs, seed=1)
    first = root / "run_0"
    block_s = write_run(candidate, first, rows)
    num_read = max(1, round(num_runs * candidate.read_share))
    paths = [first, *(copy_run(first, root / f"run_{i}") for i in range(1, num_read))]
    reading = run_alone(measure_reading, candidate, paths)
    scale = num_runs / num_read
    return Result(
        name=candidate.name,
        opens_with=candidate.opens_with,
        run_bytes=sum(path.stat().st_size for path in list_files(first)),
        append_us=sum(block_s) / len(rows) * 1e6,
        worst_append_ms=max(block_s) * 1e3,
        cold_s=reading.cold_s * scale,
        warm_s=reading.warm_s * scale,
        cpu_s=reading.cpu_s * scale,
        peak_gb=reading.peak_gb if num_read == num_runs else None,
        torn=(
            tear(candidate, first, root / "cut", rows, cut=True),
            tear(candidate, first, root / "zeros", rows, cut=False),
        ),
    )


def write_run(candidate: Candidate, path: Path, rows: Sequence[MetricsRow]) -> list[float]:
    """Append block by block; the seconds that each took."""
    seconds = []
    with contextmanager(candidate.append)(path) as write:
        for start in range(0, len(rows), BLOCK_ROWS):
            begin = time.perf_counter()
            write(rows[start : start + BLOCK_ROWS])
            seconds.append(time.perf_counter() - begin)
    return seconds


def list_files(path: Path) -> list[Path]:
    return sorted(path.iterdir()) if path.is_dir() else [path]


def copy_run(source: Path, target: Path) -> Path:
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copyfile(source, target)
    return target


def run_alone(function: Callable[..., Any], *arguments: object) -> Any:
    """Call in a fresh process, so that its peak memory is its own."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(function, *arguments).result()


def measure_reading(candidate: Candidate, paths: Sequence[Path]) -> Reading:
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-NUM_CORES:])
    pa.set_cpu_count(NUM_CORES)
    forget(paths)
    cold_s, _ = time_reading(candidate, paths)
    walls, cpus = zip(*(time_reading(candidate, paths) for _ in range(3)), strict=True)
    peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return Reading(cold_s, min(walls), min(cpus), peak_kb / 1e6)


def time_reading(candidate: Candidate, paths: Sequence[Path]) -> tuple[float, float]:
    """Seconds by the clock, and of the processor over all threads."""
    begin, cpu_begin = time.perf_counter(), time.process_time()
    arrays = candidate.read(paths)
    seconds, cpu_seconds = time.perf_counter() - begin, time.process_time() - cpu_begin
    assert len({len(array) for array in arrays.values()}) == 1
    return seconds, cpu_seconds


def forget(paths: Sequence[Path]) -> None:
    """Drop the files from the kernel's page cache."""
    for file_path in (file for path in paths for file in list_files(path)):
        descriptor = os.open(file_path, os.O_RDONLY)
        os.fsync(descriptor)  # only clean pages can be dropped
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def tear(
    candidate: Candidate, source: Path, target: Path, rows: Sequence[MetricsRow], *, cut: bool
) -> str:
    """What the reader makes of a run whose last write was cut off, or arrived as zeros."""
    file_path = list_files(copy_run(source, target))[-1]
    content = file_path.read_bytes()
    file_path.write_bytes(content[:-10] if cut else content[:-100] + bytes(100))
    try:
        arrays = candidate.read([target])
    except Exception as error:  # whatever a library raises is the finding
        return f"fails ({type(error).__name__})"
    num_lost = len(rows) - len(arrays["epoch"])
    if not all(matches(arrays[n], truth) for n, truth in as_arrays(rows).items()):
        return "WRONG VALUES"
    return f"loses {num_lost} rows" if num_lost != 1 else "loses 1 row"


def matches(array: NDArray[Any], truth: NDArray[Any]) -> bool:
    """Equal but for the microseconds to which text rounds the time."""
    tolerance = 1e-6 if truth.dtype == np.float64 else 0
    truth = truth[: len(array)]
    return len(array) <= len(truth) and np.allclose(
        array, truth, rtol=0, atol=tolerance, equal_nan=True
    )


def print_table(results: Sequence[Result]) -> None:
    """Markdown; ratios are to the first result."""
    base = results[0]
    print(
        "| format | kB a run | append a row, µs | slowest block, ms | share of training "
        "| read cold, s | read warm, s | its CPU, s | peak, GB "
        "| last 10 bytes gone | last 100 zero | opens with |"
    )
    print("|---" * 12 + "|")
    for r in results:
        share = 2 * r.append_us * 1e-6 / (STEPS_PER_EPOCH * STEP_S)
        cells = [
            r.name,
            f"{r.run_bytes / 1e3:.0f} ({r.run_bytes / base.run_bytes:.2f}×)",
            f"{r.append_us:.0f} ({r.append_us / base.append_us:.1f}×)",
            f"{r.worst_append_ms:.1f}",
            f"{share:.3%}",
            f"{r.cold_s:.2f} ({r.cold_s / base.cold_s:.1f}×)",
            f"{r.warm_s:.2f} ({r.warm_s / base.warm_s:.1f}×)",
            f"{r.cpu_s:.2f} ({r.cpu_s / base.cpu_s:.1f}×)",
            f"{r.peak_gb:.2f}" if r.peak_gb is not None else "scaled",
            *r.torn,
            r.opens_with,
        ]
        print("| " + " | ".join(cells) + " |", flush=True)


def time_last_rows(root: Path, *, num_epochs: int) -> float:
    """Milliseconds of `read_last` for one run, warm."""
    write_run(Hpcexp(), root / "run", make_rows(num_epochs, seed=1))
    times = []
    for _ in range(50):
        begin = time.perf_counter()
        read_last(root / "run")
        times.append(time.perf_counter() - begin)
    return statistics.median(times) * 1e3


@contextmanager
def scratch_dir(parent: Path | None) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=parent, prefix="metrics_storage_") as name:
        yield Path(name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--smoke", action="store_true", help="tiny, to see that it works")
    parser.add_argument("--dir", type=Path, help="where to write; default: the temporary place")
    arguments = parser.parse_args()
    num_runs, num_epochs = (20, 100) if arguments.smoke else (1000, 4000)
    results = []
    for candidate in CANDIDATES:
        with scratch_dir(arguments.dir) as root:
            results.append(measure(candidate, root, num_runs=num_runs, num_epochs=num_epochs))
    print(f"{num_runs} runs of {num_epochs} epochs, 2 splits, {len(METRICS)} metrics\n")
    print_table(results)
    with scratch_dir(arguments.dir) as root:
        print(f"\nread_last: {time_last_rows(root, num_epochs=num_epochs):.2f} ms a run")


if __name__ == "__main__":
    main()
