from __future__ import annotations

import gc

import pytest

from hpcexp.template.collector import paused_collector


def test_the_collector_rests_meanwhile_and_goes_on_also_after_an_error() -> None:
    with pytest.raises(ValueError, match="bad template"), paused_collector():
        assert not gc.isenabled()
        raise ValueError("bad template")
    assert gc.isenabled()


def test_a_collector_that_was_off_stays_off() -> None:
    with paused_collector():
        with paused_collector():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()
