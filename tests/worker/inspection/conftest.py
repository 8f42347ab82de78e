from __future__ import annotations

import pytest

from hpcexp.worker.inspection import images


@pytest.fixture
def quick_animations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Animations, half a second each, are tested for themselves."""
    monkeypatch.setattr(images, "render_animation", lambda *_, **__: b"GIF89a")
