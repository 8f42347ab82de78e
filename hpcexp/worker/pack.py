"""Several runs of a bundle trained at the same time: as lanes of one program."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hpcexp.errors import RunOwnedError
from hpcexp.store.layout import RunDir
from hpcexp.worker.interruption import Interruption
from hpcexp.worker.logs import speaking_of
from hpcexp.worker.run import Attempted, attempt_run

if TYPE_CHECKING:
    from hpcexp.train.fit import FitResult, Training

logger = logging.getLogger("hpcexp.worker")


@dataclass(frozen=True)
class PackEnd:
    """Runs that another process owns, those that could not be told how they ended, and those
    that turned out to be no lanes of one program: they are to go on without each other."""

    owned: list[RunDir] = field(default_factory=list)
    unwritten: list[RunDir] = field(default_factory=list)
    given_back: list[RunDir] = field(default_factory=list)


@dataclass(frozen=True)
class _Member:
    run_dir: RunDir
    attempted: Attempted
    training: Training


def train_pack(
    run_dirs: Sequence[RunDir],
    *,
    interruption: Interruption,
    num_threads: int,
    gives_back: bool = False,
) -> PackEnd:
    """Train runs of one shape together, each with its own directory, status, log and end.

    Where the model cannot be mapped over lanes they are given back if that is wanted, else
    trained one after another.
    """
    end = PackEnd()
    members = []
    for run_dir in run_dirs:
        if interruption.signal is not None:
            break
        attempted = attempt_run(
            run_dir,
            interruption=interruption,
            num_threads=num_threads,
            num_lanes=len(run_dirs),
        )
        if (training := _begin(run_dir, attempted, end)) is not None:
            members.append(_Member(run_dir, attempted, training))
    if not members:
        return end
    from hpcexp.train.lanes import fit_lanes

    logger.info("%d runs are trained together, as lanes of one program", len(members))

    def speak(position: int) -> AbstractContextManager[None]:
        return speaking_of(members[position].run_dir.path)

    trainings = [member.training for member in members]
    for lane in fit_lanes(trainings, within=speak, gives_back=gives_back):
        _finish(members[lane.position], lane.result, end)
        if lane.is_given_back and interruption.signal is None:
            end.given_back.append(members[lane.position].run_dir)
    return end


def _begin(run_dir: RunDir, attempted: Attempted, end: PackEnd) -> Training | None:
    with speaking_of(run_dir.path):
        try:
            return next(attempted)
        except RunOwnedError as error:
            logger.warning("%s", error)
            end.owned.append(run_dir)
        except StopIteration as stop:
            if not stop.value:
                end.unwritten.append(run_dir)
    return None


def _finish(member: _Member, outcome: FitResult | Exception, end: PackEnd) -> None:
    with speaking_of(member.run_dir.path):
        try:
            member.attempted.send(outcome)
        except StopIteration as stop:
            if not stop.value:
                end.unwritten.append(member.run_dir)
