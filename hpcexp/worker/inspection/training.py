"""Looking into a model while it trains, into the run's own directory.

What is made is kept small: few sequences, and of each kind the first and the newest.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING

from hpcexp.store.files import write_bytes
from hpcexp.store.layout import RunDir
from hpcexp.store.ownership import Ownership
from hpcexp.train.inspection import Findings, Inspectable, InspectionSettings, Request
from hpcexp.worker.inspection.write import make_number_table, render_findings, render_part

if TYPE_CHECKING:
    from torch import nn

    from hpcexp.train.workload import Workload

logger = logging.getLogger("hpcexp.worker")

NUM_MEASURED = 64
"""Sequences that are measured, of the 512 that `hpcexp eval` measures afterwards."""


def make_training_inspector(workload: Workload, ownership: Ownership) -> TrainingInspector | None:
    """What `fit` calls every so many epochs; None where the config asks for nothing."""
    if not isinstance(workload, Inspectable) or workload.inspection_settings.every is None:
        return None
    return TrainingInspector(workload, workload.inspection_settings, ownership)


class TrainingInspector:
    """Writes what a workload shows of its model, for as long as this attempt owns the run."""

    def __init__(
        self, workload: Inspectable, settings: InspectionSettings, ownership: Ownership
    ) -> None:
        self.workload, self.settings, self.ownership = workload, settings, ownership
        self.run_dir: RunDir = ownership.run_dir
        self.request = Request(
            kinds=settings.kinds,
            sequences=tuple(range(settings.sequences)),
            num_measured=NUM_MEASURED,
        )

    def __call__(self, model: nn.Module, epoch: int) -> None:
        """Look, draw, and then write under the run's lock, which is held for moments only."""
        begun = time.monotonic()
        for findings in self.workload.inspect(model, self.request):
            contents = self._render(findings, epoch)
            with self.ownership.writing():
                self.run_dir.inspection_dir.mkdir(exist_ok=True)
                for path, content in contents.items():
                    write_bytes(path, content)
                self._remove_old(findings.kind)
        seconds = time.monotonic() - begun
        logger.info("looked into the model at epoch %d in %.1f s", epoch, seconds)

    def _render(self, findings: Findings, epoch: int) -> dict[Path, bytes]:
        def path_of(part: str, suffix: str) -> Path:
            return self.run_dir.inspection_path(
                findings.kind, epoch=epoch, part=part, suffix=suffix
            )

        headline = f"{self.run_dir.name}, epoch {epoch}"
        contents = render_findings(findings, path_of=path_of, headline=headline)
        if findings.numbers:
            table = make_number_table(findings)
            contents[path_of("numbers", "csv")] = render_part(table, headline=headline)
        return contents

    def _remove_old(self, kind: str) -> None:
        """Keep the first and the newest."""
        found = self.run_dir.list_inspections(kind)
        for epoch in list(found)[1 : max(1, len(found) - self.settings.keep)]:
            for path in found[epoch]:
                path.unlink(missing_ok=True)
