"""`python -m hpcexp.worker.own_loop.lightning`: fit the Lightning module of a run.

Also for a script that calls `Trainer.fit` itself: `Trainer(callbacks=[Reporting()])`.
"""

from __future__ import annotations

import inspect
import json
import math
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hpcexp.client import VARIABLE, Run, run
from hpcexp.worker.own_loop.call import check_names, load
from hpcexp.worker.own_loop.tensorboard import split_tag

try:
    import lightning
    from lightning.fabric.plugins.environments.lightning import LightningEnvironment
    from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
    from lightning.pytorch.callbacks import Callback, ModelCheckpoint
except ModuleNotFoundError as error:
    if error.name != "lightning":
        raise
    sys.exit("Lightning is not installed here; pip install 'hpcexp[lightning]'")

LAST = "last.ckpt"


class StoppedInEpochError(Exception):
    """The training was asked to stop, and has saved a checkpoint in the middle of an epoch."""


class Reporting(Callback):
    """Reports what the module logs at the end of each epoch, saves, and stops when asked.

    A name such as `val_loss` or `train/loss` says the split and the metric. What was logged in
    validation is reported when there was one.
    """

    def __init__(self, handle: Run | None = None) -> None:
        self.run = handle or run
        self.was_validated = False

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Note that the metrics of `validate` are new."""
        del pl_module
        self.was_validated = not trainer.sanity_checking

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save and stop at once, but at the end of an epoch, which has its own save."""
        del pl_module, outputs, batch, batch_idx
        if not trainer.is_last_batch and self.run.should_stop():
            trainer.save_checkpoint(self.run.checkpoint_dir / LAST)
            raise StoppedInEpochError

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Report; the checkpoint of the epoch is made after all other callbacks."""
        del pl_module
        epoch, step = trainer.current_epoch + 1, trainer.global_step
        rows: dict[str, dict[str, float]] = {}
        for name, value in trainer.callback_metrics.items():
            split, metric = split_tag(name)
            rows.setdefault(split, {})[metric] = float(value)
        for split, values in rows.items():
            if split == "train" or self.was_validated:
                self.run.report(values, epoch=epoch, step=step, split=split)
        self.was_validated = False
        if self.run.should_stop():
            trainer.should_stop = True


def main() -> int:
    """Fit; an epoch that was begun goes on as Lightning resumes it."""
    sys.path.insert(0, str(Path.cwd()))
    told = json.loads(Path(os.environ[VARIABLE]).read_text(encoding="utf-8"))
    references = [told["module"], *([told["data"]] if told.get("data") else [])]
    classes = [load(reference) for reference in references]
    signatures = [inspect.signature(each).parameters for each in classes]
    check_names(" with ".join(references), told["params"], signatures)
    lightning.seed_everything(run.seed, workers=True)
    module, *others = [_make(each, told["params"]) for each in classes]
    saved = run.checkpoint_dir / LAST
    trainer = lightning.Trainer(**_choose_settings(told.get("trainer", {})))
    try:
        # The checkpoint is this run's own, so that what it holds besides tensors is, too.
        trainer.fit(
            module,
            datamodule=others[0] if others else None,
            ckpt_path=str(saved) if saved.exists() else None,
            weights_only=False,
        )
    except StoppedInEpochError:
        return 0
    if not run.was_told_to_stop or _has_reached_budget(trainer):
        run.complete()
    return 0


def _has_reached_budget(trainer: Any) -> bool:
    epochs = run.max_epoch is not None and trainer.current_epoch >= run.max_epoch
    return epochs or (run.max_step is not None and trainer.global_step >= run.max_step)


def _make(made: Any, params: Mapping[str, Any]) -> Any:
    """An object of a class with those of the hyperparameters that it knows."""
    wanted = inspect.signature(made).parameters
    takes_all = any(p.kind is p.VAR_KEYWORD for p in wanted.values())
    return made(**{n: v for n, v in params.items() if takes_all or n in wanted})


def _choose_settings(given: Mapping[str, Any]) -> dict[str, Any]:
    ranks = run.world_size
    per_node = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    # Lightning would take a Slurm job for its own, and requeue it.
    environment = TorchElasticEnvironment() if ranks > 1 else LightningEnvironment()
    checkpoint = ModelCheckpoint(
        dirpath=run.checkpoint_dir,
        filename=LAST.removesuffix(".ckpt"),
        every_n_epochs=1,
        save_on_train_epoch_end=True,
        enable_version_counter=False,
    )
    settings = {
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
        "default_root_dir": str(run.directory / "own"),
        **given,
        "max_epochs": run.max_epoch if run.max_epoch is not None else -1,
        "max_steps": run.max_step if run.max_step is not None else -1,
        "callbacks": [Reporting(), checkpoint],
        "plugins": [environment],
    }
    if ranks > 1:
        settings |= {"devices": per_node, "num_nodes": math.ceil(ranks / per_node)}
        settings.setdefault("strategy", "ddp")
    else:
        settings["devices"] = 1
    return settings


if __name__ == "__main__":
    sys.exit(main())
