"""What `hpcexp debug` may expect of a physical-symmetry run."""

from __future__ import annotations

import pytest
import torch

from hpcexp.workloads.sps.config import Config
from hpcexp.workloads.sps.debugging import describe_for_debugging

BLACK = torch.zeros(2, 3, 3, 4, 4, dtype=torch.uint8)
WEIGHTS = {"self_recon": 1.0, "predict.image": 2.0, "predict.z": 0.01, "kld": 0.0}


@pytest.mark.parametrize(("output", "distance"), [("sigmoid", 0.25), ("tanh", 0.0)])
def test_an_untrained_decoder_is_expected_to_give_grey(output: str, distance: float) -> None:
    config = Config.model_validate({"decoder_output": output})
    expected = describe_for_debugging(config, BLACK, weights=WEIGHTS).initial_loss
    assert expected is not None
    assert expected.low == pytest.approx(0.5 * 3 * distance)
    assert expected.high == pytest.approx(2.5 * 3 * distance + 0.03)


def test_nothing_is_expected_of_terms_that_nothing_is_known_of() -> None:
    facts = describe_for_debugging(
        Config.model_validate({}), BLACK, weights={**WEIGHTS, "cycle": 1.0}
    )
    assert facts.initial_loss is None
    assert facts.predict is not None
