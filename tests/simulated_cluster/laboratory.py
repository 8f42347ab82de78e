"""A laboratory on a simulated cluster: experiments to launch, and what became of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hpcexp.errors import HpcexpError
from hpcexp.launch.observe import Observation, observe
from hpcexp.launch.prepare import prepare
from hpcexp.launch.resume import Choice, make_chooser
from hpcexp.launch.submit import Handed, Wish, submit_runs
from hpcexp.store.experiment import read_plan
from hpcexp.store.layout import ExperimentDir
from hpcexp.template import load_template
from tests.simulated_cluster.cluster import Cluster
from tests.simulated_cluster.commands import SimulatedSlurm
from tests.simulated_cluster.surroundings import living_on
from tests.simulated_cluster.worker import ModelWorker, Work

TEMPLATE = """\
name: simulated
workload: sps
grid: {{rnn_width: [{widths}]}}
rand_inits: {rand_inits}
resources: {{timeout: {timeout}, max_restarts: {max_restarts}}}
"""


class Laboratory:
    """What a user types on the login node of a simulated cluster."""

    def __init__(
        self,
        directory: Path,
        *,
        seed: int = 0,
        work_of: Callable[[str], Work] = lambda _: Work(),
        checkpoint_every_s: float = 300.0,
        num_nodes: int = 4,
        slots_per_node: int = 4,
        **options: Any,
    ) -> None:
        self.directory = directory
        self.worker = ModelWorker(work_of, checkpoint_every_s=checkpoint_every_s)
        self.cluster = Cluster(
            self.worker, seed=seed, num_nodes=num_nodes, slots_per_node=slots_per_node
        )
        self.slurm = SimulatedSlurm(self.cluster, **options)
        self.worker.slurm = self.slurm

    @contextmanager
    def open(self) -> Iterator[None]:
        """Within, hpcexp lives on this cluster."""
        with living_on(self.slurm):
            yield

    def prepare(
        self,
        *,
        num_groups: int = 2,
        rand_inits: int = 2,
        timeout: str = "1h",
        max_restarts: int = 100,
    ) -> ExperimentDir:
        """The directory of an experiment that is not submitted yet."""
        path = self.directory / "simulated.yaml"
        widths = ", ".join(str(4 + number) for number in range(num_groups))
        path.write_text(
            TEMPLATE.format(
                widths=widths, rand_inits=rand_inits, timeout=timeout, max_restarts=max_restarts
            )
        )
        directory = self.directory / "experiments"
        return prepare(load_template(path), experiments_dir=directory, copy_code=False)

    def launch(self, experiment: ExperimentDir) -> Handed:
        """Submit all runs."""
        names = [run.name for run in read_plan(experiment).runs]
        return submit_runs(experiment, lambda: names, Wish("slurm"))

    def resume(self, experiment: ExperimentDir) -> Handed:
        """What `hpcexp resume` does."""
        return submit_runs(experiment, make_chooser(experiment, Choice()), Wish("slurm"))

    def finish(self, experiment: ExperimentDir, *, max_resumes: int = 20) -> Observation:
        """Let everything happen, and resume what is unfinished, as a user would."""
        for _ in range(max_resumes):
            self.cluster.run()
            self.cluster.run(until=self.cluster.clock.now + 900)
            try:
                if not self.resume(experiment).run_names and not self.cluster.count_queued():
                    break
            except HpcexpError:
                continue
        return observe(experiment)
