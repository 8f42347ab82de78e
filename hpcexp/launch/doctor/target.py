"""What the doctor is asked about."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Target:
    """The directory of experiments, and what jobs ask of the cluster.

    `setup` are shell lines that run before a job, as `resources.setup` of a template.
    """

    experiments_dir: Path
    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    gpus: int = 0
    setup: tuple[str, ...] = ()

    def list_sbatch_options(self) -> list[str]:
        """The options of sbatch that say where a job of this kind runs."""
        given = {
            "partition": self.partition,
            "account": self.account,
            "qos": self.qos,
            "constraint": self.constraint,
            "gpus-per-node": self.gpus or None,
        }
        return [f"--{name}={value}" for name, value in given.items() if value is not None]

    def list_node_arguments(self) -> list[str]:
        """The same, as the part on the node takes it."""
        given = {
            "partition": self.partition,
            "account": self.account,
            "qos": self.qos,
            "constraint": self.constraint,
            "gpus": self.gpus or None,
        }
        return [f"--{name}={value}" for name, value in given.items() if value is not None]
