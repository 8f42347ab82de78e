"""The parameters that a run starts from, taken from a run of another experiment."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from hpcexp.errors import UsageError
from hpcexp.store.layout import RunDir
from hpcexp.train.warm_start import WarmStart
from hpcexp.worker.parameters import load_parameters

if TYPE_CHECKING:
    from torch import Tensor

    from hpcexp.train.workload import Workload

logger = logging.getLogger("hpcexp.worker")


def load_initial(workload: Workload, *, rand_init: int) -> dict[str, Tensor]:
    """Parameters and buffers by the names they have here; none without a warm start.

    Raises UsageError where the source run is missing, or lacks what is wanted in the shape that
    is wanted, unless `allow_missing`.
    """
    settings = workload.config.warm_start
    if settings is None:
        return {}
    import torch

    with torch.random.fork_rng(devices=[]):
        model = workload.build_model()
    wanted = {name: tensor.shape for name, tensor in model.state_dict().items()}
    run_dir = RunDir(Path(settings.run.format(rand_init=rand_init)))
    if not run_dir.path.is_dir():
        raise UsageError(f"warm_start.run: there is no run {run_dir.path}")
    kept = load_parameters(run_dir, at=settings.at, metric=settings.metric)
    taken = choose_parameters(settings, wanted, {**kept.parameters, **kept.buffers})
    logger.info(
        "%d of %d parameters and buffers start as in %s at epoch %d%s",
        len(taken),
        len(wanted),
        run_dir.path,
        kept.epoch,
        f" ({kept.note})" if kept.note else "",
    )
    return taken


def choose_parameters(
    settings: WarmStart,
    wanted: Mapping[str, tuple[int, ...]],
    source: Mapping[str, Tensor],
) -> dict[str, Tensor]:
    """Of the source's tensors those that are wanted, under the names that they have here.

    Raises UsageError with every name that the source lacks or has in another shape, unless
    `allow_missing`, and where nothing at all is taken.
    """
    chosen = [name for name in wanted if _is_chosen(name, settings.parameters)]
    for part in settings.parameters:
        if not any(_is_chosen(name, (part,)) for name in wanted):
            raise UsageError(f"warm_start.parameters: the model has none whose name begins {part}")
    faults, taken = [], {}
    for name in chosen:
        there = rename(name, settings.rename)
        if there not in source:
            faults.append(f"{name}: there is no {there}")
        elif tuple(source[there].shape) != tuple(wanted[name]):
            shapes = f"{tuple(source[there].shape)} there, {tuple(wanted[name])} here"
            faults.append(f"{name}: {shapes}")
        else:
            taken[name] = source[there]
    if faults and not settings.allow_missing:
        raise UsageError(
            f"warm_start: {len(faults)} of {len(chosen)} parameters do not fit: "
            f"{'; '.join(faults[:5])}{'; ...' if len(faults) > 5 else ''}; name fewer in "
            "warm_start.parameters, map names with warm_start.rename, or set allow_missing"
        )
    for fault in faults:
        logger.info("starts from scratch: %s", fault)
    if not taken:
        raise UsageError("warm_start: the source has nothing that fits; nothing would be taken")
    return taken


def rename(name: str, changes: Mapping[str, str]) -> str:
    """The name that a parameter has in the source: the longest beginning decides."""
    beginnings = [own for own in changes if _is_chosen(name, (own,))]
    if not beginnings:
        return name
    own = max(beginnings, key=len)
    return changes[own] + name[len(own) :]


def _is_chosen(name: str, beginnings: tuple[str, ...]) -> bool:
    """Whether a name is one of these, or begins with one of them and a dot; all, of none."""
    return not beginnings or any(f"{name}.".startswith(f"{own}.") for own in beginnings)
