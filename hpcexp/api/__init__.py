"""hpcexp from Python: what the command line does, as functions and a class.

Nothing here ends the process or prints; what goes wrong is raised as HpcexpError with the
words of the command line. docs/python-api.md shows its use.
"""

from hpcexp.api.experiment import Experiment, list_experiments
from hpcexp.api.launching import dry_run, launch

__all__ = ["Experiment", "dry_run", "launch", "list_experiments"]
