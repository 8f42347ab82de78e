from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from hpcexp.errors import UsageError
from hpcexp.train.inspection import Inspectable, Request
from hpcexp.workloads.sps.inspection import KINDS, check_request, inspect
from hpcexp.workloads.sps.objective import Objective
from hpcexp.workloads.sps.workload import SpsWorkload
from tests.workloads.sps.inspection.models import make_config


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (
            Request(kinds=("encodr",)),
            "no such kind: encodr; there are: encoder, decoder, trajectory, prediction",
        ),
        (
            Request(kinds=("encoder",), split="test"),
            "no such split: test; there are: train, validate, evaluate",
        ),
        (
            Request(kinds=("prediction",), sequences=(0, 90)),
            "there is no sequence 90 in the train split, of which prediction draws some: it has 80 "
            r"\(0 to 79\)",
        ),
        (
            Request(kinds=("trajectory",), sequences=(512,)),
            "there is no sequence 512 in the evaluate split",
        ),
        (
            Request(kinds=("trajectory",), split="validate", sequences=(80,)),
            "there is no sequence 80 in the validate split",
        ),
    ],
)
def test_what_cannot_be_shown_is_refused_with_what_there_is(
    request_: Request, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        check_request(make_config(), request_)


def test_kinds_that_draw_no_sequences_do_not_care_which() -> None:
    check_request(make_config(), Request(kinds=("encoder", "decoder"), sequences=(9999,)))


def test_more_sequences_than_a_split_has_are_a_fault_of_the_template() -> None:
    wanted = {"every": 1, "sequences": 4}
    message = r"inspect.sequences \(4\) is more than validate_set_size \(2\); draw fewer"
    with pytest.raises(ValidationError, match=message):
        make_config(validate_set_size=2, inspect=wanted)
    make_config(validate_set_size=2, inspect={**wanted, "kinds": ["decoder"]})
    make_config(validate_set_size=2)


def test_the_workload_can_be_looked_into() -> None:
    workload = SpsWorkload(make_config())
    assert isinstance(workload, Inspectable)
    assert workload.inspection_kinds == tuple(KINDS)


def test_looking_changes_neither_the_model_nor_the_random_numbers_nor_gradients() -> None:
    model = Objective(make_config()).eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = torch.random.get_rng_state()
    for _ in inspect(model, Request(kinds=tuple(KINDS), num_measured=8)):
        assert torch.is_grad_enabled()
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(tensor, before[n]) for n, tensor in model.state_dict().items())


@pytest.mark.parametrize(
    "changes",
    [
        {"variational": False, "decoder_output": "tanh"},
        {"rnn_ensemble": 2, "rnn_variance": "learned"},
        {"dataset": {"kind": "two_body", "resolution": 8, "num_frames": 7}},
        {
            "dataset": {
                "kind": "two_body_no_orbit",
                "centre_of_mass": "random",
                "resolution": 8,
                "num_frames": 7,
            },
            "latent_dim": 6,
        },
        {"dataset": {"kind": "one_dim", "resolution": 8, "num_frames": 7}, "latent_dim": 2},
    ],
    ids=str,
)
def test_every_kind_shows_every_variant(changes: dict[str, object]) -> None:
    model = Objective(make_config(**changes)).eval()
    request = Request(kinds=tuple(KINDS), sequences=(0, 1), num_measured=4)
    findings = list(inspect(model, request))
    assert [found.kind for found in findings] == list(KINDS)
    assert all(found.parts for found in findings)
