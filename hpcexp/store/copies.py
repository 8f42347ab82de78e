"""Copies of experiments that live on another machine: they know where they come from."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from hpcexp.errors import UsageError
from hpcexp.store.files import read_record, write_json
from hpcexp.store.layout import ExperimentDir


@dataclass(frozen=True)
class CopyRecord:
    """Where a copy was taken, and when.

    `host` is what ssh calls it, `site` its name in the configuration files, if it has one, `path`
    the experiment's path there. `copied` is the time (with zone) at which the copying began: what
    changed later may be missing.
    """

    host: str
    path: str
    copied: str
    site: str = ""
    has_checkpoints: bool = False

    @property
    def place(self) -> str:
        """Such as `me@login.example:/scratch/experiments/2022_m12_d14@14_58_06_max_epoch`."""
        return f"{self.host}:{self.path}"

    @property
    def label(self) -> str:
        """The site's name, else the host's."""
        return self.site or self.host


def read_copy_record(experiment: ExperimentDir) -> CopyRecord | None:
    """Where an experiment was copied from; None where this is its own place.

    Raises HpcexpError where the record is damaged.
    """
    if not experiment.copy_record_path.exists():
        return None
    return read_record(experiment.copy_record_path, CopyRecord)


def write_copy_record(experiment: ExperimentDir, record: CopyRecord) -> None:
    """Make the directory a copy."""
    write_json(experiment.copy_record_path, dataclasses.asdict(record))


def refuse_copy(experiment: ExperimentDir) -> None:
    """Raise UsageError for a copy, whose runs train elsewhere if at all."""
    record = read_copy_record(experiment)
    if record is not None:
        raise UsageError(
            f"{experiment.name}: is a copy of {record.place}, and its runs may be training there: "
            f"type this on {record.label}. To make it an experiment of its own, which then goes "
            f"its own way, delete {experiment.copy_record_path}"
        )
