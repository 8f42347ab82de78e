"""What jobs used, from what sacct prints."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from hpcexp.launch.slurm.accounting import ask_use
from hpcexp.launch.slurm.commands import TIMEOUT_S, Completed, using
from hpcexp.store.submissions import Submission

TRES = "billing=4,cpu=4,gres/gpu:a100=2,gres/gpu=2,mem=8G,node=1"
SUBMISSION = Submission("submission_001", "slurm", "mine.1", 1.7e9, (("a",), ("b",)))


@dataclass
class Sacct:
    """Answers every question with the same lines."""

    lines: str
    asked: list[tuple[str, ...]] = field(default_factory=list)

    def __call__(self, *argv: str, timeout_s: float = TIMEOUT_S) -> Completed:
        self.asked.append(argv)
        return Completed(0, self.lines) if self.lines else Completed(1, stderr="no database")


def test_every_start_of_a_job_counts() -> None:
    sacct = Sacct(
        f"7_0|mine.1|3600|{TRES}|1000\n7_0.batch|batch|3600||900\n"
        f"7_0|mine.1|1800|{TRES}|500\n7_1|mine.1|60|cpu=1,mem=1G|\n"
    )
    with using(sacct):
        used = ask_use([SUBMISSION])
    assert [(u.elapsed_s, u.num_gpus, u.num_cpus, u.joules) for u in used] == [
        (3600, 2, 4, 1000), (1800, 2, 4, 500), (60, 0, 1, 0),
    ]  # fmt: skip
    (question,) = sacct.asked
    assert "--duplicates" in question
    assert "--name=mine.1" in question


def test_where_only_steps_know_the_energy_the_largest_counts() -> None:
    """They overlap: the extern step lasts as long as the job."""
    lines = (
        f"7_0|mine.1|3600|{TRES}|\n7_0.batch|batch|3600||900\n7_0.extern|extern|3600||950\n"
        f"8_0|other|3600|{TRES}|77\n8_0.batch|batch|1||10\n"
    )
    with using(Sacct(lines)):
        (used,) = ask_use([SUBMISSION])
    assert used.joules == 950


@pytest.mark.parametrize("energy", ["", "0", "4294967294", "18446744073709551614", "12.5K"])
def test_what_is_no_energy_is_not_known(energy: str) -> None:
    with using(Sacct(f"7_0|mine.1|3600|{TRES}|{energy}\n")):
        (used,) = ask_use([SUBMISSION])
    assert used.joules == 0


def test_a_silent_sacct_and_local_runs_say_nothing() -> None:
    with using(Sacct("")):
        assert ask_use([SUBMISSION]) == []
    sacct = Sacct("7_0|mine.1|1|cpu=1|1\n")
    with using(sacct):
        assert ask_use([Submission("submission_001", "local", "mine.1", 1.7e9, ())]) == []
    assert sacct.asked == []
