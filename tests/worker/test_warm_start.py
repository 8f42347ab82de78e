from __future__ import annotations

import pytest
import torch
from torch import Tensor

from hpcexp.errors import UsageError
from hpcexp.train.warm_start import WarmStart
from hpcexp.worker.warm_start import choose_parameters, rename

HERE = {
    "encoder.conv.weight": (4, 3),
    "encoder.out.weight": (6, 4),
    "decoder.weight": (2, 2),
    "dynamics.members.0.w": (5,),
}
SOURCE: dict[str, Tensor] = {
    "encoder.conv.weight": torch.ones(4, 3),
    "encoder.out.weight": torch.ones(3, 4),
    "old_decoder.weight": torch.ones(2, 2),
    "dynamics.members.0.w": torch.ones(5),
}


def choose(**settings: object) -> list[str]:
    warm_start = WarmStart.model_validate({"run": "run", **settings})
    return list(choose_parameters(warm_start, HERE, SOURCE))


def test_what_does_not_fit_is_refused_by_name_and_shape() -> None:
    with pytest.raises(UsageError) as caught:
        choose()
    assert str(caught.value) == (
        "warm_start: 2 of 4 parameters do not fit: encoder.out.weight: (3, 4) there, (6, 4) here; "
        "decoder.weight: there is no decoder.weight; name fewer in warm_start.parameters, map "
        "names with warm_start.rename, or set allow_missing"
    )


def test_some_parameters_by_the_beginnings_of_their_names() -> None:
    assert choose(parameters=["encoder.conv", "dynamics"]) == [
        "encoder.conv.weight",
        "dynamics.members.0.w",
    ]


def test_a_beginning_ends_at_a_dot() -> None:
    with pytest.raises(UsageError, match="parameters: the model has none whose name begins enc"):
        choose(parameters=["enc"])


def test_renamed_parameters_are_looked_up_under_their_old_names() -> None:
    assert choose(parameters=["decoder"], rename={"decoder": "old_decoder"}) == ["decoder.weight"]


def test_the_longest_beginning_decides_a_name() -> None:
    changes = {"encoder": "a", "encoder.out": "b.c"}
    assert rename("encoder.out.weight", changes) == "b.c.weight"
    assert rename("encoder.conv.weight", changes) == "a.conv.weight"
    assert rename("encoders.weight", changes) == "encoders.weight"


def test_what_is_missing_may_be_allowed_to_start_from_scratch() -> None:
    assert choose(allow_missing=True) == ["encoder.conv.weight", "dynamics.members.0.w"]


def test_a_source_with_nothing_that_fits_is_refused_all_the_same() -> None:
    with pytest.raises(UsageError, match="nothing would be taken"):
        choose(parameters=["decoder"], allow_missing=True)
