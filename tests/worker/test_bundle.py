from __future__ import annotations

import os

import pytest

from hpcexp.worker.packer import find_num_threads

VARIABLES = ("HPCEXP_THREADS", "SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE")


@pytest.mark.parametrize(
    ("values", "num_threads"),
    [
        (("2", "3", "4"), 2),
        ((None, "3", "4"), 3),
        ((None, None, "4"), 4),
        (("many", "3", None), 3),
    ],
)
def test_the_launcher_says_how_many_threads_before_slurm_does(
    values: tuple[str | None, ...], num_threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in zip(VARIABLES, values, strict=True):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    assert find_num_threads() == num_threads


def test_where_nobody_says_it_all_cpus_of_this_process_are_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    assert find_num_threads() == len(os.sched_getaffinity(0))
