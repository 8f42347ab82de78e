"""Checks of the data and of the model's parts, without training."""

from __future__ import annotations

import builtins
import dis
import types
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from hpcexp.train.inputs import draw_order
from hpcexp.worker.debug.bench import Bench, measure_loss
from hpcexp.worker.debug.findings import CheckFailedError

MAX_NAMED = 4
NUM_GRADIENT_STEPS = 3
_VALUES = (bool, int, float, str, list, dict, set, tuple)
_STATEFUL = (Tensor, nn.Module, torch.Generator)


def check_data(bench: Bench) -> str:
    """Every sample of the training set is seen in an epoch, but for less than a batch."""
    workload, sizes = bench.given, {}
    for split, tensors in bench.data.items():
        lengths = {len(tensor) for tensor in tensors.values()}
        if len(lengths) != 1 or lengths == {0}:
            raise CheckFailedError(f"the tensors of split {split} have lengths {sorted(lengths)}")
        sizes[split] = lengths.pop()
    config = workload.config
    for split, wanted in (("train", config.train_set_size), ("validate", config.validate_set_size)):
        if sizes[split] != wanted:
            raise CheckFailedError(
                f"{split} has {sizes[split]} samples, {split}_set_size is {wanted}"
            )
    order = draw_order(workload, bench.streams, range(config.steps_per_epoch))
    if order.min() < 0 or order.max() >= sizes["train"]:
        raise CheckFailedError(
            f"an epoch reads row {int(order.max())} of {sizes['train']}: its length is wrong"
        )
    num_seen = len(set(order.flatten().tolist()))
    num_unseen = sizes["train"] - num_seen
    # A sample of n rows may leave out n - 1 more.
    allowed = config.batch_size + (order.shape[2] if order.ndim == 3 else 1) - 2
    if num_unseen > allowed:
        raise CheckFailedError(
            f"an epoch of {config.steps_per_epoch} batches reads {num_seen} of {sizes['train']} "
            f"training samples; at most {allowed} may be left out as an incomplete batch"
        )
    return f"{sizes['train']} training and {sizes['validate']} validation samples, all are read"


def check_purity(bench: Bench) -> str:
    """The same inputs give the same loss, and no random number is drawn aside."""
    model, before = bench.build_model(), torch.get_rng_state()
    first, second = (measure_loss(model, bench.inputs).item() for _ in range(2))
    if not torch.equal(before, torch.get_rng_state()):
        raise CheckFailedError("forward draws random numbers of its own")
    if first != second:
        raise CheckFailedError(f"the same inputs gave {first:.6g}, then {second:.6g}")
    return "the same inputs give the same loss"


def check_globals(bench: Bench) -> str:
    """Neither the model nor the workload reads a variable that is not its own."""
    model = bench.build_model()
    classes = {type(module) for module in model.modules()} | {type(bench.given)}
    bases = {base for cls in classes for base in cls.__mro__ if _is_own(base)}
    found = sorted({text for cls in bases for text in find_globals(cls)})
    if found:
        raise CheckFailedError(_list(found))
    return f"{len(bases)} classes read no global variable"


def _is_own(cls: type) -> bool:
    return cls.__module__.split(".")[0] not in ("torch", "torchvision", "builtins", "typing", "abc")


def find_globals(cls: type) -> Iterator[str]:
    """Global variables that a class's methods read or write: not constants, not functions."""
    for function in vars(cls).values():
        function = getattr(function, "__func__", getattr(function, "fget", function))
        if isinstance(function, types.FunctionType):
            for name, is_written in _list_globals(function.__code__):
                if reason := _judge(name, function.__globals__, is_written=is_written):
                    yield f"{cls.__name__}.{function.__name__} {reason} {name}"


def _list_globals(code: types.CodeType) -> Iterator[tuple[str, bool]]:
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("LOAD_GLOBAL", "STORE_GLOBAL"):
            yield str(instruction.argval), instruction.opname == "STORE_GLOBAL"
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _list_globals(constant)


def _judge(name: str, known: dict[str, object], *, is_written: bool) -> str:
    if is_written:
        return "writes the global"
    if name not in known and not hasattr(builtins, name):
        return "reads the global, which does not exist,"
    value = known.get(name)
    is_constant = name.strip("_").isupper()
    if isinstance(value, _STATEFUL) or (isinstance(value, _VALUES) and not is_constant):
        return f"reads the global {type(value).__name__}"
    return ""


def check_registration(bench: Bench) -> str:
    """Every network inside the model is one of its modules."""
    model = bench.build_model()
    known = set(map(id, model.modules())) | set(map(id, model.parameters()))
    hidden = [
        f"{name or type(module).__name__}.{attribute}"
        for name, module in model.named_modules()
        for attribute, value in vars(module).items()
        if not attribute.startswith("_") and any(id(v) not in known for v in _list_networks(value))
    ]
    if hidden:
        raise CheckFailedError(_list(hidden))
    return f"{sum(p.numel() for p in model.parameters())} parameters are the model's own"


def _list_networks(value: object) -> list[object]:
    if isinstance(value, dict):
        value = list(value.values())
    members = value if isinstance(value, list | tuple) else [value]
    return [v for v in members if isinstance(v, nn.Module | nn.Parameter)]


def check_gradients(bench: Bench) -> str:
    """Every parameter that is to be trained gets a gradient, and changes."""
    model = bench.build_model()
    idle = tuple(bench.facts.without_effect)
    trained = {
        k: p for k, p in model.named_parameters() if p.requires_grad and not k.endswith(idle)
    }
    largest = dict.fromkeys(trained, 0.0)
    for step in range(NUM_GRADIENT_STEPS):
        inputs = bench.weigh_all(bench.make_inputs(step))
        gradients: tuple[Tensor | None, ...] = torch.autograd.grad(
            measure_loss(model, inputs), list(trained.values()), allow_unused=True
        )
        with torch.no_grad():
            for (name, parameter), gradient in zip(trained.items(), gradients, strict=True):
                if gradient is None:
                    continue
                if not torch.isfinite(gradient).all():
                    raise CheckFailedError(f"the gradient of {name} is not finite at step {step}")
                largest[name] = max(largest[name], float(gradient.abs().max()))
                parameter.sub_(bench.given.config.lr * gradient)
    lacking = [name for name, size in largest.items() if size == 0]
    if lacking:
        raise CheckFailedError(
            f"no gradient reaches {_list(lacking)} ({len(lacking)} of {len(trained)})"
        )
    fresh = dict(bench.build_model().named_parameters())
    resting = [name for name, p in trained.items() if torch.equal(p, fresh[name])]
    if resting:
        raise CheckFailedError(
            f"a step changes nothing of {_list(resting)}: its gradient is too small"
        )
    frozen = sum(not p.requires_grad for p in model.parameters())
    also = f"; {frozen} are frozen" if frozen else ""
    return f"all {len(trained)} parameter tensors get a gradient and change{also}"


def _list(names: list[str]) -> str:
    rest = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return ", ".join(names[:MAX_NAMED]) + rest
