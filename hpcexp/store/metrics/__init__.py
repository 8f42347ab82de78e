"""A run's metrics on disk: one self-describing file of fixed-width rows per attempt.

`metrics.<attempt>.bin` starts with two lines of text: the format's name, its version and a
checksum of the second line; then JSON with the fields of a row. Rows of equal size follow,
each ending in its own checksum. Without hpcexp, three statements read it:

    with open(path, "rb") as file:
        header = (file.readline(), json.loads(file.readline()))[1]
        rows = numpy.fromfile(file, dtype=[tuple(field) for field in header["fields"]])

Only the writer of an attempt ever writes its file, at offsets that it knows, and it syncs
each block before the next; so only the last MAX_BLOCK_ROWS rows can be torn. Readers take
the file with the highest attempt, need no lock, and leave a torn tail out.
Why this format: docs/decisions/0001-metrics-storage.md.
"""

from hpcexp.store.metrics.encoding import FORMAT_NAME, FORMAT_VERSION, MAX_BLOCK_ROWS
from hpcexp.store.metrics.files import find_newest, metrics_path
from hpcexp.store.metrics.joining import concatenate
from hpcexp.store.metrics.reading import read_concatenated, read_last, read_many, read_metrics
from hpcexp.store.metrics.table import SPLITS, MetricsRow, MetricsTable
from hpcexp.store.metrics.writing import MetricsWriter

__all__ = [
    "FORMAT_NAME",
    "FORMAT_VERSION",
    "MAX_BLOCK_ROWS",
    "SPLITS",
    "MetricsRow",
    "MetricsTable",
    "MetricsWriter",
    "read_metrics",
    "read_last",
    "read_many",
    "read_concatenated",
    "concatenate",
    "find_newest",
    "metrics_path",
]
