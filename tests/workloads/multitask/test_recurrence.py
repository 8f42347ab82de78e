from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from hpcexp.workloads.multitask.recurrence import BiLstmWeights, reverse, run_layer


def as_torch(layer: BiLstmWeights) -> nn.LSTM:
    """torch's BiLSTM with the same weights; its gates are input, forget, new, output."""
    input_width, hidden = layer.input.shape[1], layer.hidden.shape[1]
    lstm = nn.LSTM(input_width, hidden, bidirectional=True, batch_first=True)
    order = [0, 1, 3, 2]

    def convert(weight_FH: Tensor) -> Tensor:
        parts = weight_FH.chunk(4, dim=-1)
        return torch.cat([parts[index] for index in order], dim=-1).T

    with torch.no_grad():
        for direction, suffix in enumerate(("", "_reverse")):
            getattr(lstm, f"weight_ih_l0{suffix}").copy_(convert(layer.input[direction]))
            getattr(lstm, f"weight_hh_l0{suffix}").copy_(convert(layer.hidden[direction]))
            getattr(lstm, f"bias_ih_l0{suffix}").copy_(convert(layer.bias[direction])[:, 0])
            getattr(lstm, f"bias_hh_l0{suffix}").zero_()
    return lstm


def test_side_by_side_recurrences_are_torch_s_packed_ones() -> None:
    torch.manual_seed(0)
    layers = [BiLstmWeights(5, 3), BiLstmWeights(2, 3)]
    inputs = [torch.randn(4, 6, 5), torch.randn(4, 3, 2)]
    lengths = [torch.tensor([6, 1, 3, 2]), torch.tensor([1, 3, 2, 3])]
    outputs = run_layer(layers, inputs, lengths)
    for layer, x, length, output in zip(layers, inputs, lengths, outputs, strict=True):
        packed = pack_padded_sequence(x, length, batch_first=True, enforce_sorted=False)
        expected, _ = pad_packed_sequence(as_torch(layer)(packed)[0], batch_first=True)
        is_there = (torch.arange(x.shape[1]) < length[:, None])[..., None]
        torch.testing.assert_close(output * is_there, expected * is_there)


def test_padding_reaches_nothing_and_an_empty_sequence_is_allowed() -> None:
    torch.manual_seed(0)
    layer, x, length = BiLstmWeights(5, 3), torch.randn(3, 6, 5), torch.tensor([6, 2, 0])
    is_there = torch.arange(6) < length[:, None]
    spoiled = torch.where(is_there[..., None], x, 99.0)
    (first,), (second,) = run_layer([layer], [x], [length]), run_layer([layer], [spoiled], [length])
    assert torch.equal(first[is_there], second[is_there])
    assert torch.isfinite(first).all()


def test_a_sequence_is_reversed_within_its_length() -> None:
    x = torch.arange(4.0).reshape(1, 4, 1)
    assert reverse(x, torch.tensor([3]))[0, :3, 0].tolist() == [2, 1, 0]
    assert torch.equal(reverse(reverse(x, torch.tensor([4])), torch.tensor([4])), x)
