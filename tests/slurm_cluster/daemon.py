"""One daemon of the cluster: a child process with a log and a question that tells when it is up."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.slurm_cluster.waiting import wait_until

NUM_LOG_LINES_SHOWN = 20
START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 15


class ClusterError(RuntimeError):
    """The test cluster does not do what it was asked to do."""


@dataclass
class Daemon:
    """A program that runs until it is stopped.

    `is_up` is asked repeatedly after the start, until it says yes.
    """

    name: str
    command: Sequence[str]
    env: Mapping[str, str]
    work_dir: Path
    log_path: Path
    is_up: Callable[[], bool]
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    @property
    def pid(self) -> int | None:
        """The process id, or None where the daemon does not run."""
        if self._process is None or self._process.poll() is not None:
            return None
        return self._process.pid

    def launch(self) -> None:
        """Start the process without waiting for it to be up."""
        if self.pid is not None:
            raise ClusterError(f"{self.name} runs already, with pid {self.pid}")
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(
                self.command,
                env=self.env,
                cwd=self.work_dir,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C reaches the caller only, which stops the daemons in the right order.
                start_new_session=True,
            )

    def wait_until_up(self) -> None:
        """Raises ClusterError, with the end of the log, where the daemon does not come up."""
        with contextlib.suppress(TimeoutError):
            wait_until(lambda: self.pid is None or self.is_up(), timeout_s=START_TIMEOUT_S)
            if self.pid is not None:
                return
        if self.pid is None and self._process is not None:
            reason = f"ended with exit status {self._process.returncode}"
        else:
            reason = f"did not answer within {START_TIMEOUT_S} s"
        raise ClusterError(
            f"{self.name} {reason}\n"
            f"  command: {' '.join(self.command)}\n"
            f"  end of {self.log_path}:\n{self._log_tail()}"
        )

    def stop(self, *, kill: bool = False) -> None:
        """Terminate (or kill) the process and wait for its end; nothing where it does not run."""
        if self._process is None or self.pid is None:
            return
        os.kill(self._process.pid, signal.SIGKILL if kill else signal.SIGTERM)
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(STOP_TIMEOUT_S)

    def _log_tail(self) -> str:
        text = self.log_path.read_text(errors="replace") if self.log_path.exists() else ""
        lines = text.splitlines()[-NUM_LOG_LINES_SHOWN:] or ["(empty)"]
        return "\n".join(f"    {line}" for line in lines)
