"""Which tasks to train together: the best cover of all tasks by a number of models.

Source: Fifty et al. 2021, section 3.2: a task's score in a group is the mean affinity of the
group's other tasks onto it; every task is served by the group in which it scores best, and the
mean over tasks is to be as large as possible. All covers are tried.

Shapes: G groups, C covers, L tasks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import torch
from torch import Tensor

from hpcexp.errors import UsageError

MAX_TASKS, MAX_MODELS = 8, 4
CHUNK = 2048  # covers that are joined with all others at once
Affinities = Mapping[tuple[str, str], float]


@dataclass(frozen=True)
class Grouping:
    """Groups of tasks, the score of the whole, and the group that serves each task."""

    groups: tuple[tuple[str, ...], ...]
    score: float
    served_by: Mapping[str, tuple[str, ...]]


def score_in_group(task: str, group: Sequence[str], affinities: Affinities) -> float:
    """The mean affinity of a group's other tasks onto one of it; 0 where it is alone.

    A task alone neither gains nor loses. (The release of the paper scores it -1e6, so that no
    task is ever left alone.)
    """
    others = [other for other in group if other != task]
    if not others:
        return 0.0
    return sum(affinities[other, task] for other in others) / len(others)


def find_best_grouping(
    tasks: Sequence[str], affinities: Affinities, *, num_models: int
) -> Grouping:
    """The best cover of the tasks by at most `num_models` groups, which may overlap.

    Takes milliseconds for two models, seconds for four and eight tasks.
    Raises UsageError for more tasks or models than can be tried.
    """
    if len(tasks) > MAX_TASKS or not 1 <= num_models <= MAX_MODELS:
        raise UsageError(
            f"{len(tasks)} tasks in {num_models} models cannot be tried: at most {MAX_TASKS} "
            f"tasks, and 1 to {MAX_MODELS} models"
        )
    places = range(len(tasks))
    groups = [c for size in range(1, len(tasks) + 1) for c in combinations(places, size)]
    named = [tuple(tasks[i] for i in group) for group in groups]
    scores_GL = torch.tensor(
        [
            [score_in_group(t, g, affinities) if t in g else float("-inf") for t in tasks]
            for g in named
        ],
        dtype=torch.float64,
    )
    best = _search(scores_GL, num_models=num_models)
    served = {
        task: named[max(best, key=lambda g, i=i: scores_GL[g, i].item())]  # type: ignore[misc]
        for i, task in enumerate(tasks)
    }
    total = sum(score_in_group(task, served[task], affinities) for task in tasks)
    return Grouping(tuple(dict.fromkeys(served.values())), total / len(tasks), served)


def _search(scores_GL: Tensor, *, num_models: int) -> list[int]:
    """The groups of the best cover: single groups, or the best join of two smaller covers."""
    singles = torch.arange(len(scores_GL))[:, None]
    if num_models == 1:
        return [int(scores_GL.sum(dim=1).argmax())]
    pairs = torch.combinations(singles[:, 0], 2, with_replacement=True)
    if num_models == 2:
        return _join(scores_GL, singles, singles)
    return _join(scores_GL, pairs, pairs if num_models == 4 else singles)


def _join(scores_GL: Tensor, first: Tensor, second: Tensor) -> list[int]:
    """The best union of a cover of each kind; both are indices of groups, (C, groups)."""
    first_CL, second_CL = (scores_GL[cover].amax(dim=1) for cover in (first, second))
    best, found = -torch.inf, (0, 0)
    size = max(1, CHUNK * 64 // len(second_CL))
    for begin in range(0, len(first_CL), size):
        joined = torch.maximum(first_CL[begin : begin + size, None], second_CL).sum(dim=-1)
        value, place = joined.flatten().max(dim=0)
        if value > best:
            row, column = divmod(int(place), len(second_CL))
            best, found = float(value), (begin + row, column)
    return [*first[found[0]].tolist(), *second[found[1]].tolist()]
