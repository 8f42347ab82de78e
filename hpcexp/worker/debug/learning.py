"""Checks of learning: the first loss, one batch by heart, an easier data set."""

from __future__ import annotations

import math

from hpcexp.train.fit import FitOptions, fit
from hpcexp.train.sink import MemorySink
from hpcexp.worker.debug.bench import Bench, measure_loss
from hpcexp.worker.debug.findings import CheckFailedError, NothingToCheckError

OTHER_RATES = (0.1, 10.0)


def check_initial_loss(bench: Bench) -> str:
    """An untrained model has the loss that one expects of it."""
    expected = bench.facts.initial_loss
    loss = measure_loss(bench.build_model(), bench.make_inputs(workload=bench.given)).item()
    if not math.isfinite(loss):
        raise CheckFailedError(f"the loss of an untrained model is {loss}")
    if expected is None:
        raise NothingToCheckError(f"it is {loss:.4g}; the workload does not say what it should be")
    if bench.initial:
        raise NothingToCheckError(f"it is {loss:.4g}; the model does not start untrained")
    said = f"{expected.low:.4g} to {expected.high:.4g} ({expected.reason})"
    if not expected.low <= loss <= expected.high:
        raise CheckFailedError(f"the loss of an untrained model is {loss:.4g}, not {said}")
    return f"{loss:.4g}, expected {said}"


def check_overfit(bench: Bench) -> str:
    """One batch, always the same, is learned by heart."""
    done = bench.overfitted
    said = f"from {done.first:.4g} to {done.last:.4g} in {done.num_steps} steps"
    if done.is_learned:
        return f"the loss of one batch falls {said}"
    reasons = [f"the loss of one batch goes {said}, not to {done.goal:.2g}"]
    reasons += [text for text in (_describe_range(bench), _try_rates(bench)) if text]
    raise CheckFailedError("; ".join(reasons))


def _describe_range(bench: Bench) -> str:
    """What predictions reach, where that is less than what they should."""
    if bench.facts.target is None:
        return ""
    predicted = bench.predict(bench.trained_model, bench.inputs)
    target = bench.facts.target(bench.trained_model, bench.inputs)
    ranges = [f"{t.min().item():.2g} to {t.max().item():.2g}" for t in (predicted, target)]
    return f"predictions reach from {ranges[0]}, targets from {ranges[1]}"


def _try_rates(bench: Bench) -> str:
    for factor in OTHER_RATES:
        if bench.overfit(lr_factor=factor).is_learned:
            return f"with lr {bench.given.config.lr * factor:g} it does"
    return "nor does it with a tenth of lr, or ten times it"


def check_easier(bench: Bench) -> str:
    """An easier data set is learned."""
    easier = bench.facts.easier
    if easier is None:
        raise NothingToCheckError("the workload names no easier data set")
    changes = {**easier.changes, "max_step": easier.num_steps, "eval_every": easier.num_steps}
    workload = bench.change(**changes)
    if workload is bench.given:
        raise NothingToCheckError(f"this configuration does not go with {easier.name}")
    sink = MemorySink()
    result = fit(
        workload, streams=bench.streams, sink=sink, options=FitOptions(device=bench.device)
    )
    if result.outcome != "completed":
        raise CheckFailedError(f"training on {easier.name} {result.outcome}: {result.reason}")
    value = [row.values[easier.metric] for row in sink.rows if row.split == "validate"][-1]
    said = f"{easier.metric} {value:.3g} on {easier.name} after {easier.num_steps} steps"
    if not value < easier.below:
        raise CheckFailedError(f"{said}, not below {easier.below:g}")
    return said
