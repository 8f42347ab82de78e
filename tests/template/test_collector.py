from __future__ import annotations

import gc

import pytest

from hpcexp.template.collector import paused_collector


def test_the_collector_rests_meanwhile_and_goes_on_also_after_an_error() -> None:
    @paused_collector()
    def fail() -> None:
        assert not gc.isenabled()
        raise ValueError("bad template")

    with pytest.raises(ValueError, match="bad template"):
        fail()
    assert gc.isenabled()


def test_a_collector_that_was_off_stays_off() -> None:
    with paused_collector():
        with paused_collector():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()
