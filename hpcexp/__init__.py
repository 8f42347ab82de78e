"""hpcexp: from a ten-line template to boxplots you can trust."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hpcexp.analysis.frames import Results, load
    from hpcexp.api import (
        Experiment,
        compare,
        debug,
        dry_run,
        import_results,
        launch,
        list_experiments,
        restore,
        write_notebook,
    )
    from hpcexp.errors import HpcexpError

__version__ = "0.1.0.dev0"

# What needs pandas or a workload is imported when it is used: `hpcexp --help` must not pay for it.
_PLACES = {
    "Results": "hpcexp.analysis.frames",
    "load": "hpcexp.analysis.frames",
    "Experiment": "hpcexp.api",
    "compare": "hpcexp.api",
    "debug": "hpcexp.api",
    "dry_run": "hpcexp.api",
    "import_results": "hpcexp.api",
    "list_experiments": "hpcexp.api",
    "restore": "hpcexp.api",
    "write_notebook": "hpcexp.api",
    "HpcexpError": "hpcexp.errors",
}
__all__ = [
    "Experiment", "HpcexpError", "Results", "compare", "debug", "dry_run", "import_results",
    "launch", "list_experiments", "load", "restore", "write_notebook",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name == "launch":  # a package that can be called: see there
        return import_module("hpcexp.launch")
    if name in _PLACES:
        return getattr(import_module(_PLACES[name]), name)
    raise AttributeError(f"module 'hpcexp' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
