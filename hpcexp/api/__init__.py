"""hpcexp from Python: what the command line does, as functions and a class.

Nothing here ends the process or prints; what goes wrong is raised as HpcexpError with the
words of the command line. docs/python-api.md shows its use.
"""

from hpcexp.api.debugging import debug
from hpcexp.api.experiment import Experiment, list_experiments, restore
from hpcexp.api.launching import dry_run, launch
from hpcexp.api.several import compare, import_results, write_notebook

__all__ = [
    "Experiment", "compare", "debug", "dry_run", "import_results", "launch",
    "list_experiments", "restore", "write_notebook",
]  # fmt: skip
