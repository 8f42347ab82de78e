"""Checks of what a model predicts: example by example, input by input."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from hpcexp.train.step import StepInputs
from hpcexp.worker.debug.bench import Bench, measure_loss
from hpcexp.worker.debug.findings import CheckFailedError, NothingToCheckError

TOLERANCE = 1e-3
"""Of the largest prediction: more than rounding in float32, less than any other example does."""
_COUPLING = (nn.modules.batchnorm._BatchNorm,)


def check_batch_of_one(bench: Bench) -> str:
    """A batch of one trains, and is predicted as it is in a larger batch."""
    alone = bench.change(batch_size=1)
    if alone.config.batch_size != 1:
        raise NothingToCheckError("this configuration does not allow batches of one")
    model = bench.build_model(alone)
    loss = _measure_one(bench, model)
    if not math.isfinite(loss):
        raise CheckFailedError(f"the loss of a batch of one is {loss}")
    if bench.facts.predict is None:
        return f"a batch of one has a loss of {loss:.4g}"
    first = torch.zeros(1, dtype=torch.int64, device=bench.device)
    whole = bench.predict(bench.trained_model, bench.inputs)
    found = bench.predict(bench.trained_model, bench.take(bench.inputs, first))
    if found.shape != (1, *whole.shape[1:]):
        raise CheckFailedError(
            f"predictions of a batch of one have shape {tuple(found.shape)}, of {len(whole)} "
            f"{tuple(whole.shape)}"
        )
    if (gap := _compare(found, whole[:1])) > TOLERANCE:
        raise CheckFailedError(f"alone an example is predicted differently, by {gap:.2g}")
    return "a batch of one trains and is predicted as in a larger batch"


def _measure_one(bench: Bench, model: nn.Module) -> float:
    """In evaluation mode where batch norm has nothing to take the mean of."""
    inputs = bench.make_inputs(workload=bench.change(batch_size=1))
    try:
        return float(measure_loss(model, inputs).item())
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise CheckFailedError("batch norm cannot train on a batch of one") from error


def check_independence(bench: Bench) -> str:
    """What is predicted of an example does not depend on the others."""
    others, size = bench.make_inputs(1), _count(bench.inputs)
    if size < 2:
        raise NothingToCheckError("a batch has one example only")
    half = torch.arange(size, device=bench.device) < size // 2
    mixed = _mix_batches(bench, others, half)
    model = bench.trained_model
    gap = _compare(bench.predict(model, mixed)[half], bench.predict(model, bench.inputs)[half])
    if gap > TOLERANCE:
        raise CheckFailedError(f"other examples in the batch change a prediction by {gap:.2g}")
    training = bench.build_model()
    gap = _compare(
        bench.predict(training, mixed)[half],
        bench.predict(bench.build_model(), bench.inputs)[half],
    )
    norms = [m for m in training.modules() if isinstance(m, _COUPLING) and m.training]
    if gap > TOLERANCE and not norms:
        raise CheckFailedError(f"in training mode, other examples change a prediction by {gap:.2g}")
    also = " (in training, batch norm couples them)" if gap > TOLERANCE else ""
    return f"other examples change nothing{also}"


def check_permutation(bench: Bench) -> str:
    """Inputs in another order give predictions in that order."""
    permute, count = bench.facts.permute, bench.facts.num_permuted
    if permute is None:
        raise NothingToCheckError("the order of inputs means something, or there is only one")
    order = torch.arange(count, device=bench.device).roll(1)
    before = bench.predict(bench.trained_model, bench.inputs)[:, order]
    after = bench.predict(bench.trained_model, permute(bench.inputs, order))
    if (gap := _compare(after, before)) > TOLERANCE:
        raise CheckFailedError(f"in another order of inputs, predictions change by {gap:.2g}")
    return f"predictions follow the order of the {count} inputs"


def check_spread(bench: Bench) -> str:
    """Predictions differ between examples."""
    predicted = bench.predict(bench.trained_model, bench.inputs).flatten(1)
    if len(predicted) < 2:
        raise NothingToCheckError("a batch has one example only")
    spread = predicted.std(dim=0, correction=0).mean().item()
    if not spread >= bench.facts.min_spread:
        mean = predicted.mean().item()
        raise CheckFailedError(
            f"after training on them, all examples are predicted alike: {mean:.3g} with a "
            f"standard deviation of {spread:.2g}"
        )
    return f"predictions vary over examples with a standard deviation of {spread:.2g}"


def _mix_batches(bench: Bench, others: StepInputs, keep: Tensor) -> StepInputs:
    def choose(own: Tensor, other: Tensor) -> Tensor:
        shape = (-1, *(1,) * (own.ndim - 1))
        return torch.where(keep.view(shape), own, other)

    given = bench.inputs
    noise = {
        k: choose(v, others.noise[k]) if k in bench.facts.batched_noise else v
        for k, v in given.noise.items()
    }
    batch = {k: choose(v, others.batch[k]) for k, v in given.batch.items()}
    return given._replace(batch=batch, noise=noise)


def _count(inputs: StepInputs) -> int:
    return len(next(iter(inputs.batch.values())))


def _compare(found: Tensor, wanted: Tensor) -> float:
    """The largest difference, as a part of the largest value."""
    if found.shape != wanted.shape:
        raise CheckFailedError(
            f"predictions have shape {tuple(found.shape)}, not {tuple(wanted.shape)}"
        )
    scale = wanted.abs().max().clamp(min=1e-12)
    return float((found - wanted).abs().max() / scale)
