"""Where a warm start comes from, found at launch: a run must not fail for it in the night."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hpcexp.errors import UsageError
from hpcexp.site import find_experiments_dir
from hpcexp.store.find import find_experiment
from hpcexp.store.layout import RunDir


def locate_warm_start(
    config: Mapping[str, Any], *, rand_inits: int, experiments_dir: Path | None = None
) -> dict[str, Any]:
    """The configuration with an absolute path of the run that it starts from, if any.

    A path in a template is relative to the directory of the launch; `NAME/runs/RUN` is a run of
    the newest experiment of that name. Raises UsageError where a source run, or its parameters,
    are not there.
    """
    settings = config.get("warm_start")
    if not settings:
        return dict(config)
    path = _find_run(settings["run"], experiments_dir or find_experiments_dir())
    for rand_init in range(rand_inits):
        check_source(str(path), rand_init)
    return {**config, "warm_start": {**settings, "run": str(path)}}


def _find_run(text: str, experiments_dir: Path) -> Path:
    path = Path(text)
    if len(path.parts) != 3 or path.parts[1] != "runs" or Path(path.parts[0]).exists():
        return path.absolute()
    try:
        found = find_experiment(path.parts[0], experiments_dir=experiments_dir)
    except UsageError as error:
        raise UsageError(f"params.warm_start.run: {text}: {error}") from error
    return found.experiment.path.absolute() / "runs" / path.parts[2]


def check_source(path: str, rand_init: int) -> None:
    """Raise UsageError where the run that an initialisation starts from is not there."""
    try:
        run_dir = RunDir(Path(path.format(rand_init=rand_init)))
    except (KeyError, IndexError, ValueError) as error:
        raise UsageError(
            f"params.warm_start.run: {path}: {error} is not known; the only placeholder is "
            "{rand_init}"
        ) from error
    if not run_dir.config_path.is_file():
        raise UsageError(
            f"params.warm_start.run: {run_dir.path} is no run (wanted for initialisation "
            f"{rand_init}); write EXPERIMENT_DIR/runs/RUN, relative to where you launch"
        )
    if not any(run_dir.checkpoints_dir.glob("*.pt")):
        raise UsageError(
            f"params.warm_start.run: {run_dir.path} has no parameters yet: let it train first"
        )
