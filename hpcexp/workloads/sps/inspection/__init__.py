"""Looking into a trained model: one file for each kind; a new one is a line in `KINDS`.

A kind is a function from a `View` (the model, its data and its latents) to findings.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch

from hpcexp.errors import UsageError
from hpcexp.train.inspection import Findings, Request
from hpcexp.workloads.sps.config import Config
from hpcexp.workloads.sps.inspection.decoder import inspect_decoder
from hpcexp.workloads.sps.inspection.encoder import inspect_encoder
from hpcexp.workloads.sps.inspection.prediction import inspect_prediction
from hpcexp.workloads.sps.inspection.trajectory import inspect_trajectory
from hpcexp.workloads.sps.inspection.view import SPLITS, View, count_sequences
from hpcexp.workloads.sps.objective import Objective

KINDS: dict[str, Callable[[View], Findings]] = {
    "encoder": inspect_encoder,
    "decoder": inspect_decoder,
    "trajectory": inspect_trajectory,
    "prediction": inspect_prediction,
}
_DRAWS_SEQUENCES = {"trajectory": ("evaluate",), "prediction": ("train", "validate")}
"""The kinds that draw single sequences, and of which splits where none is named."""


def check_request(config: Config, request: Request) -> None:
    """Raise UsageError for an unknown kind or split, or a sequence that a split has not."""
    unknown = [kind for kind in request.kinds if kind not in KINDS]
    if unknown:
        raise UsageError(f"no such kind: {', '.join(unknown)}; there are: {', '.join(KINDS)}")
    if request.split is not None and request.split not in SPLITS:
        raise UsageError(f"no such split: {request.split}; there are: {', '.join(SPLITS)}")
    for kind in request.kinds:
        for split in (request.split,) if request.split else _DRAWS_SEQUENCES.get(kind, ()):
            count = count_sequences(config, split)
            beyond = [place for place in request.sequences if place >= count]
            if beyond and kind in _DRAWS_SEQUENCES:
                raise UsageError(
                    f"there is no sequence {beyond[0]} in the {split} split, of which {kind} draws "
                    f"some: it has {count} (0 to {count - 1})"
                )


def inspect(model: Objective, request: Request) -> Iterator[Findings]:
    """Findings of each kind in turn; latents are encoded once for all of them."""
    view = View(model, request)
    for kind in request.kinds:
        with torch.no_grad():  # within a kind: what happens between two is the caller's
            findings = KINDS[kind](view)
        yield findings
