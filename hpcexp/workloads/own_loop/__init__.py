"""Workloads that train by themselves: hpcexp starts them, and they report.

Their packages have the door `config` as the others do, and no `workload`: the loop, the model
and the data are the user's. `worker/own_loop` runs them.
"""

from __future__ import annotations

OWN_LOOPS: dict[str, str] = {
    "command": "hpcexp.workloads.own_loop.command",
    "function": "hpcexp.workloads.own_loop.function",
    "lightning": "hpcexp.workloads.own_loop.lightning",
}


def has_own_loop(workload: str) -> bool:
    """Whether a workload trains by itself."""
    return workload in OWN_LOOPS
