"""BiLSTMs that are blind to padding, of all modalities side by side.

`torch.nn.LSTM` has no batching rule, which lanes of one program need, so its cell is written out.
All modalities and both directions are one stack of recurrences: a loop over time costs as many
operations for six as for one. The backward direction reads each sequence from its own end, so
padding on the right never comes before what is there.

Shapes: B samples, T time steps, F features, H hidden units, G recurrences side by side.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class BiLstmWeights(nn.Module):
    """Weights of one layer of one modality, both directions.

    Gates are in the order input, forget, output, new.
    """

    def __init__(self, input_width: int, hidden_width: int) -> None:
        super().__init__()
        bound = hidden_width**-0.5
        self.input = _draw(2, input_width, 4 * hidden_width, bound=bound)
        self.hidden = _draw(2, hidden_width, 4 * hidden_width, bound=bound)
        self.bias = _draw(2, 1, 4 * hidden_width, bound=bound)


def _draw(*shape: int, bound: float) -> nn.Parameter:
    return nn.Parameter(torch.empty(shape).uniform_(-bound, bound))


def run_layer(
    layers: Sequence[BiLstmWeights], inputs: Sequence[Tensor], lengths: Sequence[Tensor]
) -> list[Tensor]:
    """One layer of every modality: outputs (B, T, 2 H), undefined in the padding.

    `inputs` are (B, T, F) with T and F of their own, `lengths` (B,) from 0 to T.
    """
    num_steps = max(x.shape[1] for x in inputs)
    gates: list[Tensor] = []
    hidden: list[Tensor] = []
    for layer, x_BTF, length_B in zip(layers, inputs, lengths, strict=True):
        both = torch.stack([x_BTF, reverse(x_BTF, length_B)])
        gates_DBTH = both.flatten(1, 2) @ layer.input + layer.bias
        gates_DBTH = gates_DBTH.view(2, *x_BTF.shape[:2], -1)
        missing = num_steps - x_BTF.shape[1]
        gates.append(nn.functional.pad(gates_DBTH, (0, 0, 0, missing)))
        hidden.append(layer.hidden)
    states_GBTH = _recur(torch.cat(gates), torch.cat(hidden))
    outputs = []
    for index, (x_BTF, length_B) in enumerate(zip(inputs, lengths, strict=True)):
        forward, backward = states_GBTH[2 * index : 2 * index + 2, :, : x_BTF.shape[1]].unbind()
        outputs.append(torch.cat([forward, reverse(backward, length_B)], dim=-1))
    return outputs


def reverse(x_BTF: Tensor, length_B: Tensor) -> Tensor:
    """Each sequence back to front within its length; the padding is arbitrary."""
    step_T = torch.arange(x_BTF.shape[1], device=x_BTF.device)
    index_BT = (length_B[:, None] - 1 - step_T).clamp_min(0)
    return x_BTF.gather(1, index_BT[..., None].expand(x_BTF.shape))


def _recur(gates_GBTH: Tensor, hidden_GHH: Tensor) -> Tensor:
    """The states after every step, (G, B, T, H). Source: Hochreiter & Schmidhuber 1997."""
    width = hidden_GHH.shape[1]
    state = cell = gates_GBTH.new_zeros(*gates_GBTH.shape[:2], width)
    states = []
    for gates_GBH in gates_GBTH.unbind(dim=2):
        total = torch.baddbmm(gates_GBH, state, hidden_GHH)
        admit, keep, show = torch.sigmoid(total[..., : 3 * width]).chunk(3, dim=-1)
        cell = keep * cell + admit * torch.tanh(total[..., 3 * width :])
        state = show * torch.tanh(cell)
        states.append(state)
    return torch.stack(states, dim=2)
