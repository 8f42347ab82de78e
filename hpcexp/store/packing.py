"""How a job chose to pack its runs, where the template leaves that to the node."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hpcexp.store.files import build_record, read_json, write_json
from hpcexp.store.layout import ExperimentDir


@dataclass(frozen=True)
class PackingRecord:
    """The packing of runs that are alike: `num_lanes` at a time in each of `num_processes`.

    `why` is a line for people. `memory_bytes` is what there was, `base_bytes` and `lane_bytes`
    what a process needs and each lane besides, by the `measured` ones; 0 where nothing was.
    """

    runs: tuple[str, ...]
    num_lanes: int
    num_processes: int
    why: str
    host: str
    chosen: float
    memory_bytes: float = 0.0
    base_bytes: float = 0.0
    lane_bytes: float = 0.0
    measured: tuple[Mapping[str, Any], ...] = ()


def write_packings(
    experiment: ExperimentDir,
    submission_id: str,
    index: int,
    packings: Sequence[PackingRecord],
) -> None:
    """Replace what a bundle chose: a job that is started again chooses again."""
    path = experiment.packing_path(submission_id, index)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, [dataclasses.asdict(packing) for packing in packings])


def read_packings(experiment: ExperimentDir) -> list[PackingRecord]:
    """What all bundles chose that have begun.

    Raises HpcexpError where a record is damaged.
    """
    found = []
    for path in experiment.iter_packing_paths():
        values = read_json(path)
        for value in values if isinstance(values, list) else [values]:
            record = build_record(value, PackingRecord, path=path)
            found.append(dataclasses.replace(record, runs=tuple(record.runs)))
    return found
