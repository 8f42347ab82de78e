"""Which Python a job runs: the launcher's, another one of its environment, that of a container."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from hpcexp.errors import UsageError
from hpcexp.launch.code import list_live_dirs
from hpcexp.store.layout import ExperimentDir
from hpcexp.template import Container, Resources

# A program around Python, such as `uv run`, gets the signals of its job, too, and may end of
# them before Python has saved a checkpoint. What is ignored stays so in what it starts, until
# the worker listens.
SPARE_THE_WRAPPER = ("env", "--ignore-signal=USR2,TERM")
IN_A_CONTAINER = "python3"


def make_python_words(experiment: ExperimentDir, resources: Resources) -> list[str]:
    """The words that run Python in a job.

    Raises UsageError for a directory that cannot be bound into a container.
    """
    if not resources.uses_other_python:
        return [sys.executable]
    python = shlex.split(resources.python) if resources.python is not None else []
    if resources.container is None:
        return python if len(python) == 1 else [*SPARE_THE_WRAPPER, *python]
    enter = _enter(resources.container, experiment, has_gpu=resources.gpus > 0)
    return [*SPARE_THE_WRAPPER, *enter, *(python or [IN_A_CONTAINER])]


def _enter(container: Container, experiment: ExperimentDir, *, has_gpu: bool) -> list[str]:
    here = str(Path.cwd())
    own = [str(experiment.path.parent.absolute()), here, *list_live_dirs(experiment)]
    bound = [_check_bind(path) for path in dict.fromkeys(own)] + list(container.bind)
    return [
        *(container.runtime, "exec", *container.options),
        *(["--nv"] if has_gpu and "--nv" not in container.options else []),
        *(f"--bind={path}" for path in bound),
        f"--pwd={here}",
        container.image,
    ]


def _check_bind(path: str) -> str:
    if ":" in path or "," in path:
        raise UsageError(
            f"{path}: a directory with a colon or a comma cannot be seen in a container; nothing "
            "was submitted"
        )
    return path


def make_container_lines(resources: Resources, lines: Sequence[str]) -> list[str]:
    """Lines of a batch script that hand the path of modules on into the container.

    `lines` are those that set it, if there are any.
    """
    if resources.container is None or not lines:
        return []
    name = resources.container.runtime.upper()
    return [f'export {name}ENV_PYTHONPATH="$PYTHONPATH"']
