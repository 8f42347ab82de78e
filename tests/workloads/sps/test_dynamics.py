from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from hpcexp.workloads.sps.config import Config
from hpcexp.workloads.sps.dynamics import (
    Dynamics,
    GruCell,
    Prediction,
    Rnn,
    SequenceEnergy,
    TanhCell,
    list_rnn_noise,
)

T, MIN_CONTEXT, N, WIDTH = 9, 4, 2, 8
P = T - MIN_CONTEXT


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def make_config(**changes: Any) -> Config:
    settings = {"dataset": {"num_frames": T}, "rnn_width": WIDTH, "rnn_min_context": MIN_CONTEXT}
    return Config.model_validate(settings | changes)


def make_dynamics(**changes: Any) -> Dynamics:
    return Dynamics(make_config(**changes)).double()


def count_parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def get_member(dynamics: Dynamics, place: int = 0) -> Rnn:
    member = dynamics.members[place]
    assert isinstance(member, Rnn)
    return member


def get_cell(dynamics: Dynamics) -> TanhCell:
    cell = get_member(dynamics).cells[0]
    assert isinstance(cell, TanhCell)
    return cell


def draw_latents(latent_dim: int = 3) -> Tensor:
    return torch.randn(N, T, latent_dim, dtype=torch.float64)


def draw_noise(config: Config) -> dict[str, Tensor]:
    shapes = list_rnn_noise(config, num_sequences=N)
    draw = {"normal": torch.randn, "uniform": torch.rand}
    return {k: draw[kind](*shape, dtype=torch.float64) for k, (kind, shape) in shapes.items()}


NEVER, ALWAYS = torch.zeros(T), torch.ones(T)


# The cells


def copy_weights(ours: TanhCell | GruCell, theirs: nn.RNNCell | nn.GRUCell) -> None:
    with torch.no_grad():
        theirs.weight_ih.copy_(ours.read.weight)
        theirs.weight_hh.copy_(ours.recur.weight)
        theirs.bias_ih.copy_(ours.read.bias)
        theirs.bias_hh.zero_()
        if isinstance(ours, GruCell):
            theirs.bias_hh.copy_(ours.recur.bias)


CELLS = [(TanhCell(3, 8), nn.RNNCell(3, 8)), (GruCell(3, 8), nn.GRUCell(3, 8))]


@pytest.mark.parametrize(("ours", "theirs"), CELLS, ids=["tanh", "gru"])
def test_a_cell_is_torch_s_at_the_same_weights(
    ours: TanhCell | GruCell, theirs: nn.RNNCell | nn.GRUCell
) -> None:
    ours, theirs = ours.double(), theirs.double()
    copy_weights(ours, theirs)
    hidden = expected = torch.zeros(5, 8, dtype=torch.float64)
    for _ in range(4):
        x = torch.randn(5, 3, dtype=torch.float64)
        hidden, expected = ours(x, hidden, hidden), theirs(x, expected)
        torch.testing.assert_close(hidden, expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("kind", [TanhCell, GruCell])
def test_a_cell_starts_uniform_within_the_inverse_root_of_its_width(
    kind: type[TanhCell | GruCell],
) -> None:
    bound = 64**-0.5
    for parameter in kind(64, 64).parameters():
        assert 0.9 * bound < parameter.abs().max() <= bound
        assert parameter.std().item() == pytest.approx(bound / 3**0.5, rel=0.2)


def test_the_dynamics_have_the_parameters_of_one_biased_cell_and_a_read_out() -> None:
    dynamics = make_dynamics(rnn_width=32)
    assert count_parameters(dynamics) == (3 * 32 + 32) + 32 * 32 + (32 * 3 + 3) == 1_251


@pytest.mark.parametrize(("rnn", "kind"), [("tanh", nn.RNN), ("gru", nn.GRU)])
def test_stacked_cells_are_torch_s_layers(rnn: str, kind: type[nn.RNN | nn.GRU]) -> None:
    """With every latent forced the RNN simply reads the sequence."""
    dynamics = make_dynamics(rnn=rnn, rnn_depth=3)
    theirs = kind(3, WIDTH, num_layers=3, batch_first=True).double()
    member = get_member(dynamics)
    with torch.no_grad():
        for layer, cell in enumerate(member.cells):
            assert isinstance(cell, TanhCell | GruCell)
            getattr(theirs, f"weight_ih_l{layer}").copy_(cell.read.weight)
            getattr(theirs, f"weight_hh_l{layer}").copy_(cell.recur.weight)
            getattr(theirs, f"bias_ih_l{layer}").copy_(cell.read.bias)
            bias = cell.recur.bias if rnn == "gru" else torch.zeros(WIDTH)
            getattr(theirs, f"bias_hh_l{layer}").copy_(bias)
    z = draw_latents()
    expected = member.to_latent(theirs(z)[0])[:, MIN_CONTEXT - 1 : -1]
    torch.testing.assert_close(dynamics(z, ALWAYS).z[0], expected, rtol=0, atol=1e-13)


# Who reads what


def list_influences(dynamics: Dynamics, is_forced_T: Tensor) -> list[set[int]]:
    """For each prediction, the times of the given latents that change it."""
    z = draw_latents()
    reference = dynamics(z, is_forced_T).z[0]
    influences: list[set[int]] = [set() for _ in range(reference.shape[1])]
    for t in range(T):
        nudged = z.clone()
        nudged[:, t] += 1.0
        changed = (dynamics(nudged, is_forced_T).z[0] != reference).any(dim=2).any(dim=0)
        for index in changed.nonzero().flatten().tolist():
            influences[index].add(t)
    return influences


@pytest.mark.parametrize("min_context", [1, MIN_CONTEXT, T - 1])
def test_predictions_are_of_the_frames_from_min_context_to_the_last(min_context: int) -> None:
    prediction = make_dynamics(rnn_min_context=min_context)(draw_latents(), NEVER)
    assert prediction.z.shape == prediction.mean.shape == (1, N, T - min_context, 3)
    assert prediction.log_variance is None


@pytest.mark.parametrize("rnn", ["tanh", "gru"])
def test_with_all_forced_a_prediction_reads_every_latent_before_it_and_none_after(
    rnn: str,
) -> None:
    influences = list_influences(make_dynamics(rnn=rnn), ALWAYS)
    assert influences == [set(range(t)) for t in range(MIN_CONTEXT, T)]


def test_with_none_forced_only_the_context_is_read() -> None:
    influences = list_influences(make_dynamics(rnn_depth=2), NEVER)
    assert influences == [set(range(MIN_CONTEXT))] * P


def test_a_single_forced_time_is_read_by_what_comes_after_it() -> None:
    is_forced_T = torch.zeros(T)
    is_forced_T[6] = 1
    influences = list_influences(make_dynamics(), is_forced_T)
    context = set(range(MIN_CONTEXT))
    # Predictions of frames 4, 5 and 6 come before frame 6 is read; 7 and 8 after.
    assert influences == [context] * 3 + [context | {6}] * 2


def test_forcing_within_the_context_changes_nothing() -> None:
    dynamics, z = make_dynamics(), draw_latents()
    within = (torch.arange(T) < MIN_CONTEXT).double()
    assert torch.equal(dynamics(z, within).z, dynamics(z, NEVER).z)


class ReadOnly(nn.Module):
    """A cell without memory: the next hidden state is the input."""

    def forward(self, input_NI: Tensor, hidden_ND: Tensor, recurrent_ND: Tensor) -> Tensor:
        return input_NI


def make_counter(**changes: Any) -> Dynamics:
    """Dynamics whose RNN gives what it reads plus one."""
    symmetry: dict[str, Any] = {"rules": []}
    dynamics = make_dynamics(
        latent_dim=1,
        rnn_min_context=2,
        dataset={"num_frames": 5},
        rnn_width=1,
        symmetry=symmetry,
        **changes,
    )
    member = get_member(dynamics)
    member.cells = nn.ModuleList([ReadOnly()])
    member.to_latent = nn.Linear(1, 1).double()
    nn.init.ones_(member.to_latent.weight)
    nn.init.ones_(member.to_latent.bias)
    return dynamics


TENS = torch.tensor([10.0, 20.0, 30.0, 40.0, 50.0], dtype=torch.float64).reshape(1, 5, 1)


@pytest.mark.parametrize(
    ("forced", "expected"),
    [
        # Free running counts on from the context's last latent, 20.
        ([0, 0, 0, 0, 0], [21, 22, 23]),
        ([1, 1, 1, 1, 1], [21, 31, 41]),
        ([0, 0, 0, 1, 0], [21, 22, 41]),
        ([0, 0, 1, 0, 0], [21, 31, 32]),
    ],
)
def test_the_input_is_the_given_latent_where_forced_and_the_own_prediction_elsewhere(
    forced: list[int], expected: list[int]
) -> None:
    predictions = make_counter()(TENS, torch.tensor(forced).double()).z
    assert predictions.flatten().tolist() == expected


# Residual


@pytest.mark.parametrize(
    ("coefficient", "expected"),
    [(1.0, [41, 83, 167]), (-1.0, [1, 1, 1]), (0.5, [31, 47.5, 72.25])],
)
def test_a_residual_adds_a_multiple_of_what_was_fed(
    coefficient: float, expected: list[float]
) -> None:
    """z' = c z + (z + 1), on from 20."""
    predictions = make_counter(rnn_residual=coefficient)(TENS, torch.zeros(5)).z
    assert predictions.flatten().tolist() == expected


# Dropout


def test_dropout_hits_the_hidden_state_that_is_read_and_neither_z_nor_the_output() -> None:
    config = make_config(rnn_dropout=0.75)
    dynamics, z = Dynamics(config).double().train(), draw_latents()
    noise = {name: torch.zeros_like(tensor) for name, tensor in draw_noise(config).items()}
    dropped = dynamics(z, ALWAYS, noise).z[0]
    member = get_member(dynamics)
    # With every hidden state dropped a prediction is that of the last input alone.
    hidden = torch.tanh(get_cell(dynamics).read(z))
    expected = member.to_latent(hidden)[:, MIN_CONTEXT - 1 : -1]
    torch.testing.assert_close(dropped, expected)


def test_a_hidden_unit_is_kept_where_its_number_is_at_least_p_and_then_scaled_up() -> None:
    config = make_config(rnn_dropout=0.75)
    dynamics, z = Dynamics(config).double().train(), draw_latents()
    kept = dynamics(z, ALWAYS, {"rnn.dropout": torch.ones(1, 1, N, T - 1, WIDTH)}).z
    get_cell(dynamics).recur.weight.data *= 4
    expected = dynamics.eval()(z, ALWAYS).z
    torch.testing.assert_close(kept, expected)


def test_a_gru_reads_the_dropped_state_and_carries_over_the_whole_one() -> None:
    config = make_config(rnn="gru", rnn_dropout=0.5)
    dynamics, z = Dynamics(config).double().train(), draw_latents()
    cell = get_member(dynamics).cells[0]
    assert isinstance(cell, GruCell)
    with torch.no_grad():
        cell.read.bias[WIDTH : 2 * WIDTH] = 50.0  # the update gate is open: the state stays
    changed = z.clone()
    changed[:, 0] += 1.0
    noise = {name: torch.zeros_like(tensor) for name, tensor in draw_noise(config).items()}
    # All that is read is dropped, and the state, which is 0 at first, stays as it is.
    torch.testing.assert_close(dynamics(z, ALWAYS, noise).z, dynamics(changed, ALWAYS, noise).z)
    with torch.no_grad():
        cell.read.bias[WIDTH : 2 * WIDTH] = 0.0
    # Half open it carries over the first state, although nothing of it is read.
    first, other = dynamics(z, ALWAYS, noise).z, dynamics(changed, ALWAYS, noise).z
    assert not torch.allclose(first[..., 0, :], other[..., 0, :])


@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize("member", [0, 1])
def test_each_member_and_each_layer_has_dropout_of_its_own(member: int, layer: int) -> None:
    config = make_config(rnn_dropout=0.5, rnn_ensemble=2, rnn_depth=2)
    dynamics, z = Dynamics(config).double().train(), draw_latents()
    kept = {name: torch.ones_like(tensor) for name, tensor in draw_noise(config).items()}
    dropped = {name: tensor.clone() for name, tensor in kept.items()}
    dropped["rnn.dropout"][member, layer] = 0.0
    before, after = dynamics(z, ALWAYS, kept).z, dynamics(z, ALWAYS, dropped).z
    assert not torch.allclose(before[member], after[member])
    assert torch.equal(before[1 - member], after[1 - member])
    # One layer's recurrent weights without effect: what its dropout does as well.
    recur = get_member(dynamics, member).cells[layer].recur
    assert isinstance(recur, nn.Linear)
    nn.init.zeros_(recur.weight)
    torch.testing.assert_close(dynamics(z, ALWAYS, kept).z[member], after[member])


def test_an_evaluation_has_no_dropout() -> None:
    config = make_config(rnn_dropout=0.5)
    dynamics, z = Dynamics(config).double().eval(), draw_latents()
    assert torch.equal(dynamics(z, NEVER, draw_noise(config)).z, dynamics(z, NEVER).z)


def test_dropout_numbers_have_a_place_for_each_member_layer_sequence_time_and_unit() -> None:
    config = make_config(rnn_dropout=0.5, rnn_ensemble=2, rnn_depth=3)
    assert list_rnn_noise(config, num_sequences=N) == {
        "rnn.dropout": ("uniform", (2, 3, N, T - 1, WIDTH))
    }
    assert list_rnn_noise(make_config(), num_sequences=N) == {}


# Variational RNN


@pytest.mark.parametrize("variance", ["learned", "fixed"])
def test_in_training_a_prediction_is_a_sample_that_is_fed_back(variance: str) -> None:
    config = make_config(rnn_variance=variance, rnn_std=0.5)
    dynamics, z, noise = Dynamics(config).double().train(), draw_latents(), draw_noise(config)
    prediction: Prediction = dynamics(z, NEVER, noise)
    assert prediction.log_variance is not None
    std = (0.5 * prediction.log_variance).exp()
    torch.testing.assert_close(prediction.z, prediction.mean + std * noise["rnn.output"])
    later = noise["rnn.output"].clone()
    later[:, :, 0] += 1.0  # the first sample
    changed = dynamics(z, NEVER, {"rnn.output": later})
    assert torch.equal(changed.mean[:, :, 0], prediction.mean[:, :, 0])
    assert not torch.allclose(changed.mean[:, :, 1], prediction.mean[:, :, 1])


def test_a_fixed_variance_is_that_of_rnn_std_and_a_learned_one_is_read_out() -> None:
    z = draw_latents()
    fixed = make_dynamics(rnn_variance="fixed", rnn_std=0.5)(z, NEVER)
    assert fixed.log_variance is not None
    torch.testing.assert_close(fixed.log_variance.exp(), torch.full_like(fixed.mean, 0.25))
    learned = make_dynamics(rnn_variance="learned")
    with torch.no_grad():
        get_member(learned).to_latent.bias[3:] += 2.0
        get_member(learned).to_latent.weight[3:] = 0.0
    spread = learned(z, NEVER).log_variance
    assert spread is not None
    assert spread.std(dim=(0, 1, 2)).max() < 1e-12
    assert (spread > 1).all()


@pytest.mark.parametrize("member", [0, 1])
def test_each_member_has_samples_of_its_own(member: int) -> None:
    config = make_config(rnn_variance="fixed", rnn_ensemble=2)
    dynamics, z, noise = Dynamics(config).double().train(), draw_latents(), draw_noise(config)
    other = {name: tensor.clone() for name, tensor in noise.items()}
    other["rnn.output"][member] += 1.0
    before, after = dynamics(z, NEVER, noise).z, dynamics(z, NEVER, other).z
    assert not torch.allclose(before[member], after[member])
    assert torch.equal(before[1 - member], after[1 - member])


@pytest.mark.parametrize("variance", ["learned", "fixed"])
def test_an_evaluation_predicts_means(variance: str) -> None:
    config = make_config(rnn_variance=variance)
    dynamics, z = Dynamics(config).double().eval(), draw_latents()
    prediction = dynamics(z, NEVER, draw_noise(config))
    assert torch.equal(prediction.z, prediction.mean)


# Ensemble


def test_the_members_of_an_ensemble_start_and_predict_differently() -> None:
    dynamics = make_dynamics(rnn_ensemble=3).train()
    assert count_parameters(dynamics) == 3 * count_parameters(make_dynamics())
    predicted = dynamics(draw_latents(), NEVER).z
    assert predicted.shape == (3, N, P, 3)
    assert not torch.allclose(predicted[0], predicted[1])


def test_in_an_evaluation_the_members_mean_is_the_one_prediction() -> None:
    dynamics, z = make_dynamics(rnn_ensemble=3), draw_latents()
    members = dynamics.train()(z, NEVER).z
    mean = dynamics.eval()(z, NEVER).z
    torch.testing.assert_close(mean, members.mean(dim=0, keepdim=True))


def test_in_an_evaluation_the_members_variances_are_averaged_not_their_logarithms() -> None:
    dynamics = make_dynamics(rnn_ensemble=2, rnn_variance="learned").eval()
    with torch.no_grad():
        for place, variance in enumerate((1.0, 3.0)):
            read_out = get_member(dynamics, place).to_latent
            read_out.weight[3:] = 0.0
            read_out.bias[3:] = math.log(variance)
    spread = dynamics(draw_latents(), NEVER).log_variance
    assert spread is not None
    torch.testing.assert_close(spread.exp(), torch.full_like(spread, 2.0))


# The energy RNN


def test_an_energy_is_one_number_for_each_sequence_and_reads_all_of_it() -> None:
    energy = SequenceEnergy(make_config()).double()
    z = draw_latents().requires_grad_()
    rated = energy(z)
    assert rated.shape == (N,)
    (gradient,) = torch.autograd.grad(rated[0], z)
    assert (gradient[0] != 0).all()
    assert (gradient[1] == 0).all()


# Lanes


VARIANTS: list[dict[str, Any]] = [
    {"rnn": "gru", "rnn_depth": 2, "rnn_dropout": 0.3},
    {"rnn_residual": 1.0, "rnn_variance": "learned"},
    {"rnn_ensemble": 2, "rnn_variance": "fixed", "rnn": "gru"},
    {"rnn_ensemble": 2, "rnn_dropout": 0.5, "rnn_depth": 2, "rnn_residual": -1.0},
]


@pytest.mark.parametrize("changes", VARIANTS, ids=str)
def test_every_variant_runs_as_lanes_of_one_program(changes: dict[str, Any]) -> None:
    config = make_config(**changes)
    lanes = [Dynamics(config).double().train() for _ in range(2)]
    parameters, _ = stack_module_state(lanes)
    z = [draw_latents() for _ in lanes]
    noise = [draw_noise(config) for _ in lanes]
    stacked = {k: torch.stack([n[k] for n in noise]) for k in noise[0]}

    def run(own: Mapping[str, Tensor], z_NTZ: Tensor, drawn: Mapping[str, Tensor]) -> Tensor:
        prediction: Prediction = functional_call(lanes[0], dict(own), (z_NTZ, NEVER, drawn))
        return prediction.z

    together = vmap(run)(parameters, torch.stack(z), stacked)
    for lane, dynamics in enumerate(lanes):
        alone = dynamics(z[lane], NEVER, noise[lane]).z
        torch.testing.assert_close(together[lane], alone, rtol=1e-12, atol=1e-12)
