"""Makes `tests/data/experiment_format_1`: run `python -m tests.store.format_fixture`.

A real experiment of format 1, made once and kept, so that later versions of hpcexp are
tested against what this one wrote. Do not make it again: a later format gets a folder of
its own beside it. Its host is renamed and its checkpoints are removed, which depend on
torch and are large.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path
from unittest.mock import patch

from hpcexp.launch.plan import make_plan
from hpcexp.store.experiment import create_experiment
from hpcexp.store.layout import FORMAT, ExperimentDir
from hpcexp.store.submissions import Driver, make_submission, write_submission
from hpcexp.template import load_template
from hpcexp.worker.interruption import Interruption
from hpcexp.worker.logs import start_logging
from hpcexp.worker.run import train_run
from tests.store.conftest import PROVENANCE
from tests.train.conftest import TINY
from tests.worker.conftest import InterruptAfter

TARGET_DIR = Path(__file__).parents[1] / "data" / f"experiment_format_{FORMAT}"
TEMPLATE = {
    "name": "format_1",
    "question": "can it still be read?",
    "workload": "sps",
    "params": {**TINY, "max_epoch": 2},
    "grid": {"rnn_width": [4, 6], "lr": [1e-3, 1e30]},
    "rand_inits": 1,
    "seed": 7,
    "resources": {"cpus": 1, "mem_gb": 1, "timeout": "10m"},
}


def main() -> None:
    """Make the experiment, or refuse to where it exists."""
    if TARGET_DIR.exists():
        sys.exit(f"{TARGET_DIR} exists: it is kept as it is")
    with (
        tempfile.TemporaryDirectory() as directory,
        patch("socket.gethostname", return_value="node01"),
    ):
        experiment = _train(Path(directory))
        for path in [*experiment.path.rglob(".lock"), *experiment.path.rglob("*.pt")]:
            path.unlink()
        shutil.copytree(experiment.path, TARGET_DIR)


def _train(directory: Path) -> ExperimentDir:
    """A run that completed, one that diverged, one that was interrupted, and one that waits."""
    path = directory / "format_1.yaml"
    path.write_text(json.dumps(TEMPLATE, indent=2))
    template = load_template(path)
    experiment = create_experiment(
        directory, make_plan(template), sources=[(path, path.read_text())], provenance=PROVENANCE
    )
    names = [run.name for run in template.runs()]
    submission = make_submission(
        experiment,
        number=1,
        executor="local",
        bundles=[[name] for name in names],
        driver=Driver("node01", 42, 4711),
    )
    write_submission(experiment, submission)
    start_logging()
    interruptions = (Interruption(), Interruption(), InterruptAfter(7))
    for name, interruption in zip(names, interruptions, strict=False):
        train_run(experiment.run(name), interruption=interruption, num_threads=1)
    return experiment


if __name__ == "__main__":
    main()
