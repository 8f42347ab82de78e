from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from hpcexp.launch import local
from hpcexp.launch.local import choose_shape
from hpcexp.template import Resources


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight CPUs and three GPUs."""
    monkeypatch.setattr(local, "count_cpus", lambda: 8)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,2,5")


def test_without_gpus_wanted_jobs_share_out_the_cpus_and_see_no_gpu() -> None:
    shape = choose_shape(Resources(cpus=3), num_jobs=None)
    assert (shape.num_jobs, shape.num_threads) == (2, 3)
    assert shape.gpus == ((), ())


def test_every_job_gets_a_gpu_of_its_own() -> None:
    shape = choose_shape(Resources(cpus=1, gpus=1), num_jobs=None)
    assert shape.gpus == (("0",), ("2",), ("5",))


def test_more_jobs_than_gpus_share_them_in_turn() -> None:
    shape = choose_shape(Resources(cpus=1, gpus=1), num_jobs=4)
    assert shape.gpus == (("0",), ("2",), ("5",), ("0",))


def test_a_job_may_have_several_gpus() -> None:
    assert choose_shape(Resources(gpus=2), num_jobs=None).gpus == (("0", "2"),)


def test_where_there_is_no_gpu_a_template_that_wants_one_trains_on_the_cpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    shape = choose_shape(Resources(cpus=4, gpus=1), num_jobs=None)
    assert (shape.num_jobs, shape.gpus) == (2, ((), ()))


def test_the_templates_own_limit_holds_and_a_job_never_gets_more_threads_than_cpus() -> None:
    assert choose_shape(Resources(max_parallel=3), num_jobs=None).num_jobs == 3
    shape = choose_shape(Resources(cpus=64), num_jobs=None)
    assert (shape.num_jobs, shape.num_threads) == (1, 8)


@pytest.fixture
def plain_signals() -> Iterator[None]:
    """As in a terminal; the tests themselves may run where some are ignored."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    previous = {number: signal.signal(number, signal.SIG_DFL) for number in numbers}
    yield
    for number, handler in previous.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("plain_signals")
def test_signals_that_nohup_ignores_stay_ignored() -> None:
    heeded = local._list_heeded_signals()
    assert heeded == [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    assert local._list_heeded_signals() == [signal.SIGINT, signal.SIGTERM]
