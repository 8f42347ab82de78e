from __future__ import annotations

import numpy as np
import pytest

from hpcexp.workloads.sps import dataset
from hpcexp.workloads.sps.render import render


@pytest.fixture
def draws(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many sequences each call of the renderer drew."""
    counts: list[int] = []

    def count_and_render(centres: np.ndarray, **options: object) -> np.ndarray:
        counts.append(len(centres))
        return render(centres, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(dataset, "render", count_and_render)
    return counts
