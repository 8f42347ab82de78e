"""Which parameters of a run are looked into, and the model that holds them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hpcexp.errors import HpcexpError, UsageError
from hpcexp.store.experiment import read_run_config
from hpcexp.store.layout import RunDir
from hpcexp.worker.parameters import At, NotKeptError, load_parameters

if TYPE_CHECKING:
    import torch
    from torch import nn

    from hpcexp.train.workload import Workload


@dataclass(frozen=True)
class Choice:
    """The parameters that are meant; `metric` is for `best` only."""

    at: At = "last"
    metric: str | None = None

    @property
    def label(self) -> str:
        """A name for the directory of what is found."""
        if isinstance(self.at, int):
            return f"epoch_{self.at:06d}"
        return f"{self.at}_{self.metric}" if self.metric else self.at


@dataclass(frozen=True)
class LoadedModel:
    """A model in evaluation mode with a run's parameters.

    `note` says where these are not quite what was asked for.
    """

    model: nn.Module
    epoch: int
    step: int
    note: str


def check_choice(run_dirs: Sequence[RunDir], choice: Choice) -> None:
    """Raise UsageError where runs have parameters, but none of them those that are meant."""
    if choice.at == "last":
        return
    lacking: list[str] = []
    for run_dir in run_dirs:
        try:
            load_parameters(run_dir, at=choice.at, metric=choice.metric)
        except NotKeptError as error:
            lacking.append(str(error))
        except HpcexpError:
            continue  # of this run something else is to be said
        else:
            return
    if lacking:
        rest = "; nor has any other run" if len(lacking) > 1 else ""
        raise UsageError(f"--at {choice.at}: {lacking[0]}{rest}")


def load_run_workload(run_dir: RunDir) -> Workload:
    """The workload of a run, as it was configured at launch.

    Raises HpcexpError where its config cannot be read by this version.
    """
    from pydantic import ValidationError

    from hpcexp.workloads import load_config_class, load_workload

    config = read_run_config(run_dir)
    try:
        hyperparameters = load_config_class(config.workload).model_validate(config.params)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise HpcexpError(
            f"{run_dir.config_path}: not known to this version ({where}: {first['msg']}); "
            "use the hpcexp that made it"
        ) from error
    return load_workload(config.workload, hyperparameters)


def load_model(
    run_dir: RunDir, workload: Workload, *, choice: Choice, device: torch.device
) -> LoadedModel:
    """Build a run's model and give it the chosen parameters.

    Raises HpcexpError where there are none, or they are of another model.
    """
    import torch

    loaded = load_parameters(run_dir, at=choice.at, metric=choice.metric)
    with torch.random.fork_rng(devices=[]):
        model = workload.build_model()
    found = {**loaded.parameters, **loaded.buffers}
    wanted = dict((*model.named_parameters(), *model.named_buffers()))
    different = sorted(wanted.keys() ^ found.keys()) or [
        name for name, tensor in wanted.items() if tensor.shape != found[name].shape
    ]
    if different:
        raise HpcexpError(
            f"{run_dir.name}: its parameters are of another model ({different[0]} differs); "
            "use the hpcexp that trained it"
        )
    with torch.no_grad():
        for name, tensor in wanted.items():
            tensor.copy_(found[name])
    return LoadedModel(model.to(device).eval(), loaded.epoch, loaded.step, loaded.note)


def choose_device(text: str | None) -> torch.device:
    """The device of a name such as `cpu` or `cuda:1`; a GPU where there is one by default.

    Raises UsageError for what this machine has not.
    """
    import torch

    if text is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(text)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        first = str(error).strip().splitlines()[0]
        raise UsageError(f"--device {text}: not on this machine ({first})") from error
    return device
