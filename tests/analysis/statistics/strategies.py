"""Values of runs for property tests: few levels, so that ties and diverged runs are common."""

from __future__ import annotations

import math

from hypothesis import strategies as st

OUTCOMES = st.sampled_from([0.1, 0.2, 0.3, 0.5, 0.7, math.inf])


def samples(smallest: int, largest: int) -> st.SearchStrategy[list[float]]:
    """Outcomes of so many runs."""
    return st.lists(OUTCOMES, min_size=smallest, max_size=largest)
