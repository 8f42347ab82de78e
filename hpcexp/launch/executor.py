"""What an executor is: something that trains the bundles of a submission somewhere."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hpcexp.store.layout import ExperimentDir
from hpcexp.store.submissions import Submission
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
    """One way to train.

    The jobs of a detached executor outlive the command: it is asked to `submit`, under the
    submission lock, and returns at once. The others are asked to `train`.
    """

    is_detached: bool = False

    def check(self, experiments_dir: Path) -> None:  # noqa: B027 (most executors work everywhere)
        """Raise UsageError where this machine cannot do it, or not with such a path."""

    @abstractmethod
    def describe(self, num_runs: int, resources: Resources, options: LaunchOptions) -> str:
        """What a launch would do, in a line for people."""

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

    def submit_look(  # noqa: B027 (who trains here, looks here)
        self,
        experiment: ExperimentDir,
        resources: Resources,
    ) -> None:
        """Where looks decide the experiment: have the next one taken when the jobs have ended."""

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
        raise NotImplementedError

    def train(
        self,
        experiment: ExperimentDir,
        submission: Submission,
        resources: Resources,
        options: LaunchOptions,
    ) -> bool:
        """Train here; False where it was interrupted. The submission's record is on disk."""
        raise NotImplementedError


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
