"""An attempt at a run: from the moment this process owns it to the words of how it ended."""

from __future__ import annotations

import logging
import os
import shlex
import socket
import time
import traceback
from typing import TYPE_CHECKING

from hpcexp.errors import OwnLoopError, StorageError, SupersededError
from hpcexp.store.checkpoints import find_newest_step
from hpcexp.store.experiment import RunConfig, read_run_config
from hpcexp.store.layout import RunDir
from hpcexp.store.ownership import Ownership
from hpcexp.store.status import RunStatus, State, read_status, write_status
from hpcexp.worker.code import describe_code
from hpcexp.worker.failures import choose_failure, explain
from hpcexp.worker.own_loop.loop import train_own_loop
from hpcexp.worker.patience import PASSING, Patience, PatientSink, find_errno
from hpcexp.worker.variables import read_seconds
from hpcexp.workloads.own_loop import has_own_loop

if TYPE_CHECKING:
    from hpcexp.train.fit import FitResult, Training
    from hpcexp.worker.sink import RunDirSink

logger = logging.getLogger("hpcexp.worker")

CHECKPOINT_VARIABLE = "HPCEXP_CHECKPOINT_EVERY_S"
GRAPH_VARIABLE = "HPCEXP_CUDA_GRAPHS"
CHECKPOINT_EVERY_S = 300.0
MAX_DEATHS = 5
EXACT = (State.COMPLETED, State.STOPPED)  # these end with an epoch


class Attempt:
    """A run that this process owns and trains. `sink` is its directory, for the training core."""

    def __init__(self, ownership: Ownership, sink: RunDirSink, patience: Patience) -> None:
        self.ownership, self.sink, self.patience = ownership, sink, patience

    def prepare(self, num_threads: int, *, num_lanes: int = 1) -> Training | FitResult:
        """The run as the core trains it.

        Its result at once where it is asked to stop already, or has trained by itself.
        """
        self.patience(self.sink.write_status, check=self.ownership.check)
        config = self.patience(
            lambda: read_run_config(self.sink.run_dir), check=self.ownership.check
        )
        if has_own_loop(config.workload):
            return train_own_loop(self.sink, config, self.patience, num_threads=num_threads)
        return _prepare(self.sink, config, self.patience, num_threads, num_lanes)

    def end(self, outcome: FitResult | Exception) -> None:
        """Write down how the run ended.

        Raises SupersededError where another attempt owns it by now.
        """
        if isinstance(outcome, SupersededError):
            raise outcome
        if not isinstance(outcome, Exception):
            try:
                _write_end(self.sink, outcome, self.patience)
                return
            except SupersededError:
                raise
            except Exception as error:
                outcome = error
        self.ownership.check()  # what a newer attempt caused by deleting our files is no failure
        _write_failure(self.sink, outcome, self.patience)


def begin_attempt(ownership: Ownership, patience: Patience) -> Attempt | None:
    """None where the run has died too often, which is written down."""
    from hpcexp.worker.sink import RunDirSink

    run_dir = ownership.run_dir
    logger.info(
        "%s, attempt %d, on %s, process %d",
        run_dir.name,
        ownership.attempt,
        socket.gethostname(),
        os.getpid(),
    )
    status = patience(lambda: read_status(run_dir))
    deaths = patience(lambda: count_deaths(run_dir, status))
    if deaths > MAX_DEATHS:
        _give_up(ownership, status, deaths)
        return None
    begun_step = patience(lambda: find_progress(run_dir, status))
    if begun_step == 0 < status.step:
        logger.info("begins anew: it had come to step %d, without a checkpoint", status.step)
    status = status.replace(
        state=State.RUNNING,
        attempt=ownership.attempt,
        deaths=deaths,
        begun_step=begun_step,
        reason="",
        hint="",
        host=ownership.owner.host,
        job_id=ownership.owner.job_id,
        pid=ownership.owner.pid,
        started=time.time(),
        ended=None,
    )
    sink = RunDirSink(ownership, status=status, interruption=patience.interruption)
    return Attempt(ownership, sink, patience)


def _prepare(
    sink: RunDirSink, config: RunConfig, patience: Patience, num_threads: int, num_lanes: int
) -> Training | FitResult:
    # Imported here, after the signal handlers are in place: it takes seconds.
    import torch

    from hpcexp.train.fit import FitOptions, FitResult, Training
    from hpcexp.train.seeding import RandomStreams
    from hpcexp.worker.inspection.training import make_training_inspector
    from hpcexp.worker.warm_start import load_initial
    from hpcexp.workloads import load_config_class, load_workload

    torch.set_num_threads(num_threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    machine = {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "num_threads": num_threads,
        "lanes": num_lanes,
        "torch": torch.__version__,
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "code": describe_code(sink.ownership.run_dir.experiment),
    }
    sink.ownership.check()  # the imports above took their time
    logger.info("%s", "  ".join(f"{k}: {v}" for k, v in machine.items()))
    sink.status = sink.status.replace(machine=machine)
    if reason := sink.interruption():
        return FitResult("interrupted", sink.status.step, sink.status.epoch, reason)
    hyperparameters = load_config_class(config.workload).model_validate(config.params)
    workload = load_workload(config.workload, hyperparameters)
    inspector = make_training_inspector(workload, sink.ownership)
    return Training(
        workload,
        streams=RandomStreams(config.seed, config.rand_init),
        sink=PatientSink(sink, sink.ownership, patience),
        options=FitOptions(
            device=device,
            checkpoint_every_s=find_checkpoint_interval_s(),
            inspect=inspector,
            inspect_every=inspector.settings.every if inspector else None,
            captures=wants_capture(),
        ),
        initial=load_initial(workload, rand_init=config.rand_init),
    )


def wants_capture() -> bool:
    """Whether lanes on a GPU train by a CUDA graph: where `HPCEXP_CUDA_GRAPHS` is 1."""
    return os.environ.get(GRAPH_VARIABLE) == "1"


def find_checkpoint_interval_s() -> float:
    """Seconds between checkpoints: `HPCEXP_CHECKPOINT_EVERY_S`, else 300. It changes no number.

    Raises UsageError for what is no number of seconds.
    """
    meaning = f"for a checkpoint every {CHECKPOINT_EVERY_S:.0f} s"
    return read_seconds(CHECKPOINT_VARIABLE, CHECKPOINT_EVERY_S, meaning=meaning)


def _write_end(sink: RunDirSink, result: FitResult, patience: Patience) -> None:
    states = {
        "completed": State.COMPLETED,
        "stopped": State.STOPPED,
        "diverged": State.DIVERGED,
        "interrupted": patience.interruption.state,
    }
    hints = {
        State.TIMED_OUT: "hpcexp resume continues it from here",
        State.INTERRUPTED: "hpcexp resume continues it from here",
        State.CANCELLED: "hpcexp resume RUN continues it from here",
        State.DIVERGED: _suggest_replay(sink.run_dir),
    }
    state = states[result.outcome]

    def end() -> RunStatus:
        return sink.end(
            state=state,
            step=result.step,
            epoch=result.epoch if state in EXACT else sink.status.epoch,
            reason=result.reason,
            hint=hints.get(state, ""),
        )

    status = patience(end, check=sink.ownership.check)
    reason = f" ({status.reason})" if status.reason else ""
    logger.info("%s after %d steps%s", status.state.words, status.step, reason)


def _write_failure(sink: RunDirSink, error: Exception, patience: Patience) -> None:
    """Patience that has ended does not begin once more."""
    is_disk = isinstance(error, StorageError) or find_errno(error) in PASSING
    shown = "".join(traceback.format_exception(error))
    is_told = is_disk or isinstance(error, OwnLoopError)  # its own traceback is in the log
    logger.error("%s", explain(error)[0] if is_told else shown)
    reason, hint = explain(error)

    def end() -> None:
        sink.end(state=choose_failure(error), reason=reason, hint=hint)

    if is_disk:
        end()
    else:
        patience(end, check=sink.ownership.check)


def _suggest_replay(run_dir: RunDir) -> str:
    """Empty where the step could not be recorded."""
    if not run_dir.forensics_path.exists():
        return ""
    return f"hpcexp replay {shlex.join([run_dir.experiment.name, run_dir.name])}"


def count_deaths(run_dir: RunDir, status: RunStatus) -> int:
    """How often in a row the run's process has died without a word and without progress.

    Killed by the kernel for its memory, or by a fault of its own, a run would die again
    and again, and its job be started again and again.
    """
    if status.state != State.RUNNING:
        return 0
    made_progress = find_progress(run_dir, status) > status.begun_step
    return 1 if made_progress else status.deaths + 1


def find_progress(run_dir: RunDir, status: RunStatus) -> int:
    """The step from which a run goes on; of one that trains by itself, how far it came.

    What its own checkpoints hold is not known.
    """
    return status.step if run_dir.own_dir.exists() else find_newest_step(run_dir)


def _give_up(ownership: Ownership, status: RunStatus, deaths: int) -> None:
    reason = (
        f"its process died {deaths} times without a word after step {status.begun_step}: "
        "out of memory, or killed from outside"
    )
    logger.error("%s", reason)
    with ownership.writing():
        write_status(
            ownership.run_dir,
            status.replace(
                state=State.FAILED,
                attempt=ownership.attempt,
                reason=reason,
                hint="hpcexp logs shows its last words; hpcexp retry --mem-gb asks for more memory",
                ended=time.time(),
            ),
        )
