from __future__ import annotations

import torch

from hpcexp.train.seeding import RandomStreams, derive_seed


def draw(streams: RandomStreams, purpose: str, index: int = 0) -> torch.Tensor:
    return torch.rand(8, generator=streams.generator(purpose, index))


def test_the_same_seed_initialisation_purpose_and_index_repeat() -> None:
    assert torch.equal(draw(RandomStreams(3, 1), "order", 5), draw(RandomStreams(3, 1), "order", 5))


def test_any_change_of_what_is_asked_for_gives_other_numbers() -> None:
    reference = draw(RandomStreams(3, 1), "order", 5)
    others = [
        draw(RandomStreams(4, 1), "order", 5),
        draw(RandomStreams(3, 2), "order", 5),
        draw(RandomStreams(3, 1), "posterior", 5),
        draw(RandomStreams(3, 1), "order", 6),
    ]
    assert not any(torch.equal(reference, other) for other in others)


def test_parts_do_not_run_into_each_other() -> None:
    assert (
        len({derive_seed(1, 11), derive_seed(11, 1), derive_seed(1, 1, 1), derive_seed(1, "11")})
        == 4
    )


def test_initialising_is_repeatable_and_leaves_the_global_generator_alone() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    with RandomStreams(0, 0).initialising():
        first = torch.nn.Linear(3, 3).weight
    with RandomStreams(0, 0).initialising():
        second = torch.nn.Linear(3, 3).weight
    assert torch.equal(first, second)
    assert torch.equal(before, torch.get_rng_state())
