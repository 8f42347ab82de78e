"""Random numbers as a function of (experiment seed, initialisation, purpose, index).

Nothing draws from a generator that lives on between steps. A stream gives a fresh
generator for each index (a block of steps, an epoch), seeded by hashing who asks for
what. So a resumed run needs no generator states, a packed run draws what it draws alone,
and groups and initialisations can be added without disturbing those that exist.
The generators are always on the CPU, so that a GPU changes none of the numbers. (Between CPUs with
other vector instructions, normal numbers may differ in their last bits.)
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from hpcexp.train.seeds import derive_seed as derive_seed


@dataclass(frozen=True)
class RandomStreams:
    """All the randomness of one run: equal for equal (seed, rand_init), in every group."""

    seed: int
    rand_init: int

    def generator(self, purpose: str, index: int = 0) -> torch.Generator:
        """A fresh generator for one purpose, such as `transform`, and one index."""
        generator = torch.Generator()
        generator.manual_seed(derive_seed(self.seed, self.rand_init, purpose, index))
        return generator

    def draw_share(self, purpose: str, index: int = 0) -> float:
        """A number from 0 to 1, excluding 1, drawn for one purpose and one index."""
        return derive_seed(self.seed, self.rand_init, purpose, index) / 2**63

    @contextmanager
    def initialising(self, purpose: str = "initialise") -> Iterator[None]:
        """Within, torch's global generator is seeded: torch modules initialise from it.

        The global state is put back afterwards.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(self.seed, self.rand_init, purpose, 0))
            yield
