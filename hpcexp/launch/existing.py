"""Whether a configuration was launched before: so that it is extended, not trained again."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpcexp.errors import HpcexpError
from hpcexp.store.experiment import Plan, hash_config, read_plan
from hpcexp.store.find import list_experiments
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.statuses import read_written

NUM_READ_THREADS = 8  # more wait for the interpreter lock than for the disk


@dataclass(frozen=True)
class Existing:
    """The experiment that has most groups of a plan, the newest of those.

    Equal are groups whose hyperparameters are, defaults included, whatever they are called;
    `seed` is told where it is another one: then initialisations differ, too.
    """

    name: str
    num_equal: int
    num_groups: int
    num_runs: int
    num_finished: int
    seed: int | None

    @property
    def command(self) -> str:
        """What adds initialisations to it."""
        return f"hpcexp extend {self.name} --rand-inits NUMBER"

    def describe(self) -> str:
        """A line for people."""
        groups = "this configuration" if self.num_groups == 1 else f"all {self.num_groups} groups"
        if self.num_equal < self.num_groups:
            groups = f"{self.num_equal} of the {self.num_groups} groups"
        seed = "" if self.seed is None else f" with seed {self.seed}"
        verb = "was" if self.num_equal == 1 else "were"
        return (
            f"{groups} {verb} launched before{seed}: {self.name} "
            f"({self.num_finished} of its {self.num_runs} runs finished); "
            f"more initialisations: {self.command}"
        )

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "experiment": self.name,
            "num_equal_groups": self.num_equal,
            "num_groups": self.num_groups,
            "num_runs": self.num_runs,
            "num_finished": self.num_finished,
            "seed": self.seed,
            "command": self.command,
        }


def find_existing(plan: Plan, experiments_dir: Path) -> Existing | None:
    """What was launched with the same configurations; None where nothing was, or nobody knows.

    Reads plans as text: a hash that is in one is looked at closely, a thousand others are not.
    Experiments of before hashes were kept, and damaged ones, are passed over.
    """
    experiments = list_experiments(experiments_dir)
    if not experiments:
        return None
    hashes = {hash_config(plan.workload, config) for config in plan.configs.values()}
    sought = [value.encode() for value in hashes]
    with ThreadPoolExecutor(NUM_READ_THREADS) as pool:
        texts = pool.map(_read_text, experiments)
        counts = [sum(value in text for value in sought) for text in texts]
    best = max(counts, default=0)
    if best == 0:
        return None
    for experiment, count in zip(experiments, counts, strict=True):
        if count == best and (found := _compare(plan, hashes, experiment)) is not None:
            return found
    return None


def _read_text(experiment: ExperimentDir) -> bytes:
    try:
        return experiment.plan_path.read_bytes()
    except OSError:
        return b""


def _compare(plan: Plan, hashes: set[str], experiment: ExperimentDir) -> Existing | None:
    try:
        there = read_plan(experiment)
        equal = {name for name, value in there.config_hashes.items() if value in hashes}
        runs = list(_list_runs(there, equal))
        statuses = read_written(experiment, runs)
    except (HpcexpError, OSError):
        return None
    return Existing(
        name=experiment.name,
        num_equal=len({there.config_hashes[name] for name in equal}),
        num_groups=len(hashes),
        num_runs=len(runs),
        num_finished=sum(status.is_finished for status in statuses.values()),
        seed=there.seed if there.seed != plan.seed else None,
    )


def _list_runs(plan: Plan, groups: set[str]) -> Iterator[str]:
    return (run.name for run in plan.runs if run.group in groups)
