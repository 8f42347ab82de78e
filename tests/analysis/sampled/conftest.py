from __future__ import annotations

import pytest

from hpcexp.analysis.frames import Results, load
from hpcexp.analysis.sampled import SampleTable, make_sample_table
from tests.analysis.sampling import build_sampled


@pytest.fixture(scope="session")
def sampled(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """64 samples, one run each; the learning rate matters, best in the middle."""
    return load(build_sampled(tmp_path_factory.mktemp("sampled")))


@pytest.fixture(scope="session")
def table(sampled: Results) -> SampleTable:
    return make_sample_table(sampled)
