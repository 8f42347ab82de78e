"""What a training is told: a file, and variables for those who cannot read JSON."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpcexp.client import VARIABLE
from hpcexp.store.checkpoints import claim_own_checkpoints
from hpcexp.store.experiment import RunConfig
from hpcexp.store.files import write_json, write_text
from hpcexp.store.launch_place import find_launch_copy, read_launch_dir
from hpcexp.store.layout import RunDir
from hpcexp.train.seeds import derive_seed
from hpcexp.worker.sink import RunDirSink
from hpcexp.workloads.own_loop.config import OwnLoopConfig

SEED_BITS = 31


@dataclass(frozen=True)
class Told:
    """Where a training is started, what takes the places in its command, and its environment."""

    directory: Path
    given: Mapping[str, Any]
    environment: Mapping[str, str]


def tell(
    sink: RunDirSink, run_config: RunConfig, config: OwnLoopConfig, *, num_threads: int
) -> Told:
    """Write what an attempt is told; to be called as the owner of the run.

    Raises OSError where the file system refuses.
    """
    run_dir, attempt = sink.run_dir, sink.ownership.attempt
    run_dir.own_dir.mkdir(exist_ok=True)
    run_dir.stop_path(attempt).unlink(missing_ok=True)
    run_dir.reports_path(attempt).touch()
    given: dict[str, Any] = {
        "seed": derive_seed(run_config.seed, run_config.rand_init, "own_loop") >> (63 - SEED_BITS),
        "rand_init": run_config.rand_init,
        "run": run_dir.name,
        "run_dir": str(run_dir.path.absolute()),
        "checkpoint_dir": str(claim_own_checkpoints(run_dir, attempt=attempt).absolute()),
        "project_dir": str(read_launch_dir(run_dir.experiment)),
        "metrics_file": str(run_dir.reports_path(attempt).absolute()),
        "tensorboard_dir": str(run_dir.tensorboard_dir.absolute()),
        "attempt": attempt,
        "num_threads": num_threads,
        "python": sys.executable,
    }
    if config_file := getattr(config, "config_file", None):
        given["config_file"] = str(_write_config(run_dir, config_file, config, given))
    told = {
        **config.list_references(),
        **given,
        "version": 1,
        "params": config.hyperparameters,
        "max_epoch": config.max_epoch,
        "max_step": config.max_step,
        "metric": config.metric.name,
        "epoch": sink.status.epoch if attempt > 1 else 0,
        "step": sink.status.step if attempt > 1 else 0,
        "stop_file": str(run_dir.stop_path(attempt).absolute()),
    }
    write_json(run_dir.told_path(attempt), told)
    return Told(
        find_launch_copy(run_dir.experiment),
        given,
        _make_environment(run_dir, config, given, told, num_threads=num_threads),
    )


def _write_config(
    run_dir: RunDir, name: str, config: OwnLoopConfig, given: Mapping[str, Any]
) -> Path:
    content = {**config.hyperparameters, **_list_budget(config), "seed": given["seed"]}
    path = run_dir.own_dir.absolute() / name
    if path.suffix == ".json":
        write_json(path, content)
    else:
        import yaml

        write_text(path, yaml.safe_dump(content, sort_keys=False, allow_unicode=True))
    return path


def _list_budget(config: OwnLoopConfig) -> dict[str, int]:
    """What the template gives of it: it stands under `params` as hyperparameters do."""
    budget = {"max_epoch": config.max_epoch, "max_step": config.max_step}
    return {name: value for name, value in budget.items() if value is not None}


def _make_environment(
    run_dir: RunDir,
    config: OwnLoopConfig,
    given: Mapping[str, Any],
    told: Mapping[str, Any],
    *,
    num_threads: int,
) -> dict[str, str]:
    variables = {
        VARIABLE: str(run_dir.told_path(given["attempt"]).absolute()),
        "HPCEXP_STOP_FILE": told["stop_file"],
        **{f"HPCEXP_{name.upper()}": str(value) for name, value in given.items()},
    }
    # A shell script cannot ask the client for these.
    variables |= {f"HPCEXP_{name.upper()}": str(told[name]) for name in ("epoch", "step")}
    for name, value in {**config.hyperparameters, **_list_budget(config)}.items():
        key = re.sub(r"[^A-Z0-9]", "_", name.upper())
        variables[f"HPCEXP_PARAM_{key}"] = value if isinstance(value, str) else json.dumps(value)
    # Lines show when they are printed; and a library that counts the node's cores is told better.
    usual = {"PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": str(num_threads)}
    return {**usual, **os.environ, **variables}
