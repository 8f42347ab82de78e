"""Statistics of activations and gradients, layer by layer, of an untrained model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from hpcexp.worker.debug.bench import Bench, measure_loss


def measure_layers(bench: Bench) -> list[Mapping[str, Any]]:
    """A row for each layer, in the order of the calls.

    `mean`, `std` and `share_zero` are of what it gives (over all its calls), `grad_rms` is the
    root mean square of the loss's gradient by that, `weight_grad_rms` by its own parameters; None
    where there is none.
    """
    model = bench.build_model()
    outputs: dict[str, list[Tensor]] = {}
    handles = [
        module.register_forward_hook(_make_hook(outputs, name))
        for name, module in model.named_modules()
        if not list(module.children())
    ]
    try:
        loss = measure_loss(model, bench.inputs)
    finally:
        for handle in handles:
            handle.remove()
    kept = [tensor for tensors in outputs.values() for tensor in tensors if tensor.requires_grad]
    trained = {k: p for k, p in model.named_parameters() if p.requires_grad}
    gradients = torch.autograd.grad(loss, [*kept, *trained.values()], allow_unused=True)
    by_output = {id(t): g for t, g in zip(kept, gradients[: len(kept)], strict=True)}
    by_name = dict(zip(trained, gradients[len(kept) :], strict=True))
    return [
        _describe(name, dict(model.named_modules())[name], tensors, by_output, by_name)
        for name, tensors in outputs.items()
    ]


def _make_hook(outputs: dict[str, list[Tensor]], name: str) -> Callable[..., None]:
    def keep(module: nn.Module, inputs: Any, output: Any) -> None:
        del module, inputs
        if isinstance(output, Tensor) and output.is_floating_point():
            outputs.setdefault(name, []).append(output)

    return keep


def _describe(
    name: str,
    module: nn.Module,
    tensors: list[Tensor],
    by_output: Mapping[int, Tensor | None],
    by_name: Mapping[str, Tensor | None],
) -> Mapping[str, Any]:
    values = torch.cat([t.detach().flatten() for t in tensors])
    flowing = [by_output.get(id(t)) for t in tensors]
    own = [by_name.get(f"{name}.{k}") for k, _ in module.named_parameters(recurse=False)]
    return {
        "layer": name,
        "kind": type(module).__name__,
        "shape": list(tensors[0].shape),
        "mean": values.mean().item(),
        "std": values.std(correction=0).item(),
        "share_zero": (values == 0).float().mean().item(),
        "grad_rms": _root_mean_square(flowing),
        "weight_grad_rms": _root_mean_square(own),
    }


def _root_mean_square(tensors: list[Tensor | None]) -> float | None:
    there = [t.flatten() for t in tensors if t is not None]
    return torch.cat(there).square().mean().sqrt().item() if there else None
