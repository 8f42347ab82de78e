"""Checking whether the models of a template can learn, before any of them is launched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpcexp.api.recorded import as_names, spell_settings
from hpcexp.launch.prepare import check_groups
from hpcexp.template import load_template

if TYPE_CHECKING:
    from hpcexp.grid import Group
    from hpcexp.template import Template
    from hpcexp.worker.debug.bench import Bench
    from hpcexp.worker.debug.findings import Examination

DEFAULT_STEPS = 300


def debug(
    template: str | Path,
    *,
    groups: Sequence[str] = (),
    profile: str | None = None,
    set: Mapping[str, Any] | Sequence[str] = (),
    rand_init: int = 0,
    device: str | None = None,
    steps: int = DEFAULT_STEPS,
    layers: bool = False,
) -> list[Examination]:
    """Check whether the models of some groups, the first by default, can learn; writes nothing.

    `has_failures` of an examination says whether one of its `findings` is a failure.
    """
    from hpcexp.worker.debug.examine import examine

    loaded, chosen, _ = choose_groups(
        Path(template), as_names(groups), profile=profile, overrides=spell_settings(set)
    )
    return [
        examine(
            make_bench(loaded, group, rand_init=rand_init, device=device, steps=steps),
            group=group.name,
            with_layers=layers,
        )
        for group in chosen
    ]


def choose_groups(
    path: Path, names: Sequence[str], *, profile: str | None, overrides: Sequence[str]
) -> tuple[Template, list[Group], int]:
    """The template, the groups that are meant (the first by default), and how many there are.

    Raises UsageError for a group that there is not.
    """
    template = load_template(path, profile=profile, overrides=overrides)
    check_groups(template, names)
    groups = template.groups()
    chosen = [group for group in groups if group.name in names] if names else [groups[0]]
    return template, chosen, len(groups)


def make_bench(
    template: Template, group: Group, *, rand_init: int, device: str | None, steps: int
) -> Bench:
    """What checks of a group's model work on."""
    from hpcexp.launch.warm_start import locate_warm_start
    from hpcexp.train.seeding import RandomStreams
    from hpcexp.worker.debug.bench import Bench
    from hpcexp.worker.inspection.parameters import choose_device
    from hpcexp.worker.warm_start import load_initial
    from hpcexp.workloads import load_config_class, load_workload

    params = locate_warm_start(template.config_for(group), rand_inits=rand_init + 1)
    config = load_config_class(template.workload).model_validate(params)
    workload = load_workload(template.workload, config)
    return Bench(
        workload,
        streams=RandomStreams(template.seed, rand_init),
        device=choose_device(device or "cpu"),
        initial=load_initial(workload, rand_init=rand_init),
        num_steps=steps,
    )
