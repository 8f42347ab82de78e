"""The unmixing workload as the training core sees it."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from hpcexp.errors import UsageError
from hpcexp.train.fit import fit
from hpcexp.train.inputs import make_block
from hpcexp.train.inspection import ImageGrid, Request
from hpcexp.train.seeding import RandomStreams
from hpcexp.train.sink import MemorySink
from hpcexp.train.step import StepFunction
from hpcexp.workloads.unmix.decoders import DECODERS
from hpcexp.workloads.unmix.objective import Objective
from hpcexp.workloads.unmix.workload import UnmixWorkload
from tests.train.test_step import stack_inputs, stack_states
from tests.workloads.unmix.conftest import MakeConfig

STREAMS = RandomStreams(0, 0)
GOLDEN_LOSSES = (0.0970526095, 0.0836584214, 0.0896110162)
"""Changed only where numerics are meant to change."""


def train(make_config: MakeConfig, **changes: Any) -> MemorySink:
    sink = MemorySink()
    result = fit(UnmixWorkload(make_config(**changes)), streams=STREAMS, sink=sink)
    assert result.outcome == "completed"
    return sink


def find_last(sink: MemorySink, metric: str) -> float:
    return [row.values[metric] for row in sink.rows if row.split == "validate"][-1]


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize(
    ("activation", "loss"),
    [
        ("sigmoid", "mse"),
        ("sigmoid", "bce"),
        ("softmax", "soft_cross_entropy"),
        ("none", "mse"),
    ],
)
def test_every_decoder_trains_with_every_activation_and_loss(
    make_config: MakeConfig, decoder: str, activation: str, loss: str
) -> None:
    sink = train(make_config, decoder=decoder, activation=activation, loss=loss, max_step=2)
    assert all(torch.isfinite(torch.tensor(row.values["loss"])) for row in sink.rows)


@pytest.mark.parametrize("target", ["weights", "presence"])
@pytest.mark.parametrize("items", ["mixture", "scale", "copy"])
def test_every_kind_of_item_trains_with_every_target(
    make_config: MakeConfig, items: str, target: str
) -> None:
    sink = train(make_config, items=items, target=target, num_sources=4, max_step=2)
    assert find_last(sink, "r2") == pytest.approx(1 - find_last(sink, "unexplained_variance"))


def test_a_dot_product_with_a_sigmoid_predicts_ones_for_all_images(make_config: MakeConfig) -> None:
    encoder = {"channels": [16, 64], "strides": [2, 2]}
    sink = train(make_config, decoder="dot", encoder=encoder, max_epoch=10)
    assert find_last(sink, "r2") < -4
    assert find_last(sink, "prediction_sd") < 0.02


def test_least_squares_solves_it_before_it_has_trained(make_config: MakeConfig) -> None:
    encoder = {"channels": [8], "strides": [1], "norm": "none", "pool": "grid"}
    sink = train(
        make_config, decoder="least_squares", activation="none", encoder=encoder, max_step=1
    )
    assert sink.rows[0].values["r2"] > 0.6


def test_some_steps_overfit_frozen_items(make_config: MakeConfig) -> None:
    sink = train(make_config, frozen=True, train_set_size=10, batch_size=8, max_epoch=150, lr=0.005)
    losses = [row.values["loss"] for row in sink.rows if row.split == "train"]
    assert losses[-1] < 0.1 * 0.0757 < losses[0]


def test_a_saturated_dot_product_cannot_overfit_even_frozen_items(make_config: MakeConfig) -> None:
    encoder = {"channels": [16, 64], "strides": [2, 2]}
    given = {"train_set_size": 10, "batch_size": 8, "max_epoch": 60, "lr": 0.005}
    sink = train(make_config, decoder="dot", encoder=encoder, frozen=True, **given)
    losses = [row.values["loss"] for row in sink.rows if row.split == "train"]
    assert losses[-1] > 0.9 * losses[0] > 0.4


def test_of_brightness_a_pair_mlp_learns_all_and_a_dot_product_nothing(
    make_config: MakeConfig,
) -> None:
    encoder = {"channels": [16, 64], "strides": [2, 2]}
    given = {"items": "scale", "encoder": encoder, "train_set_size": 60, "lr": 0.005}
    learned = train(make_config, decoder="pair_mlp", max_epoch=25, **given)
    assert find_last(learned, "r2") > 0.95
    saturated = train(make_config, decoder="dot", max_epoch=5, **given)
    assert find_last(saturated, "r2") < -4


def test_one_call_of_the_encoder_gives_what_a_call_for_each_image_gives(
    make_config: MakeConfig,
) -> None:
    scores = {}
    for encode in ("folded", "per_image"):
        workload = UnmixWorkload(make_config(encode=encode))
        with STREAMS.initialising():
            model = workload.build_model()
        batch = {"images": torch.arange(6 * 3 * 3 * 64).reshape(6, 3, 3, 8, 8).to(torch.uint8)}
        scores[encode] = model.score(batch, {"weights": torch.rand(6, 3, generator=_seeded())})
    torch.testing.assert_close(scores["folded"], scores["per_image"])


def _seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_the_activation_is_applied_once(make_config: MakeConfig) -> None:
    scores, temperature = torch.tensor([[-2.0, 0.0, 3.0]]), torch.tensor(2.0)
    expected = {
        "sigmoid": scores.sigmoid(),
        "softmax": (scores / 2).softmax(dim=1),
        "none": scores,
    }
    for activation, wanted in expected.items():
        model = Objective(make_config(activation=activation))
        assert torch.equal(model.activate(scores, temperature), wanted)


def test_losses_by_hand(make_config: MakeConfig) -> None:
    scores, weights = torch.zeros(1, 3), torch.tensor([[0.4, 0.6, 0.0]])
    values = {"temperature": torch.tensor(1.0)}
    by_hand = {
        ("mse", "sigmoid"): (0.01 + 0.01 + 0.25) / 3,
        ("bce", "sigmoid"): 0.693147,
        ("soft_cross_entropy", "softmax"): 1.098612,
    }
    for (loss, activation), expected in by_hand.items():
        model = Objective(make_config(loss=loss, activation=activation))
        assert model.measure(scores, weights, values).item() == pytest.approx(expected, abs=1e-6)


def test_an_evaluation_repeats_bit_for_bit_and_sees_every_item(make_config: MakeConfig) -> None:
    workload = UnmixWorkload(make_config(validate_set_size=67))  # 65 items: a last batch of one
    model = workload.build_model().eval()
    data = workload.load_data()["validate"]
    with torch.no_grad():
        first, again = (workload.evaluate(model, data, STREAMS) for _ in range(2))
        changed = {"images": data["images"].flip(0)}
        other = workload.evaluate(model, changed, STREAMS)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["mse"], other["mse"])
    assert list(first) == [*workload.loss_names, *workload.metric_names]


@pytest.mark.parametrize("norm", ["group", "batch"])
@pytest.mark.parametrize("decoder", ["pair_mlp", "least_squares"])
def test_two_runs_as_lanes_of_one_program_agree_with_their_solo_runs(
    make_config: MakeConfig, norm: str, decoder: str
) -> None:
    encoder = {"channels": [4, 8], "strides": [2, 1], "norm": norm}
    settings = [{"lr": 1e-3}, {"lr": 1e-2, "temperature": 2.0}]
    function, states, inputs = None, [], []
    for lane, changes in enumerate(settings):
        workload = UnmixWorkload(
            make_config(encoder=encoder, decoder=decoder, activation="softmax", **changes)
        )
        streams = RandomStreams(0, lane)
        with streams.initialising():
            model = workload.build_model().double()
        function = StepFunction(model, "adam")
        states.append(function.init_state())
        block = make_block(
            workload, streams, block=0, device=torch.device("cpu"), dtype=torch.float64
        )
        inputs.append([block.select(step, workload.load_data()["train"]) for step in range(6)])
    assert function is not None
    lanes, solos = stack_states(states), list(states)
    for step in range(6):
        lanes, _ = function.step_lanes(lanes, stack_inputs([lane[step] for lane in inputs]))
        solos = [function(solos[lane], inputs[lane][step])[0] for lane in range(2)]
    for lane, solo in enumerate(solos):
        for name, parameter in solo.parameters.items():
            torch.testing.assert_close(lanes.parameters[name][lane], parameter)


def test_ten_steps_give_the_golden_losses(make_config: MakeConfig) -> None:
    sink = train(make_config, max_step=10, decoder="pair_mlp")
    losses = [row.values["loss"] for row in sink.rows if row.split == "train"]
    assert losses == pytest.approx(GOLDEN_LOSSES, rel=1e-4)


def test_samples_show_the_mixture_its_sources_and_what_is_predicted(
    make_config: MakeConfig,
) -> None:
    workload = UnmixWorkload(make_config(num_sources=4))
    model = workload.build_model().eval()
    request = Request(kinds=("samples",), sequences=(0, 16))
    workload.check_request(request)
    (findings,) = workload.inspect(model, request)
    grid = findings.parts["grid"]
    assert isinstance(grid, ImageGrid)
    assert grid.images_RCHW3.shape == (2, 6, 8, 8, 3)
    assert grid.row_labels[1].startswith("16:  true ")
    assert findings.numbers["num_items"] == 17
    with pytest.raises(UsageError, match=r"no mixture 17 in the validate split: it has 17"):
        workload.check_request(Request(kinds=("samples",), sequences=(17,)))
