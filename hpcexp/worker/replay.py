"""Running the step again at which a run diverged, from the record that it left."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hpcexp.errors import HpcexpError, UsageError
from hpcexp.store.checkpoints import list_checkpoints
from hpcexp.store.experiment import read_run_config
from hpcexp.store.files import read_json
from hpcexp.store.layout import RunDir
from hpcexp.store.status import read_status
from hpcexp.worker.inspection.parameters import choose_device, load_run_workload

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import torch

    from hpcexp.train.forensics import Examination
    from hpcexp.train.sink import Checkpoint
    from hpcexp.train.step import StepFunction, StepInputs, TrainState
    from hpcexp.train.workload import Workload


@dataclass(frozen=True)
class Replay:
    """A step that was run again.

    `recorded` and `examination.record` are the weighted total, the terms by `loss_names`, and the
    norm of the gradient, then and now. `recorded_first` says in words where it began then; empty
    where that was not found.
    """

    run: str
    step: int
    epoch: int
    reason: str
    samples: Sequence[int]
    lr: float
    device: str
    dtype: str
    loss_names: Sequence[str]
    recorded: torch.Tensor
    recorded_first: str
    examination: Examination

    @property
    def happened_again(self) -> bool:
        """Whether the step diverged this time as well."""
        return self.examination.diverged

    @property
    def has_same_numbers(self) -> bool:
        """Whether losses and norm are the same, bit for bit."""
        again = self.examination.record.to(self.recorded.dtype)
        return bool(again.isclose(self.recorded, rtol=0, atol=0, equal_nan=True).all())

    @property
    def has_same_place(self) -> bool:
        """Whether it began at the same tensor of the same module."""
        first = self.examination.first
        return (first.describe() if first else "") == self.recorded_first


def replay_run(run_dir: RunDir, *, device: str | None = None) -> Replay:
    """Run the recorded step of a run again, with every module watched; nothing is written.

    On the CPU it uses as many threads as the run did, for the same numbers.
    Raises UsageError where there is nothing to replay, or it cannot be on this machine.
    """
    import torch

    from hpcexp.train.forensics import examine_step
    from hpcexp.train.step import StepFunction
    from hpcexp.train.strategy import HasStrategy

    record = _read_record(run_dir)
    chosen, dtype = choose_device(device), getattr(torch, record["dtype"])
    num_threads = read_status(run_dir).machine.get("num_threads")
    if chosen.type == "cpu" and num_threads:
        torch.set_num_threads(num_threads)
    workload = load_run_workload(run_dir)
    with torch.random.fork_rng(devices=[]):
        model = workload.build_model().to(chosen, dtype).train()
    strategy = workload.make_strategy(model) if isinstance(workload, HasStrategy) else None
    config = workload.config
    function = StepFunction(model, config.optimizer, strategy, config.precision)
    state = _load_state(run_dir, record, function, device=chosen)
    inputs = _load_inputs(run_dir, record, workload, device=chosen, dtype=dtype)
    return Replay(
        run=run_dir.name,
        step=record["step"],
        epoch=record["epoch"],
        reason=record["reason"],
        samples=record["indices"].tolist(),
        lr=float(record["values"]["lr"]),
        device=str(chosen),
        dtype=record["dtype"],
        loss_names=record["loss_names"],
        recorded=record["record"],
        recorded_first=_read_recorded_first(run_dir, step=record["step"]),
        examination=examine_step(function, state, inputs),
    )


def list_recorded(run_dirs: Sequence[RunDir]) -> list[str]:
    """Names of the runs that have a record."""
    return [run_dir.name for run_dir in run_dirs if run_dir.forensics_path.exists()]


def _read_record(run_dir: RunDir) -> Checkpoint:
    from hpcexp.train.checkpoint import DamagedCheckpointError, read_checkpoint

    path = run_dir.forensics_path
    try:
        return read_checkpoint(path)
    except FileNotFoundError as error:
        state = read_status(run_dir).state.words
        raise UsageError(
            f"{run_dir.name}: nothing to replay: it is {state}, and no step of it is recorded"
        ) from error
    except DamagedCheckpointError as error:
        raise UsageError(f"{error}; the step cannot be replayed") from error
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from error


def _read_recorded_first(run_dir: RunDir, *, step: int) -> str:
    """Of the summary for people; one that is gone or of another step says nothing."""
    try:
        summary = read_json(run_dir.divergence_path)
    except HpcexpError:
        return ""
    if not isinstance(summary, dict) or summary.get("step") != step:
        return ""
    return str(summary.get("first_in_words", ""))


def _load_state(
    run_dir: RunDir, record: Checkpoint, function: StepFunction, *, device: torch.device
) -> TrainState:
    from hpcexp.train.step import TrainState

    packed = record.get("state") or _find_in_checkpoint(run_dir, step=record["step"])
    wanted = function.init_state()
    for name in ("parameters", "buffers", "optimizer"):
        kept, expected = packed[name], getattr(wanted, name)
        differing = sorted(kept.keys() ^ expected.keys()) or [
            key for key, tensor in expected.items() if tensor.shape != kept[key].shape
        ]
        if differing:
            raise UsageError(
                f"{run_dir.name}: its {name} are of another model ({differing[0]} differs); "
                "use the hpcexp that trained it"
            )
    return TrainState(**{name: _move(value, device) for name, value in packed.items()})


def _find_in_checkpoint(run_dir: RunDir, *, step: int) -> Mapping[str, Any]:
    """A state that was too large to be kept twice: that of a run that ended at the step."""
    from hpcexp.train.checkpoint import DamagedCheckpointError, read_checkpoint

    for path in list_checkpoints(run_dir)[:1]:
        try:
            checkpoint = read_checkpoint(path)
        except (OSError, DamagedCheckpointError):
            continue
        if checkpoint["step"] == step:
            state: Mapping[str, Any] = checkpoint["state"]
            return state
    raise UsageError(
        f"{run_dir.name}: the state before step {step} was too large to be recorded, and no "
        "checkpoint holds it; it cannot be replayed"
    )


def _load_inputs(
    run_dir: RunDir,
    record: Checkpoint,
    workload: Workload,
    *,
    device: torch.device,
    dtype: torch.dtype,
) -> StepInputs:
    from hpcexp.train.step import StepInputs

    values = _move(record["values"], device)
    if "batch" in record:
        return StepInputs(_move(record["batch"], device), _move(record["noise"], device), values)
    made = _make_inputs(
        run_dir, workload, record["indices"], step=record["step"], device=device, dtype=dtype
    )
    return made._replace(values=values)


def _make_inputs(
    run_dir: RunDir,
    workload: Workload,
    indices: torch.Tensor,
    *,
    step: int,
    device: torch.device,
    dtype: torch.dtype,
) -> StepInputs:
    """The samples at `indices`, and random numbers from the seed, as in training."""
    from hpcexp.train.inputs import STEPS_PER_BLOCK, make_block
    from hpcexp.train.seeding import RandomStreams

    config = read_run_config(run_dir)
    streams = RandomStreams(config.seed, config.rand_init)
    index, offset = divmod(step, STEPS_PER_BLOCK)
    block = make_block(workload, streams, block=index, device=device, dtype=dtype)
    data = {
        name: tensor.to(device, dtype if tensor.is_floating_point() else None)
        for name, tensor in workload.load_data()["train"].items()
    }
    return block.select(offset, data, indices=indices.to(device))


def _move(value: Any, device: torch.device) -> Any:
    """Tensors, also in dictionaries, on the device; their types stay."""
    if isinstance(value, dict):
        return {name: _move(part, device) for name, part in value.items()}
    return value.to(device)
