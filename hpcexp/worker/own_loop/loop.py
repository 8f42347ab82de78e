"""A run that trains by itself, from its start to the words of how it ended."""

from __future__ import annotations

import logging
import shlex
import signal
import time
from pathlib import Path

from pydantic import BaseModel

from hpcexp.errors import OwnLoopError
from hpcexp.store.experiment import RunConfig
from hpcexp.train.result import FitResult, Outcome
from hpcexp.worker.code import describe_code
from hpcexp.worker.own_loop.child import LEFT_BEHIND_S, Child
from hpcexp.worker.own_loop.ranks import clean_environment, find_cause, find_ranks, wrap_words
from hpcexp.worker.own_loop.records import Records, Streams
from hpcexp.worker.own_loop.reports import Completed, Report, ReportError, ReportFile
from hpcexp.worker.own_loop.tensorboard import EventFiles
from hpcexp.worker.own_loop.told import Told, tell
from hpcexp.worker.patience import Patience
from hpcexp.worker.sink import RunDirSink
from hpcexp.workloads import load_config_class
from hpcexp.workloads.own_loop.config import OwnLoopConfig

logger = logging.getLogger("hpcexp.worker")

POLL_EVERY_S = 0.1
MAX_FAULTS_LOGGED = 10


def train_own_loop(
    sink: RunDirSink, run_config: RunConfig, patience: Patience, *, num_threads: int
) -> FitResult:
    """Start the training, follow it to its end, and leave none of its processes behind.

    Raises OwnLoopError where it cannot be started or fails, SupersededError where another
    attempt owns the run, and what the file system raises when patience has ended.
    """
    config_class: type[BaseModel] = load_config_class(run_config.workload)
    config = config_class.model_validate(run_config.params)
    assert isinstance(config, OwnLoopConfig)
    check = sink.ownership.check
    streams = Streams(run_config.seed, run_config.rand_init)
    records = Records(sink, config, patience, streams=streams)
    sink.status = sink.status.replace(
        machine={"num_threads": num_threads, "code": describe_code(sink.run_dir.experiment)}
    )
    _record_left_reports(records, sink)
    if reason := sink.interruption():
        return FitResult("interrupted", records.step, records.epoch, reason)
    told = patience(lambda: tell(sink, run_config, config, num_threads=num_threads), check=check)
    words = config.list_words(told.given)
    return _Following(sink, config, records, told, words).follow()


def _record_left_reports(records: Records, sink: RunDirSink) -> None:
    """What the training of the attempt before reported when its worker was dead already."""
    earlier = [p for a, p in sink.run_dir.list_reports().items() if a < sink.ownership.attempt]
    if earlier:
        records.add_late([r for r in ReportFile(earlier[-1]).read() if isinstance(r, Report)])


class _Following:
    """One attempt: the process, and why it was asked to end."""

    def __init__(
        self,
        sink: RunDirSink,
        config: OwnLoopConfig,
        records: Records,
        told: Told,
        words: list[str],
    ) -> None:
        self.sink, self.config, self.records = sink, config, records
        self.log = sink.run_dir.log_path(sink.ownership.attempt)
        self.reports = ReportFile(sink.run_dir.reports_path(sink.ownership.attempt))
        self.events = EventFiles(sink.run_dir.tensorboard_dir) if config.tensorboard else None
        self.faults: list[str] = []
        self.says_completed = False
        self.outcome: Outcome | None = None  # for which it was asked to end
        self.reason = ""
        self.deadline = float("inf")
        self.was_killed = False
        environment = told.environment
        self.ranks_log_dir: Path | None = None
        if config.launcher == "torchrun":
            self.ranks_log_dir = sink.run_dir.ranks_log_dir(sink.ownership.attempt).absolute()
            self.ranks_log_dir.mkdir(parents=True, exist_ok=True)
            ranks = find_ranks(sink.run_dir)
            words = wrap_words(words, ranks, log_dir=self.ranks_log_dir)
            environment = clean_environment(environment)
        logger.info("in %s: %s", told.directory, shlex.join(words))
        self.child = Child(words, directory=told.directory, environment=environment, log=self.log)

    def follow(self) -> FitResult:
        """Until it has ended, whoever ends it."""
        try:
            while self.child.returncode is None:
                self._look()
                self.child.wait(POLL_EVERY_S)
            self._end_rest()
        finally:
            self.child.close()
        self._read()
        if (rest := self.reports.read_rest()) is not None:
            self._note_fault(rest)
        return self._judge()

    def _look(self) -> None:
        self._read()
        self.records.show_progress()
        if self.outcome is None:
            self._find_reason_to_end()
        elif time.monotonic() >= self.deadline and not self.was_killed:
            logger.warning("it did not end within %g s: killed", self.config.grace_s)
            self.was_killed = True
            if self.ranks_log_dir is not None:  # an agent ends its ranks, which lead own groups
                self.child.tell(signal.SIGTERM)
                self.child.wait(LEFT_BEHIND_S)
            self.child.kill()

    def _find_reason_to_end(self) -> None:
        if reason := self.sink.interruption():
            self._ask("interrupted", reason)
        elif self.records.divergence:
            self._ask("diverged", self.records.divergence)
        elif reason := self.records.controller.stop_reason:
            self._ask("stopped", reason)

    def _ask(self, outcome: Outcome, reason: str) -> None:
        """By a file, which reaches all ranks on all nodes, and by the signal that we got."""
        logger.info("asked to end: %s", reason)
        self.outcome, self.reason = outcome, reason
        self.deadline = time.monotonic() + self.config.grace_s
        try:
            self.sink.run_dir.stop_path(self.sink.ownership.attempt).touch()
        except OSError as error:
            logger.warning("the file that asks to stop cannot be made: %s", error)
        if self.ranks_log_dir is None:  # ranks that a signal ended would wait for each other
            self.child.tell(self._choose_signal())

    def _choose_signal(self) -> signal.Signals:
        return (self.sink.stop.signal if self.outcome == "interrupted" else None) or signal.SIGTERM

    def _end_rest(self) -> None:
        """Processes that the one we started has left behind."""
        left_s = LEFT_BEHIND_S if self.outcome is None else self.deadline - time.monotonic()
        if self.child.end_rest(self._choose_signal(), grace_s=max(0.0, left_s)):
            logger.warning("processes that it had left behind were killed")

    def _read(self) -> None:
        reports = []
        try:
            for found in self.reports.read():
                if isinstance(found, Report):
                    reports.append(found)
                elif isinstance(found, Completed):
                    self.says_completed = True
                else:
                    self._note_fault(found)
        except OSError as error:
            logger.warning("the reports cannot be read, and are tried again: %s", error)
        if self.outcome != "diverged":
            self.records.add(reports)
            self._read_events(has_ended=self.child.returncode is not None)

    def _read_events(self, *, has_ended: bool) -> None:
        if self.events is not None:
            self.records.add_late(self.events.read_earlier())
            self.records.add(self.events.read(has_ended=has_ended))

    def _note_fault(self, fault: ReportError) -> None:
        self.faults.append(str(fault))
        if len(self.faults) <= MAX_FAULTS_LOGGED:
            logger.warning("%s, %s", self.reports.path.name, fault)

    def _judge(self) -> FitResult:
        code, records = self.child.returncode, self.records
        has_ended = self.says_completed or (code == 0 and records.has_reached_budget)
        if records.divergence and self.outcome in (None, "diverged"):
            return self._end("diverged", records.divergence)
        if self.outcome == "interrupted" and has_ended:
            return self._end("completed", self._list_remarks())
        if self.outcome is not None:
            killed = f"; killed after {self.config.grace_s:g} s" if self.was_killed else ""
            return self._end(self.outcome, self.reason + killed)
        if reason := records.controller.stop_reason:  # its last row, and it ended by itself
            return self._end("completed" if code == 0 else "stopped", "" if code == 0 else reason)
        if code != 0:
            raise OwnLoopError(self._explain_failure(code or 0))
        return self._end("completed", self._list_remarks())

    def _end(self, outcome: Outcome, reason: str) -> FitResult:
        return FitResult(outcome, self.records.step, self.records.epoch, reason)

    def _explain_failure(self, code: int) -> str:
        lines = list(self.child.last_lines)
        how = f"exit code {code}" if code > 0 else f"killed by {_name_signal(-code)}"
        if code == -signal.SIGKILL:
            how += ", which the kernel sends where memory ends"
        last = lines[-1] if lines else "without a word on standard error"
        if self.ranks_log_dir is not None:
            last = find_cause(self.ranks_log_dir, lines) or last
        return "\n".join([f"{how}: {last}", *lines])

    def _list_remarks(self) -> str:
        """What somebody who looks at a completed run should know."""
        remarks, names, wanted = [], self.records.names, self.config.metric.name
        if not names:
            remarks.append("it reported no metric of split validate")
        elif wanted not in names:
            shown = ", ".join(list(names)[:8])
            remarks.append(f"it never reported the metric {wanted} (it reported {shown})")
        if self.faults:
            count = len(self.faults)
            plural = "a line" if count == 1 else f"{count} lines"
            remarks.append(f"{plural} of its reports could not be read ({self.faults[0]})")
        for remark in remarks:
            logger.warning("%s", remark)
        return "; ".join(remarks)


def _name_signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
