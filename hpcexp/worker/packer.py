"""Training the runs of a bundle: alone, as lanes of one program, or in processes."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any

from hpcexp.cpus import count_cpus
from hpcexp.errors import HpcexpError, RunOwnedError
from hpcexp.store.experiment import read_plan
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.packing import PackingRecord, write_packings
from hpcexp.store.status import SETTLED, read_status
from hpcexp.store.submissions import Submission
from hpcexp.worker.auto.choose import Packing, fit_memory
from hpcexp.worker.auto.probing import Probed, choose_on_node, find_memory_bytes
from hpcexp.worker.interruption import Interruption
from hpcexp.worker.pack import train_pack
from hpcexp.worker.packing import find_lane_keys, find_lane_obstacle, make_packs, split_evenly
from hpcexp.worker.processes import LANES_VARIABLE, train_in_processes
from hpcexp.worker.run import train_run

logger = logging.getLogger("hpcexp.worker")


@dataclass(frozen=True)
class BundleEnd:
    """How a bundle ended: what interrupted it, if anything did.

    `unwritten` are runs whose directories could not be told how they ended, `exit_codes` those
    of processes that trained them.
    """

    interruption: Interruption
    unwritten: list[str] = field(default_factory=list)
    exit_codes: list[int] = field(default_factory=list)


@dataclass
class Packer:
    """One bundle, and how far it got. What is trained returns runs that other processes own."""

    experiment: ExperimentDir
    submission: Submission
    index: int
    end: BundleEnd
    chosen: list[PackingRecord] = field(default_factory=list)

    def train(self, names: Sequence[str], *, is_share: bool) -> list[str]:
        """Train runs as the submission says; a share of them as the process with the rest says."""
        if is_share:
            size = int(os.environ.get(LANES_VARIABLE, "1"))
            return self._train_packs(self._make_packs(names, "lanes" if size > 1 else "none", size))
        packing, size = self.submission.packing, self.submission.runs_per_job
        if packing == "processes":
            return self._train_in_processes(names, num_processes=size)
        if packing == "auto":  # a probe for those that have ended would be in vain
            names = [name for name in names if not self._has_ended(name)]
        owned = []
        for pack in self._make_packs(names, packing, size):
            if self.end.interruption.signal is not None:
                break
            how = self._choose(pack)
            if how.num_processes > 1:
                owned += self._train_in_processes(
                    pack, num_processes=how.num_processes, num_lanes=how.num_lanes
                )
            else:
                owned += self._train_packs(split_evenly(pack, how.num_lanes))
        return owned

    def _has_ended(self, name: str) -> bool:
        try:
            return read_status(self.experiment.run(name)).state in SETTLED
        except HpcexpError:
            return False  # its attempt will say what is wrong

    def _make_packs(self, names: Sequence[str], packing: str, size: int) -> list[list[str]]:
        key_of = find_lane_keys(self.experiment)
        return make_packs(names, packing=packing, size=size, key_of=key_of)

    def _choose(self, pack: list[str]) -> Packing:
        """How runs are trained that are alike."""
        if len(pack) == 1:
            return Packing(1, 1, "one run")
        obstacle = find_lane_obstacle(self.experiment, pack[0])
        if self.submission.packing == "auto":
            probed = choose_on_node(
                self.experiment,
                pack,
                obstacle=obstacle,
                memory_bytes=find_memory_bytes(self._read_resources()),
                num_threads=find_num_threads(),
                interruption=self.end.interruption,
            )
            logger.info("%d runs: %s", len(pack), probed.packing.why)
            self._note(pack, probed)
            return probed.packing
        if not obstacle:
            return Packing(len(pack), 1, "")
        count = min(len(pack), find_num_threads())
        logger.warning("%d runs in %d processes: %s", len(pack), count, obstacle)
        return Packing(1, count, obstacle)

    def _read_resources(self) -> Mapping[str, Any]:
        changed = self.submission.resources
        return read_plan(self.experiment).resources if changed is None else changed

    def _note(self, pack: Sequence[str], probed: Probed) -> None:
        """For `hpcexp status`; a disk that refuses it is no reason not to train."""
        line = fit_memory([(m.num_lanes, m.memory_bytes) for m in probed.measured] or [(1, 0)])
        self.chosen.append(
            PackingRecord(
                runs=tuple(pack),
                num_lanes=probed.packing.num_lanes,
                num_processes=probed.packing.num_processes,
                why=probed.packing.why,
                host=socket.gethostname(),
                chosen=time.time(),
                memory_bytes=probed.room.memory_bytes,
                base_bytes=line.base_bytes,
                lane_bytes=line.lane_bytes,
                measured=tuple(asdict(m) for m in probed.measured),
            )
        )
        with suppress(OSError, HpcexpError):
            write_packings(self.experiment, self.submission.id, self.index, self.chosen)

    def _train_packs(self, packs: Sequence[Sequence[str]]) -> list[str]:
        owned = []
        for pack in packs:
            if self.end.interruption.signal is not None:
                break
            owned += (
                self._train_lanes(pack)
                if len(pack) > 1
                else train_all(self.experiment, pack, self.end)
            )
        return owned

    def _train_lanes(self, pack: Sequence[str]) -> list[str]:
        """Runs that turn out to be no lanes go on in processes, if there are threads for them."""
        num_threads = find_num_threads()
        packed = train_pack(
            [self.experiment.run(name) for name in pack],
            interruption=self.end.interruption,
            num_threads=num_threads,
            gives_back=num_threads > 1,
        )
        self.end.unwritten.extend(run_dir.name for run_dir in packed.unwritten)
        owned = [run_dir.name for run_dir in packed.owned]
        if packed.given_back:
            names = [run_dir.name for run_dir in packed.given_back]
            owned += self._train_in_processes(names, num_processes=min(len(names), num_threads))
        return owned

    def _train_in_processes(
        self, names: Sequence[str], *, num_processes: int, num_lanes: int = 1
    ) -> list[str]:
        """They look after runs that others own themselves."""
        self.end.exit_codes.extend(
            train_in_processes(
                self.experiment,
                self.submission.id,
                self.index,
                names,
                num_processes=num_processes,
                num_threads=find_num_threads(),
                interruption=self.end.interruption,
                num_lanes=num_lanes,
            )
        )
        return []


def train_all(experiment: ExperimentDir, names: Sequence[str], end: BundleEnd) -> list[str]:
    """Train runs one after another; returns those that another process owns."""
    owned = []
    for name in names:
        if end.interruption.signal is not None:
            break
        try:
            is_written = train_run(
                experiment.run(name),
                interruption=end.interruption,
                num_threads=find_num_threads(),
            )
            if not is_written:
                end.unwritten.append(name)
        except RunOwnedError as error:
            logger.warning("%s", error)
            owned.append(name)
    return owned


def find_num_threads() -> int:
    """CPUs of the job: as the launcher says, else as Slurm says, else all."""
    for variable in ("HPCEXP_THREADS", "SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE"):
        if os.environ.get(variable, "").isdigit():
            return int(os.environ[variable])
    return count_cpus()
