"""Training runs of an experiment from their directories, whatever happens on the way."""

from __future__ import annotations

import logging
from collections.abc import Generator
from typing import TYPE_CHECKING

from hpcexp.errors import HpcexpError, RunOwnedError, SupersededError
from hpcexp.store.layout import RunDir
from hpcexp.store.ownership import acquire
from hpcexp.store.status import SETTLED, read_status
from hpcexp.train.result import FitResult
from hpcexp.worker.attempt import Attempt, begin_attempt
from hpcexp.worker.heartbeat import beating
from hpcexp.worker.interruption import Interruption
from hpcexp.worker.logs import logging_to
from hpcexp.worker.patience import Patience, show

if TYPE_CHECKING:
    from hpcexp.train.fit import Training

logger = logging.getLogger("hpcexp.worker")

Attempted = Generator["Training", "FitResult | Exception", bool]


def train_run(run_dir: RunDir, *, interruption: Interruption, num_threads: int) -> bool:
    """Train a run to its end, alone; returns what `attempt_run` returns, and raises the same."""
    attempted = attempt_run(run_dir, interruption=interruption, num_threads=num_threads)
    try:
        training = next(attempted)
        attempted.send(_fit(training))
    except StopIteration as end:
        return bool(end.value)
    raise AssertionError("a run has one end")


def _fit(training: Training) -> FitResult | Exception:
    from hpcexp.train.fit import train_alone

    try:
        return train_alone(training)
    except Exception as error:
        return error


def attempt_run(
    run_dir: RunDir, *, interruption: Interruption, num_threads: int, num_lanes: int = 1
) -> Attempted:
    """Prepare a run, which the caller then trains, and leave a status that says how it ended.

    Yields the run, and is sent its result, or what went wrong. A finished run is left as it
    is, as is one that another live process trains: then nothing is yielded. An error of the
    run (a wrong shape, no memory, a full disk) is written down as `failed`, with its
    traceback in the log. Returns whether the run's directory says how it ended, which a full
    disk can prevent.

    Raises RunOwnedError where another process owns the run.
    """
    try:
        yield from _attempt_unless_done(run_dir, interruption.for_run(), num_threads, num_lanes)
        return True
    except SupersededError as error:
        # Said to the job's log only: the attempt's lies in the run's directory.
        logger.warning("%s; stopping without another write", error)
        return True
    except RunOwnedError:
        raise
    except (OSError, HpcexpError) as error:
        logger.error("%s: how it ended could not be written down: %s", run_dir.name, show(error))
    except Exception:
        logger.exception("%s: how it ended could not be written down", run_dir.name)
    return False


def _attempt_unless_done(
    run_dir: RunDir, interruption: Interruption, num_threads: int, num_lanes: int
) -> Generator[Training, FitResult | Exception, None]:
    patience = Patience(run_dir.experiment.path, interruption)
    if patience(lambda: _is_settled(run_dir), is_refusal_final=True):
        return
    ownership = patience(lambda: acquire(run_dir), is_refusal_final=True)
    # Looked at again: another attempt may have ended it just before it gave it up.
    if not patience(lambda: _is_settled(run_dir)):
        log = run_dir.log_path(ownership.attempt)
        with logging_to(log, about=run_dir.path), beating(ownership):
            attempt = begin_attempt(ownership, patience)
            if attempt is not None:
                yield from _see_through(attempt, num_threads, num_lanes)
    patience(ownership.release, check=ownership.check)


def _is_settled(run_dir: RunDir) -> bool:
    """Also one that failed: a bundle that is started again must not try it again and again."""
    status = read_status(run_dir)
    if status.state in SETTLED:
        logger.info("%s is %s already", run_dir.name, status.state.words)
    return status.state in SETTLED


def _see_through(
    attempt: Attempt, num_threads: int, num_lanes: int
) -> Generator[Training, FitResult | Exception, None]:
    outcome: FitResult | Exception
    try:
        try:
            prepared = attempt.prepare(num_threads, num_lanes=num_lanes)
        except Exception as error:
            outcome = error
        else:
            outcome = prepared if isinstance(prepared, FitResult) else (yield prepared)
        attempt.end(outcome)
    finally:
        attempt.sink.close()
