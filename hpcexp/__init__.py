"""hpcexp: from a ten-line template to boxplots you can trust."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hpcexp.analysis.frames import Results, load

__version__ = "0.1.0.dev0"
__all__ = ["Results", "load"]


def __getattr__(name: str) -> Any:
    # `hpcexp.load` needs pandas; `hpcexp --help` must not pay for it.
    if name in __all__:
        from hpcexp.analysis import frames

        return getattr(frames, name)
    raise AttributeError(f"module 'hpcexp' has no attribute {name!r}")
