"""The parameters that a run has kept, for whoever looks at them or starts from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hpcexp.errors import HpcexpError
from hpcexp.store.checkpoints import list_checkpoints
from hpcexp.store.experiment import read_run_config
from hpcexp.store.layout import RunDir
from hpcexp.store.metrics import SPLITS, read_metrics
from hpcexp.store.status import read_status

if TYPE_CHECKING:
    from torch import Tensor

    from hpcexp.train.sink import Checkpoint

At = Literal["last", "best"] | int


class NoParametersError(HpcexpError):
    """A run has not kept any parameters yet."""


class NotKeptError(HpcexpError):
    """A run has parameters, but not those that are meant; the message says which it has."""


@dataclass(frozen=True)
class KeptParameters:
    """Parameters and buffers on the CPU.

    `note` says where they are not quite what was asked for.
    """

    parameters: Mapping[str, Tensor]
    buffers: Mapping[str, Tensor]
    epoch: int
    step: int
    source: Path
    note: str = ""


def load_parameters(
    run_dir: RunDir, *, at: At = "last", metric: str | None = None
) -> KeptParameters:
    """The last parameters of a run, its best by a metric, or those of an epoch.

    The best by a metric that the run did not keep the best of are those with the least value
    among what it did keep; the note says so. Without a metric it is the first one kept.

    Raises NoParametersError where the run has none yet, NotKeptError with what there is where
    it has others, HpcexpError where they cannot be read.
    """
    if isinstance(at, int) and not list_checkpoints(run_dir) and at in run_dir.list_kept():
        return _read_kept(run_dir.kept_path(epoch=at))  # hpcexp clean leaves these
    source, checkpoint, note = _read_newest(run_dir)
    last = _take_last(run_dir, source, checkpoint, note)
    if at in ("last", last.epoch):
        return last
    if at == "best":
        return _take_best(run_dir, source, checkpoint, last, metric)
    kept = run_dir.list_kept()
    if at not in kept:
        raise NotKeptError(
            f"{run_dir.name}: has no parameters of epoch {at}; {_list(run_dir, last)}"
        )
    return _read_kept(kept[at])


def _take_last(run_dir: RunDir, source: Path, checkpoint: Checkpoint, note: str) -> KeptParameters:
    state, step = checkpoint["state"], checkpoint["step"]
    epoch = _count_epochs(run_dir, step)
    return KeptParameters(state["parameters"], state["buffers"], epoch, step, source, note)


def _take_best(
    run_dir: RunDir, source: Path, checkpoint: Checkpoint, last: KeptParameters, metric: str | None
) -> KeptParameters:
    best: dict[str, Any] = checkpoint.get("best", {})
    if metric is None and not best:
        raise NotKeptError(
            f"{run_dir.name}: kept no best parameters (keep_best); name a metric to choose by "
            f"among what there is: {_list(run_dir, last)}"
        )
    if metric is None or metric in best:
        kept = best[metric or next(iter(best))]
        step, epoch = int(kept["step"]), int(kept["epoch"])
        return KeptParameters(kept["parameters"], kept["buffers"], epoch, step, source)
    return _choose_by_rows(run_dir, last, metric)


def _choose_by_rows(run_dir: RunDir, last: KeptParameters, metric: str) -> KeptParameters:
    table = read_metrics(run_dir.path)
    if metric not in table.columns:
        raise NotKeptError(
            f"{run_dir.name}: has no metric {metric}; it has: {', '.join(table.columns)}"
        )
    is_validated = table.split == SPLITS.index("validate")
    values = dict(
        zip(
            table.epoch[is_validated].tolist(),
            table.column(metric)[is_validated].tolist(),
            strict=True,
        )
    )
    kept = run_dir.list_kept()
    candidates = {epoch: values[epoch] for epoch in (*kept, last.epoch) if epoch in values}
    known = {epoch: value for epoch, value in candidates.items() if value == value}
    if not known:
        raise NotKeptError(
            f"{run_dir.name}: {metric} was validated at none of the epochs whose parameters are "
            f"kept; {_list(run_dir, last)}"
        )
    epoch = min(known, key=lambda e: known[e])
    chosen = last if epoch == last.epoch else _read_kept(kept[epoch])
    note = (
        f"the best of {metric} was not kept (keep_best): epoch {epoch} is the best of the "
        f"{len(known)} epochs that were"
    )
    return KeptParameters(
        chosen.parameters, chosen.buffers, chosen.epoch, chosen.step, chosen.source, note
    )


def _read_kept(path: Path) -> KeptParameters:
    from hpcexp.train.checkpoint import read_checkpoint

    kept = read_checkpoint(path)
    return KeptParameters(kept["parameters"], kept["buffers"], kept["epoch"], kept["step"], path)


def _list(run_dir: RunDir, last: KeptParameters) -> str:
    epochs = [str(epoch) for epoch in run_dir.list_kept()]
    kept = f", epochs {', '.join(epochs)}" if epochs else ""
    return f"there are: last (epoch {last.epoch}){kept}"


def _read_newest(run_dir: RunDir) -> tuple[Path, Checkpoint, str]:
    """The newest checkpoint that is whole, and what is wrong with newer ones."""
    from hpcexp.train.checkpoint import DamagedCheckpointError, read_checkpoint

    problems: list[str] = []
    for path in list_checkpoints(run_dir):
        try:
            return path, read_checkpoint(path), "; ".join(problems)
        except FileNotFoundError:
            continue  # the run trains, and has just replaced it by a newer one
        except DamagedCheckpointError as error:
            problems.append(f"{error}; the one before it was taken")
        except OSError as error:
            raise HpcexpError(f"{path}: cannot be read ({error.strerror})") from error
    if problems:
        raise HpcexpError(problems[0].removesuffix("; the one before it was taken"))
    if read_status(run_dir).is_finished:
        epochs = ", ".join(str(epoch) for epoch in run_dir.list_kept())
        others = f"; there are those of epochs {epochs} (at)" if epochs else ""
        raise NotKeptError(
            f"{run_dir.name}: its checkpoints are gone (hpcexp clean, or an archive without them)"
            f"{others}"
        )
    raise NoParametersError(f"{run_dir.name}: has no parameters yet")


def _count_epochs(run_dir: RunDir, step: int) -> int:
    from hpcexp.workloads import load_config_class

    config = read_run_config(run_dir)
    settings = load_config_class(config.workload).model_validate(config.params)
    return -(-step // settings.steps_per_epoch)
