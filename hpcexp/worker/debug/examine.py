"""All checks of one group, in an order in which a failure explains the next ones.

A new check is a function from a `Bench` to what it found, and a line in `CHECKS`.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hpcexp.errors import HpcexpError
from hpcexp.worker.debug import learning, losses, outputs, structure
from hpcexp.worker.debug.bench import Bench
from hpcexp.worker.debug.findings import (
    CheckFailedError,
    Examination,
    Finding,
    Level,
    NothingToCheckError,
)
from hpcexp.worker.debug.layers import measure_layers

CHECKS: Mapping[str, tuple[Callable[[Bench], str], str]] = {
    "data": (
        structure.check_data,
        "the length of the data set is wrong (N - n + 1 windows of n, not N and not N / n), or a "
        "split is cut",
    ),
    "global variables": (
        structure.check_globals,
        "a name left over from a notebook: it works there, fails or lies elsewhere; pass it in",
    ),
    "registration": (
        structure.check_registration,
        "networks in a plain list or dict are not trained, saved or moved; use ModuleList, "
        "ModuleDict",
    ),
    "purity": (
        structure.check_purity,
        "a forward pass with a memory or with random numbers of its own cannot be resumed; draw "
        "them in `draw`",
    ),
    "gradients": (
        structure.check_gradients,
        "a part that is never called, a detach or .item() on the way, a saturated activation, a "
        "weight of 0",
    ),
    "loss terms": (
        losses.check_terms,
        "a term of which .item(), a detach or a NumPy array was taken: it is added up, may be most "
        "of what is reported, and trains nothing",
    ),
    "strategy": (
        losses.check_strategy,
        "weights that are learned from losses of very different scale, or a combination of "
        "gradients of which some are 0",
    ),
    "initial loss": (
        learning.check_initial_loss,
        "scores of the wrong scale (a dot product of many features), an activation applied twice, "
        "a sum for a mean",
    ),
    "overfit one batch": (
        learning.check_overfit,
        "the model cannot express the answer, or the gradient does not lead there: an activation "
        "applied twice or saturated, inputs and targets mixed up, targets that change, a wrong lr",
    ),
    "spread": (
        outputs.check_spread,
        "a saturated activation (scores too large), or a collapse to the mean: the features do "
        "not reach the output",
    ),
    "batch of one": (
        outputs.check_batch_of_one,
        "a squeeze() without a dimension, which drops the batch, or batch norm",
    ),
    "independent examples": (
        outputs.check_independence,
        "a view or reshape in the wrong order mixes examples, or a mean over the batch dimension",
    ),
    "order of inputs": (
        outputs.check_permutation,
        "a layer that has weights or statistics for each place: BatchNorm1d(n) on (batch, n, "
        "features) erases the scale of each place, Linear on flattened places",
    ),
    "easier data": (
        learning.check_easier,
        "if one batch is learned by heart but this is not, information is lost on the way: a norm "
        "that erases the scale of its input",
    ),
}


def examine(
    bench: Bench,
    *,
    group: str,
    with_layers: bool = False,
    on_finding: Callable[[Finding], None] | None = None,
) -> Examination:
    """Check everything; what raises an error has failed."""
    findings = []
    for name, (check, means) in CHECKS.items():
        findings.append(_run_check(bench, name, check, means))
        if on_finding is not None:
            on_finding(findings[-1])
    return Examination(group, findings, _try_layers(bench) if with_layers else ())


def _try_layers(bench: Bench) -> Sequence[Mapping[str, Any]]:
    """None of a model that cannot run: the checks have said why."""
    try:
        return measure_layers(bench)
    except Exception:
        return ()


def _run_check(bench: Bench, name: str, check: Callable[[Bench], str], means: str) -> Finding:
    try:
        return Finding(Level.PASSED, name, check(bench))
    except NothingToCheckError as reason:
        return Finding(Level.SKIPPED, name, str(reason))
    except CheckFailedError as failure:
        return Finding(Level.FAILED, name, str(failure), means)
    except HpcexpError:
        raise  # the user's input, such as a directory without images
    except Exception as error:
        return Finding(Level.FAILED, name, _describe(error), means)


def _describe(error: Exception) -> str:
    """The error and the line of the workload's code where it came up."""
    first = next(iter(str(error).splitlines()), "")
    frames = traceback.extract_tb(error.__traceback__)
    here = str(Path(__file__).parent)
    own = [
        f for f in frames if not f.filename.startswith(here) and "site-packages" not in f.filename
    ]
    where = f" ({Path(own[-1].filename).name}, line {own[-1].lineno})" if own else ""
    return f"{type(error).__name__}: {first}{where}"
