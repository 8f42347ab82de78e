"""What the looks of an experiment's plan said, in words."""

from __future__ import annotations

from collections.abc import Mapping

from hpcexp.analysis.findings import PairFinding
from hpcexp.analysis.spelling import spell_p
from hpcexp.store.deciding import Deciding, DecidingPlan, Standing


def describe_looks(deciding: Deciding | None) -> list[str]:
    """How far the plan of looks is, if there is one."""
    if deciding is None:
        return []
    plan, num_taken = deciding.plan, len(deciding.looks)
    state = "decided" if deciding.is_over else f"look {num_taken + 1} is to come"
    sizes = ", ".join(map(str, plan.looks))
    return [
        f"{num_taken} of {len(plan.looks)} taken ({sizes} initialisations per group, level "
        f"{100 * plan.alpha:g} % for {plan.family}): {state}; verdicts are those of the looks"
    ]


def describe_look_at(
    pair: PairFinding, plan: DecidingPlan, *, labels: Mapping[str, str], begin: str
) -> str:
    """What the newest look at a pair said; `begin` is what may be said of a cause."""
    look, first, second = pair.look, labels[pair.first], labels[pair.second]
    if look is None:
        return f"{first} against {second}: no look was taken yet"
    numbers = f"p = {spell_p(look.p)} at look {look.look}, level {look.level:.2g}"
    if look.standing == Standing.DIFFERENT:
        return f"{begin}{labels[pair.better]} is lower than {labels[pair.worse]} ({numbers})"
    if look.standing == Standing.EQUIVALENT:
        return f"{first} and {second} differ by less than {plan.margin:g} (at look {look.look})"
    rest = {
        Standing.OPEN: "more runs follow",
        Standing.FUTILE: "given up: "
        f"{100 * look.conditional_power:.0f} % chance to be decided by more runs",
        Standing.UNDECIDED: "not decided at the last look",
    }[look.standing]
    return f"{first} against {second} ({numbers}): {rest}"
