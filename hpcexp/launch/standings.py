"""Where an experiment that is decided by several looks stands: what is read, and nothing done.

Apart from `deciding`, which changes experiments and loads all that this needs: `status` is typed
often.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from hpcexp.launch.slurm.queue import is_in_queue
from hpcexp.store.deciding import Deciding, Standing
from hpcexp.store.experiment import Plan
from hpcexp.store.status import RunStatus


def spell_looks(looks: Sequence[int]) -> str:
    """`6, 13, 29 and 64`."""
    return " and ".join([", ".join(map(str, looks[:-1])), str(looks[-1])])


def list_look_runs(plan: Plan, deciding: Deciding) -> list[str]:
    """The runs that the next look is at: the first initialisations of the groups still open."""
    members = plan.list_members()
    return [
        run.name
        for group in deciding.open_groups
        for run in sorted(members[group], key=lambda run: run.rand_init)[: deciding.next_rand_inits]
        if run.name not in deciding.left_out
    ]


def deciding_to_json(
    deciding: Deciding,
    waiting: Mapping[str, RunStatus] | None = None,
    *,
    is_job_live: bool | None = None,
) -> dict[str, Any]:
    """All of it for scripts; `waiting` are the runs that the next look waits for."""
    return {
        **dataclasses.asdict(deciding.plan),
        "is_over": deciding.is_over,
        "looks_taken": [dataclasses.asdict(look) for look in deciding.looks],
        "next_look": None if deciding.is_over else len(deciding.looks) + 1,
        "next_rand_inits": None if deciding.is_over else deciding.next_rand_inits,
        "open_pairs": () if deciding.is_over else deciding.open_pairs,
        "left_out": dict(deciding.left_out),
        "waiting_for": {name: str(s.state) for name, s in (waiting or {}).items()},
        "job": None if deciding.job is None else dataclasses.asdict(deciding.job),
        "is_job_live": is_job_live,
    }


def is_look_job_live(deciding: Deciding) -> bool | None:
    """Whether the job of the next look is in the queue: asks Slurm once.

    None where there is no such job, or Slurm does not answer.
    """
    job = deciding.job
    if deciding.is_over or job is None or not job.job_id or job.look != len(deciding.looks) + 1:
        return None
    return is_in_queue(job.job_name)


def count_standings(deciding: Deciding) -> dict[Standing, int]:
    """Pairs by where they stand; those without a look are open."""
    standings = deciding.standings
    counts = dict.fromkeys(Standing, 0)
    for pair in deciding.plan.pairs:
        counts[standings[pair].standing if pair in standings else Standing.OPEN] += 1
    return {standing: count for standing, count in counts.items() if count}
