"""What an executor is: something that trains the bundles of a submission somewhere."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hpcexp.store.layout import ExperimentDir
from hpcexp.store.submissions import Submission

if TYPE_CHECKING:
    from hpcexp.template import Resources


@dataclass(frozen=True)
class LaunchOptions:
    """How to train here.

    `num_jobs` at a time, or as many as fit. While a local pool works, `on_tick` is called
    every half second, and `on_interrupt`, with the number of jobs that are asked to stop,
    after Ctrl-C.
    """

    num_jobs: int | None = None
    on_tick: Callable[[], None] = lambda: None
    on_interrupt: Callable[[int], None] = lambda _: None


class Executor(ABC):
    """One way to train: a `DetachedExecutor` or an `AttachedExecutor`."""

    def check(self, experiments_dir: Path) -> None:  # noqa: B027 (most executors work everywhere)
        """Raise UsageError where this machine cannot do it, or not with such a path."""

    @abstractmethod
    def describe(
        self, bundles: Sequence[Sequence[str]], resources: Resources, options: LaunchOptions
    ) -> str:
        """What a launch of these bundles would do, in a line for people."""

    def write_script(
        self,
        experiment: ExperimentDir,  # noqa: ARG002
        submission: Submission,  # noqa: ARG002
        resources: Resources,  # noqa: ARG002
    ) -> str | None:
        """The exact script that would be handed to a cluster; None where there is no script."""
        return None

    def settle(self, experiment: ExperimentDir) -> None:  # noqa: B027 (most have nothing to do)
        """Find out what became of submissions whose command was killed."""

    def submit_held(
        self,
        experiment: ExperimentDir,  # noqa: ARG002
        resources: Resources,  # noqa: ARG002
    ) -> list[Submission]:
        """Submit what waits for room under the cluster's limits, as far as there is room."""
        return []


class DetachedExecutor(Executor):
    """Its jobs outlive the command: it is asked to submit, under the submission lock."""

    @abstractmethod
    def submit(
        self,
        experiment: ExperimentDir,
        run_names: Sequence[str],
        resources: Resources,
        *,
        is_changed: bool,
    ) -> list[Submission]:
        """Hand runs over to be trained elsewhere; returns the records, which are on disk.

        `is_changed` says that the resources are not those of the plan.
        """

    @abstractmethod
    def submit_look(self, experiment: ExperimentDir, resources: Resources) -> None:
        """Where looks decide the experiment: have the next one taken when the jobs have ended."""


class AttachedExecutor(Executor):
    """It trains while the command runs."""

    @abstractmethod
    def train(
        self,
        experiment: ExperimentDir,
        submission: Submission,
        resources: Resources,
        options: LaunchOptions,
    ) -> bool:
        """Train here; False where it was interrupted. The submission's record is on disk."""


def describe_needs(resources: Resources) -> str:
    """Such as `1 GPU, 4 CPUs, 8 GB`."""
    needs = [spell_count(resources.cpus, "CPU"), f"{resources.mem_gb} GB"]
    if resources.gpus:
        needs.insert(0, spell_count(resources.gpus, "GPU"))
    return ", ".join(needs)


def spell_count(number: int, noun: str) -> str:
    """Such as `1 job` or `12 000 jobs`."""
    digits = f"{number:,}".replace(",", " ")
    return f"{digits} {noun}{'' if number == 1 else 's'}"


def describe_packs(bundles: Sequence[Sequence[str]], resources: Resources) -> str:
    """How many runs a job trains, in words; nothing where it is one."""
    most = max(map(len, bundles), default=0)
    if most < 2:
        return ""
    at_once = min(most, resources.runs_per_job)
    return {
        "none": f" of up to {most} runs each",
        "lanes": f" of up to {most} runs each, {at_once} at a time as lanes of one program,",
        "processes": f" of up to {most} runs each, {at_once} at a time in processes,",
        "auto": f" of up to {most} runs each, packed as a probe on the node finds best,",
    }[resources.packing]
