"""A launch that is killed at any moment: afterwards every run is submitted exactly once.

The launch is a process of its own, forked from this one, which is killed by SIGKILL at one of
the moments at which it is about to change something: a file, a directory, a lock, the queue.
The simulated cluster lives in this process: jobs that were submitted before stay there.
`HPCEXP_NUM_KILLS=1000` tries every such moment.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from hpcexp.errors import HpcexpError
from hpcexp.launch.observe import observe
from hpcexp.launch.slurm import commands
from hpcexp.launch.slurm.commands import Completed
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.status import State
from hpcexp.store.submissions import Stage, index_jobs, read_submissions
from tests.simulated_cluster.commands import SimulatedSlurm
from tests.simulated_cluster.laboratory import Laboratory

NUM_KILLS = int(os.environ.get("HPCEXP_NUM_KILLS", "60"))
MOMENTS = frozenset(
    {
        *("open", "os.mkdir", "os.rename", "os.remove", "os.utime", "os.link", "fcntl.flock"),
        *("shutil.rmtree", "asked", "answered"),
    }
)
END_OF_TEXT = b"\x1e"


class RemoteSlurm:
    """Commands of a forked process, answered by its parent through two pipes."""

    def __init__(self) -> None:
        self.questions, self.answers = os.pipe(), os.pipe()

    def __call__(self, *argv: str, timeout_s: float = 30.0) -> Completed:
        """Ask; the moments before and after the answer are among those of a kill."""
        del timeout_s
        os.write(self.questions[1], "\x1f".join(argv).encode() + END_OF_TEXT)
        sys.audit("asked")
        text = b""
        while not text.endswith(END_OF_TEXT):
            text += os.read(self.answers[0], 65536)
        sys.audit("answered")
        code, stdout, stderr = text[:-1].decode().split("\x1f")
        return Completed(int(code), stdout, stderr)

    def serve(self, slurm: SimulatedSlurm, child: int) -> None:
        """Answer until the child has ended; what it asked last is still acted upon."""
        os.set_blocking(self.questions[0], False)
        text, has_ended = b"", False
        while True:
            try:
                text += os.read(self.questions[0], 65536)
            except BlockingIOError:
                if has_ended:
                    break
                has_ended = os.waitpid(child, os.WNOHANG)[0] != 0
            while END_OF_TEXT in text:
                question, _, text = text.partition(END_OF_TEXT)
                done = slurm(*question.decode().split("\x1f"))
                answer = f"{done.returncode}\x1f{done.stdout}\x1f{done.stderr}"
                os.write(self.answers[1], answer.encode() + END_OF_TEXT)
        for descriptor in (*self.questions, *self.answers):
            os.close(descriptor)


def launch_and_die(laboratory: Laboratory, experiment: ExperimentDir, *, moment: int | None) -> int:
    """Launch in a forked process that dies at the moment of that number; how many there were."""
    remote = RemoteSlurm()
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        count = 0

        def note(event: str, _arguments: tuple[object, ...]) -> None:
            nonlocal count
            if event in MOMENTS:
                count += 1
                if count == moment:
                    os.kill(os.getpid(), signal.SIGKILL)

        try:
            sys.addaudithook(note)
            with commands.using(remote):
                laboratory.launch(experiment)
            os.write(write_end, count.to_bytes(4, "big"))
        finally:
            os._exit(0)
    remote.serve(laboratory.slurm, child)
    os.close(write_end)
    count = int.from_bytes(os.read(read_end, 4), "big")
    os.close(read_end)
    return count


CLUSTERS: dict[str, dict[str, Any]] = {
    "room for all": {},
    "room for some": {"max_submit_jobs": 7},
    "limits not told": {"max_submit_jobs": 5, "tells_limits": False},
    "small arrays": {"max_submit_jobs": 9, "tells_limits": False, "max_array_size": 4},
    "answers lost": {"lose_next_answers": 1},
}


def make_laboratory(directory: Path, name: str) -> Laboratory:
    """A cluster of one of these kinds."""
    options = dict(CLUSTERS[name])
    num_lost = options.pop("lose_next_answers", 0)
    laboratory = Laboratory(directory, **options)
    laboratory.slurm.lose_next_answers = num_lost
    return laboratory


@pytest.fixture(scope="module", params=list(CLUSTERS))
def prepared(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, str, int]:
    """An experiment that is not submitted yet, a cluster, and the moments of a launch on it."""
    directory = tmp_path_factory.mktemp("prepared")
    laboratory = make_laboratory(directory, request.param)
    with laboratory.open():
        experiment = laboratory.prepare(num_groups=5)
        kept = directory / "kept"
        shutil.copytree(experiment.path, kept)
        num_moments = launch_and_die(laboratory, experiment, moment=None)
    assert num_moments > 20
    return kept, request.param, num_moments


def find_lost_and_doubled(
    laboratory: Laboratory, experiment: ExperimentDir
) -> tuple[list[str], list[str], list[str]]:
    """Runs in no job, runs in two jobs, and jobs that nobody counts on."""
    submissions = read_submissions(experiment)
    live: dict[str, list[str]] = {name: [] for name in observe(experiment).statuses}
    orphans = []
    by_name = {s.job_name: s for s in submissions}
    for jobs in laboratory.cluster.jobs.values():
        for job in jobs:
            submission = by_name.get(job.name)
            if submission is None or job.id not in submission.job_ids:
                orphans.append(job.id)
                continue
            for name in submission.bundles[job.index]:
                live[name].append(job.id)
    held = {
        name
        for name, (submission, _) in index_jobs(submissions).items()
        if submission.stage == Stage.HELD
    }
    lost = [name for name, jobs in live.items() if not jobs and name not in held]
    doubled = [name for name, jobs in live.items() if len(jobs) + (name in held) > 1]
    return lost, doubled, orphans


def test_nothing_is_lost_doubled_or_orphaned(
    prepared: tuple[Path, str, int], tmp_path: Path
) -> None:
    kept, name, num_moments = prepared
    generator = random.Random(7)
    moments = range(1, num_moments + 1)
    chosen = generator.sample(moments, min(NUM_KILLS // len(CLUSTERS), num_moments))
    for number, moment in enumerate(sorted(chosen)):
        directory = tmp_path / str(number)
        experiment = ExperimentDir(directory / kept.parent.name / "2022_m12_d14@14_58_06_killed")
        shutil.copytree(kept, experiment.path)
        laboratory = make_laboratory(directory, name)
        with laboratory.open():
            launch_and_die(laboratory, experiment, moment=moment)
            try:
                laboratory.resume(experiment)
            except HpcexpError as error:
                raise AssertionError(f"killed at {moment} of {num_moments}: {error}") from error
            found = find_lost_and_doubled(laboratory, experiment)
            assert found == ([], [], []), f"killed at {moment} of {num_moments}"
            observation = laboratory.finish(experiment)
        assert observation.count(State.COMPLETED) == 10, f"killed at {moment} of {num_moments}"
        assert set(laboratory.worker.num_ends.values()) == {1}
        shutil.rmtree(directory)
