"""Training one run of an experiment from its directory, whatever happens on the way."""

from __future__ import annotations

import logging
import math
import os
import shlex
import socket
import time
import traceback
from typing import TYPE_CHECKING

from hpcexp.errors import (
    HpcexpError,
    RunOwnedError,
    StorageError,
    SupersededError,
    UsageError,
)
from hpcexp.store.checkpoints import find_newest_step
from hpcexp.store.experiment import RunConfig, read_run_config
from hpcexp.store.layout import RunDir
from hpcexp.store.ownership import Ownership, acquire
from hpcexp.store.status import SETTLED, RunStatus, State, read_status, write_status
from hpcexp.worker.code import describe_code
from hpcexp.worker.heartbeat import beating
from hpcexp.worker.interruption import Interruption
from hpcexp.worker.logs import logging_to
from hpcexp.worker.patience import PASSING, Patience, PatientSink, find_errno, show

if TYPE_CHECKING:
    from hpcexp.train.fit import FitResult
    from hpcexp.worker.sink import RunDirSink

logger = logging.getLogger("hpcexp.worker")

CHECKPOINT_VARIABLE = "HPCEXP_CHECKPOINT_EVERY_S"
MAX_DEATHS = 5
EXACT = (State.COMPLETED, State.STOPPED)  # these end with an epoch
OUT_OF_MEMORY = ("can't allocate memory", "out of memory", "not enough memory")


def train_run(run_dir: RunDir, *, interruption: Interruption, num_threads: int) -> bool:
    """Train a run to its end, and leave a status that says how it ended.

    A finished run is left as it is, as is one that another live process trains. An error
    of the run (a wrong shape, no memory, a full disk) is written down as `failed`, with its
    traceback in the log, and does not reach the caller: the next run of the bundle goes on.
    Returns whether the run's directory says how it ended, which a full disk can prevent.

    Raises RunOwnedError where another process owns the run.
    """
    interruption.begin_run()
    try:
        _train_unless_done(run_dir, interruption, num_threads)
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


def _train_unless_done(run_dir: RunDir, interruption: Interruption, num_threads: int) -> None:
    patience = Patience(run_dir.experiment.path, interruption)
    if patience(lambda: _is_settled(run_dir), is_refusal_final=True):
        return
    ownership = patience(lambda: acquire(run_dir), is_refusal_final=True)
    # Looked at again: another attempt may have ended it just before it gave it up.
    if not patience(lambda: _is_settled(run_dir)):
        with logging_to(run_dir.log_path(ownership.attempt)), beating(ownership):
            _train_owned(ownership, patience, num_threads)
    patience(ownership.release, check=ownership.check)


def _is_settled(run_dir: RunDir) -> bool:
    """Also one that failed: a bundle that is started again must not try it again and again."""
    status = read_status(run_dir)
    if status.state in SETTLED:
        logger.info("%s is %s already", run_dir.name, status.state.words)
    return status.state in SETTLED


def _train_owned(ownership: Ownership, patience: Patience, num_threads: int) -> None:
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
        return
    status = status.replace(
        state=State.RUNNING,
        attempt=ownership.attempt,
        deaths=deaths,
        begun_step=patience(lambda: find_newest_step(run_dir)),
        reason="",
        hint="",
        host=ownership.owner.host,
        job_id=ownership.owner.job_id,
        pid=ownership.owner.pid,
        started=time.time(),
        ended=None,
    )
    sink = RunDirSink(ownership, status=status, interruption=patience.interruption)
    try:
        patience(sink.write_status, check=ownership.check)
        config = patience(lambda: read_run_config(run_dir), check=ownership.check)
        result = _fit(sink, config, patience, num_threads)
        _write_end(sink, result, patience)
    except SupersededError:
        raise
    except Exception as error:
        ownership.check()  # what a newer attempt caused by deleting our files is no failure
        _write_failure(sink, error, patience)
    finally:
        sink.close()


def _write_failure(sink: RunDirSink, error: Exception, patience: Patience) -> None:
    """Patience that has ended does not begin once more."""
    is_disk = isinstance(error, StorageError) or find_errno(error) in PASSING
    logger.error("%s", explain(error)[0] if is_disk else traceback.format_exc())
    reason, hint = explain(error)

    def end() -> None:
        sink.end(state=choose_failure(error), reason=reason, hint=hint)

    if is_disk:
        end()
    else:
        patience(end, check=sink.ownership.check)


def _fit(sink: RunDirSink, config: RunConfig, patience: Patience, num_threads: int) -> FitResult:
    # Imported here, after the signal handlers are in place: it takes seconds.
    import torch

    from hpcexp.train.fit import FitOptions, fit
    from hpcexp.train.seeding import RandomStreams
    from hpcexp.worker.inspection.training import make_training_inspector
    from hpcexp.worker.warm_start import load_initial
    from hpcexp.workloads import load_config_class, load_workload

    torch.set_num_threads(num_threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    machine = {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "num_threads": num_threads,
        "torch": torch.__version__,
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "code": describe_code(sink.ownership.run_dir.experiment),
    }
    sink.ownership.check()  # the imports above took their time
    logger.info("%s", "  ".join(f"{k}: {v}" for k, v in machine.items()))
    sink.status = sink.status.replace(machine=machine)
    if reason := sink.interruption():
        return _never_started(sink, reason)
    hyperparameters = load_config_class(config.workload).model_validate(config.params)
    workload = load_workload(config.workload, hyperparameters)
    inspector = make_training_inspector(workload, sink.ownership)
    return fit(
        workload,
        streams=RandomStreams(config.seed, config.rand_init),
        sink=PatientSink(sink, sink.ownership, patience),
        options=FitOptions(
            device=device,
            checkpoint_every_s=find_checkpoint_interval_s(),
            inspect=inspector,
            inspect_every=inspector.settings.every if inspector else None,
        ),
        initial=load_initial(workload, rand_init=config.rand_init),
    )


def find_checkpoint_interval_s() -> float:
    """Seconds between checkpoints: `HPCEXP_CHECKPOINT_EVERY_S`, else 300. It changes no number.

    Raises UsageError for what is no number of seconds.
    """
    text = os.environ.get(CHECKPOINT_VARIABLE, "300")
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not seconds >= 0:
        raise UsageError(
            f"{CHECKPOINT_VARIABLE}={text!r} is no number of seconds, such as 60; "
            "unset it for a checkpoint every 300 s"
        )
    return seconds


def _never_started(sink: RunDirSink, reason: str) -> FitResult:
    from hpcexp.train.fit import FitResult

    return FitResult("interrupted", sink.status.step, sink.status.epoch, reason)


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
    made_progress = find_newest_step(run_dir) > status.begun_step
    return 1 if made_progress else status.deaths + 1


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


def choose_failure(error: Exception) -> State:
    """Failed, or out of memory."""
    return State.OUT_OF_MEMORY if _is_out_of_memory(error) else State.FAILED


def _is_out_of_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or any(m in str(error) for m in OUT_OF_MEMORY)


def explain(error: Exception) -> tuple[str, str]:
    """What went wrong in words, and what to do about it."""
    text = str(error).strip().splitlines()
    first = text[0] if text else ""
    if _is_out_of_memory(error):
        where = "on the GPU" if "CUDA" in str(error) else "of the host"
        return (
            f"out of memory {where}: {first}" if first else f"out of memory {where}",
            "hpcexp retry --mem-gb asks for more, or make the model or batch smaller",
        )
    if isinstance(error, OSError) and error.strerror:
        name = f" ({error.filename})" if error.filename else ""
        return f"{error.strerror}{name}", "make room or mend the file system, then hpcexp resume"
    if isinstance(error, HpcexpError):
        return first, ""
    return f"{type(error).__name__}: {first}", "hpcexp logs shows the traceback"
