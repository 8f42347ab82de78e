"""Tables of finished results from elsewhere: a file -> experiments as it describes them.

Every fault of a file is collected and told with its line (CSV) or its place (JSON).
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hpcexp.errors import Problem, TemplateError, UsageError
from hpcexp.store.status import State
from hpcexp.template.names import describe_alternatives

STATES: dict[str, State] = {
    "completed": State.COMPLETED,
    "stopped": State.STOPPED,
    "diverged": State.DIVERGED,
    "failed": State.FAILED,
    "missing": State.FAILED,
}
VALUE = "value"
PARAMS = "params."
_OWN_COLUMNS = ("group", "rand_init", "state", "reason", "epoch", VALUE)
_IGNORED_COLUMNS = (
    "run",
    "metric",
    "is_final",
    "is_censored",
)  # of the tables that `hpcexp plot` writes
_ENTRY_KEYS = (
    "experiment", "name", "question", "workload", "metric", "variables", "params", "comparison",
    "groups", "runs",
)  # fmt: skip
_RUN_KEYS = ("params", "group", "rand_init", "state", "reason", "epoch", VALUE, "metrics")
_GROUP_KEYS = ("params", "group", "values", "epoch")
_METRIC_KEYS = ("name", "title", "success_below", "cap", "success_title")


@dataclass(frozen=True)
class Result:
    """One run: `params` by dotted name, `values` of metrics; `value` is the primary one, if any.

    `line` and `where` say where it stands in the file.
    """

    params: Mapping[str, Any]
    group: str | None
    rand_init: int | None
    state: State
    reason: str
    epoch: int | None
    value: float | None
    metrics: Mapping[str, float]
    line: int | None
    where: str


@dataclass(frozen=True)
class ResultsTable:
    """One experiment from elsewhere; what the file does not say is None or empty."""

    results: tuple[Result, ...]
    experiment: str | None = None
    question: str = ""
    workload: str | None = None
    metric: Mapping[str, Any] = field(default_factory=dict)
    variables: tuple[str, ...] | None = None
    comparison: Mapping[str, Any] = field(default_factory=dict)


def read_results(path: Path) -> list[ResultsTable]:
    """The experiments of a CSV file (one) or a JSON file (one object, or a list of them).

    Raises UsageError for a file that cannot be read, TemplateError with all of its faults.
    """
    if path.suffix.lower() not in (".csv", ".json"):
        raise UsageError(f"{path}: neither .csv nor .json; docs/statistics.md shows both forms")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: is no UTF-8 text (byte {error.start})") from error
    faults: list[Problem] = []
    reader = _Reader(str(path), faults)
    tables = reader.read_csv(text) if path.suffix.lower() == ".csv" else reader.read_json(text)
    if faults:
        raise TemplateError(faults)
    return tables


class _Reader:
    def __init__(self, path: str, faults: list[Problem]) -> None:
        self.path, self.faults = path, faults

    def fail(self, where: str, message: str, line: int | None = None) -> None:
        self.faults.append(Problem(self.path, line, where, message))

    # ---------------------------------------------------------------------------- CSV

    def read_csv(self, text: str) -> list[ResultsTable]:
        reader = csv.DictReader(io.StringIO(text, newline=""))
        columns = [name or "" for name in reader.fieldnames or []]
        if not self._check_columns(columns):
            return []
        results = []
        try:
            for row in reader:
                results.append(self._read_row(row, columns, reader.line_num))
        except csv.Error as error:
            self.fail("", f"is no CSV: {error}", reader.line_num)
        if not results and not self.faults:
            self.fail("", "holds no run: give one line for each")
        return [ResultsTable(tuple(r for r in results if r is not None))]

    def _check_columns(self, columns: Sequence[str]) -> bool:
        before = len(self.faults)
        if len(set(columns)) < len(columns):
            twice = sorted({name for name in columns if columns.count(name) > 1})
            self.fail("", f"a column is given twice: {', '.join(twice)}", 1)
        if "group" not in columns and not any(name.startswith(PARAMS) for name in columns):
            self.fail("", "no column says what a run is of; add params.NAME for each "
                      "hyperparameter, or group", 1)  # fmt: skip
        return len(self.faults) == before

    def _read_row(
        self, row: Mapping[str | None, Any], columns: Sequence[str], line: int
    ) -> Result | None:
        if None in row or any(cell is None for cell in row.values()):
            self.fail("", f"has not the {len(columns)} cells of the first line", line)
            return None
        cells = {str(name): str(cell).strip() for name, cell in row.items()}
        metrics = {
            name: cell
            for name, cell in cells.items()
            if name not in (*_OWN_COLUMNS, *_IGNORED_COLUMNS) and not name.startswith(PARAMS)
        }
        return self._make_result(
            {
                "params": {
                    name.removeprefix(PARAMS): _read_cell(cell)
                    for name, cell in cells.items()
                    if name.startswith(PARAMS)
                },
                **{name: cells[name] or None for name in _OWN_COLUMNS if name in cells},
                "metrics": {name: cell for name, cell in metrics.items() if cell},
            },
            where="",
            line=line,
        )

    # --------------------------------------------------------------------------- JSON

    def read_json(self, text: str) -> list[ResultsTable]:
        try:
            content = json.loads(text)
        except ValueError as error:
            self.fail("", f"is no JSON: {error}")
            return []
        entries = content if isinstance(content, list) else [content]
        if not entries:
            self.fail("", "holds no experiment")
        tables = []
        for place, entry in enumerate(entries):
            where = f"[{place}]" if isinstance(content, list) else ""
            if self._check_keys(entry, _ENTRY_KEYS, where, "an experiment"):
                tables.append(self._read_entry(entry, where))
        return tables

    def _read_entry(self, entry: Mapping[str, Any], where: str) -> ResultsTable:
        common = flatten_params(self._get(entry, "params", dict, where) or {})
        results: list[Result | None] = []
        for place, group in enumerate(self._get(entry, "groups", list, where) or []):
            results += self._read_group(group, common, _join(where, f"groups[{place}]"))
        for place, run in enumerate(self._get(entry, "runs", list, where) or []):
            here = _join(where, f"runs[{place}]")
            if self._check_keys(run, _RUN_KEYS, here, "a run"):
                params = flatten_params(self._get(run, "params", dict, here) or {})
                checked = {
                    "params": common | params,
                    "metrics": self._get(run, "metrics", dict, here),
                }
                results.append(self._make_result({**run, **checked}, here, None))
        if not results:
            self.fail(where, "holds no run: give groups with values, or runs")
        metric = self._get(entry, "metric", dict, where) or {}
        self._check_keys(metric, _METRIC_KEYS, _join(where, "metric"), "a metric")
        for key in ("name", "title", "success_title"):
            self._get(metric, key, str, _join(where, "metric"))
        variables = self._get(entry, "variables", list, where)
        return ResultsTable(
            tuple(result for result in results if result is not None),
            experiment=self._get(entry, "experiment", str, where)
            or self._get(entry, "name", str, where),
            question=self._get(entry, "question", str, where) or "",
            workload=self._get(entry, "workload", str, where),
            metric=metric,
            variables=None if variables is None else tuple(str(name) for name in variables),
            comparison=self._get(entry, "comparison", dict, where) or {},
        )

    def _read_group(self, group: Any, common: Mapping[str, Any], where: str) -> list[Result | None]:
        if not self._check_keys(group, _GROUP_KEYS, where, "a group"):
            return []
        params = {**common, **flatten_params(self._get(group, "params", dict, where) or {})}
        shared = {key: group[key] for key in ("group", "epoch") if key in group}
        values = self._get(group, "values", list, where)
        if not values:
            self.fail(_join(where, "values"), "missing or empty; give the final value of each run")
        return [
            self._make_result(
                {**shared, "params": params, VALUE: value}, _join(where, f"values[{place}]"), None
            )
            for place, value in enumerate(values or [])
        ]

    def _check_keys(self, value: Any, known: Sequence[str], where: str, noun: str) -> bool:
        if not isinstance(value, dict):
            self.fail(where, f"is no object; {noun} has {', '.join(known)}")
            return False
        unknown = [key for key in value if key not in known]
        for key in unknown:
            self.fail(
                _join(where, key), f"no such key of {noun}{describe_alternatives(key, known)}"
            )
        return not unknown

    def _get(self, values: Mapping[str, Any], key: str, kind: type[object], where: str) -> Any:
        value = values.get(key)
        if value is None or isinstance(value, kind):
            return value
        names: dict[type[object], str] = {dict: "an object", list: "a list"}
        name = names.get(kind, "text")
        self.fail(_join(where, key), f"must be {name}, not {value!r:.40}")
        return None

    # --------------------------------------------------------------------------- both

    def _make_result(self, run: Mapping[str, Any], where: str, line: int | None) -> Result | None:
        before = len(self.faults)
        spelled = str(run.get("state") or "completed")
        if spelled not in STATES:
            self.fail(_join(where, "state"), f"no such state: {spelled}; there are: "
                      f"{', '.join(STATES)}", line)  # fmt: skip
        state = STATES.get(spelled, State.FAILED)
        metrics = {
            name: self._read_number(cell, _join(where, name), line, state)
            for name, cell in (run.get("metrics") or {}).items()
        }
        result = Result(
            params=run["params"],
            group=None if run.get("group") is None else str(run["group"]),
            rand_init=self._read_whole(run.get("rand_init"), _join(where, "rand_init"), 0, line),
            state=state,
            reason=str(run.get("reason") or ("missing" if spelled == "missing" else "")),
            epoch=self._read_whole(run.get("epoch"), _join(where, "epoch"), 1, line),
            value=self._read_number(run.get(VALUE), where or VALUE, line, state),
            metrics={name: number for name, number in metrics.items() if number is not None},
            line=line,
            where=where,
        )
        return result if len(self.faults) == before else None

    def _read_number(self, cell: Any, where: str, line: int | None, state: State) -> float | None:
        if cell is None or (isinstance(cell, str) and not cell):
            return None
        try:
            number = math.nan if isinstance(cell, bool) else float(cell)
        except (TypeError, ValueError):
            self.fail(where, f"{cell!r:.40} is no number", line)
            return None
        if math.isfinite(number):
            return number
        if state is not State.DIVERGED:
            self.fail(where, f"{cell!r:.40} is no outcome; write state diverged if it is one", line)
        return None

    def _read_whole(self, cell: Any, where: str, smallest: int, line: int | None) -> int | None:
        if cell is None or cell == "":
            return None
        try:
            number = float(cell)
        except (TypeError, ValueError):
            number = math.nan
        if isinstance(cell, bool) or not number.is_integer() or number < smallest:
            self.fail(where, f"{cell!r:.40} is no whole number from {smallest}", line)
            return None
        return int(number)


def flatten_params(params: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested hyperparameters by dotted name; a section that names its `kind` stays whole.

    Its other settings mean nothing without the kind, and may be called differently elsewhere.
    """
    flat: dict[str, Any] = {}
    for name, value in params.items():
        if isinstance(value, Mapping) and value and "kind" not in value:
            flat |= flatten_params(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def _read_cell(cell: str) -> Any:
    """A number, truth value, list, ... as JSON spells it; else the text. Empty is null."""
    if not cell:
        return None
    try:
        return json.loads(cell)
    except ValueError:
        return cell


def _join(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name
