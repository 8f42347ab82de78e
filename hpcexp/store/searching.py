"""Whether a search that learns from results is still to make samples, from its plan alone."""

from __future__ import annotations

from hpcexp.sampling import find_sample_number, parse_space
from hpcexp.store.experiment import Plan


def count_samples(plan: Plan) -> int:
    """Samples that have been made."""
    return sum(find_sample_number(group.name) is not None for group in plan.groups)


def is_searching(plan: Plan) -> bool:
    """Whether more samples are to come, chosen by results."""
    if not plan.sample:
        return False
    space, _ = parse_space(plan.sample)
    return space is not None and space.is_adaptive and count_samples(plan) < space.count
