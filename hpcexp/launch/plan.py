"""From a checked template to the plan that an experiment directory keeps."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from hpcexp.launch.warm_start import locate_warm_start
from hpcexp.store.experiment import Plan, PlannedGroup, PlannedRun
from hpcexp.template import Resources, Template
from hpcexp.template.collector import paused_collector
from hpcexp.worker.packing import KeyOf, make_packs
from hpcexp.workloads import load_config_class, load_primary_metric


@paused_collector()
def make_plan(
    template: Template, *, only: Sequence[str] = (), experiments_dir: Path | None = None
) -> Plan:
    """Groups, runs and configurations of a template, or of `only` some of its groups.

    Runs that a warm start names by their experiment are looked for in `experiments_dir`.
    """
    groups = [g for g in template.groups() if not only or g.name in only]
    kept = {group.name for group in groups}
    return Plan(
        name=template.name,
        question=template.question or "",
        workload=template.workload,
        seed=template.seed,
        rand_inits=template.rand_inits,
        params=dict(template.params),
        grid={axis: list(values) for axis, values in template.grid.items()},
        groups=tuple(PlannedGroup(g.name, g.values) for g in groups),
        runs=tuple(
            PlannedRun(run.name, run.group.name, run.rand_init)
            for run in template.runs()
            if run.group.name in kept
        ),
        resources=template.resources.model_dump(mode="json"),
        comparison=template.comparison.model_dump(mode="json"),
        notify=template.notify.model_dump(mode="json"),
        track=template.track.to_plan(),
        primary_metric=dataclasses.asdict(load_primary_metric(template.workload, template.params)),
        profile=template.profile,
        overrides=template.overrides,
        zips=[{axis: list(v) for axis, v in zipped.items()} for zipped in template.zips],
        named={name: dict(own) for name, own in template.named.items()},
        derive=dict(template.derive),
        exclude=[dict(entry) for entry in template.exclude],
        sample=dict(template.sample),
        site=dict(template.site),
        configs={
            group.name: locate_warm_start(
                template.config_for(group),
                rand_inits=template.rand_inits,
                experiments_dir=experiments_dir,
            )
            for group in groups
        },
    )


def make_bundles(packs: Sequence[Sequence[str]], *, num_jobs: int | None = None) -> list[list[str]]:
    """The runs of each of at most `num_jobs` jobs: a pack each if there are jobs enough.

    Dealt out in turn, so that slow groups and fast ones are mixed in every job.
    """
    count = len(packs) if num_jobs is None else min(num_jobs, len(packs))
    return [[name for pack in packs[index::count] for name in pack] for index in range(count)]


def bundle_runs(
    run_names: Sequence[str], resources: Resources, *, key_of: KeyOf, num_jobs: int | None = None
) -> list[list[str]]:
    """The runs of each job, packed as the resources say."""
    packs = make_packs(
        run_names, packing=resources.packing, size=resources.runs_per_job, key_of=key_of
    )
    return make_bundles(packs, num_jobs=num_jobs)


def find_planned_keys(plan: Plan) -> KeyOf:
    """What is equal for runs of a plan that can be lanes of one program.

    Without its configurations: for runs of a group.
    """
    groups = {run.name: run.group for run in plan.runs}

    @cache
    def find(group: str) -> str:
        if group not in plan.configs:
            return group
        return load_config_class(plan.workload).model_validate(plan.configs[group]).lane_key

    return lambda name: find(groups[name])
