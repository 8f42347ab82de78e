"""Having the runs of a bundle followed, by a process for each tracker."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from hpcexp.errors import HpcexpError
from hpcexp.store.experiment import read_plan
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.tracking import read_tracked, write_tracked
from hpcexp.template.track import choose_trackers
from hpcexp.worker.interruption import Interruption
from hpcexp.worker.processes import list_flags

logger = logging.getLogger("hpcexp.worker")

END_WITHIN_S = 60.0
AFTER_A_SIGNAL_S = 5.0  # Slurm kills half a minute after it asked


@contextmanager
def tracking(
    experiment: ExperimentDir, names: Sequence[str], interruption: Interruption
) -> Iterator[None]:
    """Within, the trackers that are on follow the runs; what goes wrong harms none of them."""
    processes = _start_all(experiment, names) if names else []
    try:
        yield
    finally:
        if processes:
            limit_s = END_WITHIN_S if interruption.signal is None else AFTER_A_SIGNAL_S
            _end_all(experiment, names, processes, limit_s)


@dataclass(frozen=True)
class _Process:
    kind: str
    child: subprocess.Popen[bytes]


def _start_all(experiment: ExperimentDir, names: Sequence[str]) -> list[_Process]:
    try:
        chosen = choose_trackers(read_plan(experiment).track, os.environ)
        return [_start(experiment, names, kind, own) for kind, own in chosen.items()]
    except (HpcexpError, OSError) as error:
        logger.warning("no tracker follows the runs: %s", error)
        return []


def _start(
    experiment: ExperimentDir, names: Sequence[str], kind: str, options: Mapping[str, Any]
) -> _Process:
    command = [sys.executable, *list_flags(), "-m", "hpcexp.worker.tracking"]
    arguments = [str(experiment.path), kind, json.dumps(options), *names]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    experiment.tracking_dir(kind).mkdir(parents=True, exist_ok=True)
    child = subprocess.Popen(
        [*command, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        env=environment,
    )
    logger.info("%s follows the runs: %s", kind, experiment.tracking_dir(kind))
    return _Process(kind, child)


def _end_all(
    experiment: ExperimentDir, names: Sequence[str], processes: Sequence[_Process], limit_s: float
) -> None:
    end = time.monotonic() + limit_s
    for process in processes:
        assert process.child.stdin is not None
        with suppress(OSError):
            process.child.stdin.close()
    for process in processes:
        problem = ""
        try:
            code = process.child.wait(max(0.1, end - time.monotonic()))
            problem = f"its process ended with {code}" if code else ""
        except subprocess.TimeoutExpired:
            process.child.kill()
            process.child.wait()
            problem = f"it did not end within {limit_s:.0f} s"
        _tell_end(experiment, names, process.kind, problem)


def _tell_end(experiment: ExperimentDir, names: Sequence[str], kind: str, problem: str) -> None:
    """Once in the job's log, and in the records of runs whose rows are not all there."""
    lacking = {}
    for name in names:
        with suppress(HpcexpError, OSError):
            run_dir = experiment.run(name)
            tracked, num_missing = (
                read_tracked(run_dir, kind),
                _count_missing(experiment, name, kind),
            )
            if num_missing:
                lacking[name] = num_missing
                words = tracked.problem or problem
                write_tracked(run_dir, kind, tracked.replace(problem=words))
                problem = words
    if lacking:
        logger.warning(
            "%s lacks %d rows of %d runs: %s", kind, sum(lacking.values()), len(lacking), problem
        )


def _count_missing(experiment: ExperimentDir, name: str, kind: str) -> int:
    from hpcexp.store.metrics import read_metrics
    from hpcexp.worker.tracking.follow import count_missing

    run_dir = experiment.run(name)
    return count_missing(read_tracked(run_dir, kind), read_metrics(run_dir.path))
